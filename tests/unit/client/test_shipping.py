"""Which modules go along with a function."""

from __future__ import annotations

import importlib
import io
import math
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pytest

from penstock import shipped
from penstock.client import shipping
from penstock.client.functions import Functions
from penstock.client.shipping import Shipper, imports_of

Make = Callable[..., None]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Writes files into a folder on the path; what was imported from there is forgotten in the end."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(**files: str) -> None:
        for name, text in files.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    yield write
    for name, module in list(sys.modules.items()):
        if str(tmp_path) in str(getattr(module, "__spec__", "")):
            del sys.modules[name]


def sent(function: Any, *, serializer: str = "pickle") -> list[str]:
    """The names of the modules that go along with a function."""
    made = Functions(Shipper()).serialized(function, serializer)
    if made.code == made.bare:
        return []
    along = _along(made.code)
    return [source.name for source in shipped.unpack(along)] if along else []


def _along(code: bytes) -> bytes:
    found: list[bytes] = []

    class Reader(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            assert (module, name) == ("penstock.shipped", "opened")
            return lambda _code, _digest, archive, _python: found.append(archive)

    Reader(io.BytesIO(code)).load()
    return found[0]


def test_what_is_installed_stays(make: Make) -> None:
    """The standard library, site-packages, penstock itself, builtins: nothing goes along."""
    make(own="x = 1")
    importlib.import_module("own")
    assert [sent(function) for function in (pow, math.sqrt, pytest.fail, pickle.dumps, imports_of)] == [[]] * 5


def test_a_module_and_what_it_imports_go_along(make: Make) -> None:
    """Also what it imports late; not what lies beside it and is used by nobody."""
    make(own="import math, second\ndef f():\n    from third import z", second="", third="import own", unused="")
    assert sent(importlib.import_module("own").f) == ["own", "second", "third"]


def test_a_package_goes_whole(make: Make) -> None:
    """With modules that nobody has imported, and folders without an __init__.py."""
    make(**{"pack/__init__": "def f(): pass", "pack/one": "", "pack/deep/two": "", "pack/no-module": ""})
    expected = ["pack", "pack.deep", "pack.deep.two", "pack.one"]
    assert sent(importlib.import_module("pack").f) == expected


def test_a_package_with_compiled_parts_stays(make: Make, tmp_path: Path) -> None:
    """It has to be installed: half of it would hide the whole."""
    make(**{"built/__init__": "def f(): pass"})
    (tmp_path / "built" / f"fast{EXTENSION_SUFFIXES[0]}").touch()
    assert sent(importlib.import_module("built").f) == []


def test_site_packages_in_the_project_stay(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment below the user's folder is no code of the user's."""
    make(**{"site-packages/other": "def f(): pass"})
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    assert sent(importlib.import_module("other").f) == []


def test_a_script_sends_what_it_imports(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its functions travel as code; the modules of its globals go along, named in the function or not."""
    make(own="class Point: pass", second="")
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    exec("import own\nfrom own import Point\ndef f(x): return [x]\ndef g(x):\n    import second", main.__dict__)
    assert sent(main.f) == ["own"]
    importlib.import_module("second")
    assert sent(main.g) == ["own", "second"]


def test_arguments_bring_their_modules(make: Make) -> None:
    """A class of the user's as the argument of a function that is none."""
    make(own="class Point: pass")
    known = Functions(Shipper())
    plain = known.serialized(str, "pickle")
    assert known.with_items(plain, pickle.dumps([1, "own."]), "pickle") is plain
    item = pickle.dumps(importlib.import_module("own").Point(), 5)
    more = known.with_items(plain, item, "pickle")
    assert (more.call, more.digest != plain.digest) == (plain.digest, True)
    assert known.with_items(plain, item, "pickle") is more


def test_nothing_goes_along_with_msgpack(make: Make) -> None:
    """Where pickles are not welcome, code is not either."""
    make(own="def f(): pass")
    assert sent(importlib.import_module("own").f, serializer="msgpack") == []


def test_too_much_is_an_error(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the module and what to do."""
    monkeypatch.setattr(shipping, "SHIPPED_BYTES", 10)
    make(own="def f(): pass  # of some length")
    with pytest.raises(ValueError, match=r"\(own\) are more than .* say Pipeline\(ship=False\)"):
        sent(importlib.import_module("own").f)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b"import a, b.c as d  # e", {"a", "b"}),
        (b"def f():\n\tfrom g.h import i\n", {"g"}),
        (b"from . import j\nfrom .k import l\n", set()),
        (b"x = 'import m'\nimport n; import o", {"n"}),
        (b"lazy import p\nlazy from q.r import s\nlazy = t", {"p", "q"}),
        (b"import \nfrom \nimport 3\nimport \xff", set()),
    ],
)
def test_imports_are_found(text: bytes, names: set[str]) -> None:
    """Wherever they stand in a line of their own."""
    assert imports_of(text) == names
