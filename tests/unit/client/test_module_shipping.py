"""Which modules go along with a function."""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import pickle
import socket
import sys
import threading
import types
from collections.abc import Callable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from penstock.client import module_shipping
from penstock.client.functions import Functions
from penstock.client.module_shipping import Shipper
from penstock.client.own_modules import imports_of, spec_of
from penstock.job import shipped_modules
from penstock.job.bundle import Bundle
from penstock.job.shipped_modules import Module
from support.stations import LIMIT

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


def sent(function: Any) -> list[Module]:
    """The modules that go along with a function."""
    bundle = pickle.loads(Functions(Shipper()).serialized(function, "pickle").code)
    return list(bundle.modules) if isinstance(bundle, Bundle) else []


def names(modules: list[Module]) -> list[str]:
    """What they are called."""
    return [module.name for module in modules]


def files(module: Module) -> list[str]:
    """What is in it."""
    return sorted(path for path, _ in shipped_modules.unpack(module.content))


def test_what_is_installed_stays(make: Make) -> None:
    """The standard library, site-packages, penstock itself, builtins: nothing goes along."""
    make(own="x = 1")
    importlib.import_module("own")
    assert [sent(function) for function in (pow, math.sqrt, pytest.fail, pickle.dumps, imports_of)] == [[]] * 5


def test_two_threads_that_look_at_once_both_find_what_is_the_users(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look takes long: whoever asks meanwhile is not told that there is nothing."""
    make(own="x = 1")
    importlib.import_module("own")
    shipper, begun, go_on = Shipper(), threading.Event(), threading.Event()

    def slow(name: str) -> Any:
        if not begun.is_set():
            begun.set()
            assert go_on.wait(LIMIT)
        return spec_of(name)

    monkeypatch.setattr(module_shipping, "spec_of", slow)
    pickled = pickle.dumps(sys.modules["own"].__name__, 5)
    found: list[frozenset[str]] = []
    thread = threading.Thread(target=lambda: found.append(shipper.names_in(pickled)))
    thread.start()
    assert begun.wait(LIMIT)
    try:
        assert shipper.names_in(pickled) == {"own"}
    finally:
        go_on.set()
        thread.join(LIMIT)
    assert found == [{"own"}]


def test_a_module_and_what_it_imports_go_along(make: Make) -> None:
    """Also what it imports late; not what lies beside it and is used by nobody."""
    make(own="import math, second\ndef f():\n    from third import z", second="", third="import own", unused="")
    assert names(sent(importlib.import_module("own").f)) == ["own", "second", "third"]


def test_a_package_goes_whole(make: Make, tmp_path: Path) -> None:
    """With modules that nobody has imported, folders without an __init__.py, and data; not what Python made of it."""
    make(**{"pack/__init__": "def f(): pass", "pack/one": "", "pack/deep/two": "", "pack/__pycache__/one": ""})
    (tmp_path / "pack" / "words.txt").write_text("hello")
    (module,) = sent(importlib.import_module("pack").f)
    assert files(module) == ["pack/__init__.py", "pack/deep/two.py", "pack/one.py", "pack/words.txt"]
    assert module.roots == (str(tmp_path),)


def test_a_package_with_compiled_parts_stays(make: Make, tmp_path: Path) -> None:
    """It has to be on the worker, where its very files are looked for: half of it would hide the whole."""
    make(**{"built/__init__": "def f(): pass"})
    (tmp_path / "built" / f"fast{EXTENSION_SUFFIXES[0]}").touch()
    (module,) = sent(importlib.import_module("built").f)
    assert (module.content, module.roots) == (b"", (str(tmp_path),))


def test_a_namespace_package_goes_along_from_all_its_folders(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One package, whose parts lie in several folders of the path."""
    monkeypatch.syspath_prepend(tmp_path / "more")
    make(**{"spread/one": "def f(): pass", "more/spread/two": ""})
    (module,) = sent(importlib.import_module("spread.one").f)
    assert files(module) == ["spread/one.py", "spread/two.py"]
    assert set(module.roots) == {str(tmp_path), str(tmp_path / "more")}


def test_what_is_no_file_stays(make: Make, tmp_path: Path) -> None:
    """In a folder of a package there may be the lock of an editor, a socket, a pipe, a link that leads nowhere."""
    make(**{"odd/__init__": "def f(): pass"})
    (tmp_path / "odd" / ".#__init__.py").symlink_to("user@host.123:456")
    (tmp_path / "odd" / "zero").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "odd" / "pipe.py")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "odd" / "s"))
        (module,) = sent(importlib.import_module("odd").f)
    assert files(module) == ["odd/__init__.py"]


def test_too_much_in_a_zip_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not unpacked to see how much it is."""
    monkeypatch.setattr(module_shipping, "SHIPPED_BYTES", 1000)
    monkeypatch.setattr(ZipFile, "read", lambda *_: pytest.fail("it was unpacked"))
    archive = tmp_path / "lib.zip"
    with ZipFile(archive, "w", ZIP_DEFLATED) as file:
        file.writestr("bomb/__init__.py", "def f(): pass")
        file.writestr("bomb/data", bytes(100_000))
    monkeypatch.syspath_prepend(archive)
    function = importlib.import_module("bomb").f
    with pytest.raises(ValueError, match="the module bomb"):
        sent(function)
    del sys.modules["bomb"]


def test_a_module_of_a_zip_goes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its package, and what lies in it."""
    archive = tmp_path / "lib.zip"
    with ZipFile(archive, "w") as file:
        file.writestr("zipped/__init__.py", "def f(): pass")
        file.writestr("zipped/data.txt", "x")
        file.writestr("beside.py", "")
    monkeypatch.syspath_prepend(archive)
    (module,) = sent(importlib.import_module("zipped").f)
    del sys.modules["zipped"]
    assert (files(module), module.roots) == (["zipped/__init__.py", "zipped/data.txt"], (str(archive),))


def test_a_module_from_a_path_goes_along_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its file is called."""
    (tmp_path / "file-1.py").write_text("def f(): pass")
    spec = importlib.util.spec_from_file_location("renamed", tmp_path / "file-1.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "renamed", module)
    spec.loader.exec_module(module)
    (sent_module,) = sent(module.f)
    assert (files(sent_module), sent_module.roots) == (["renamed.py"], ())


def test_a_reload_is_seen_and_an_edit_is_not(make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is sent is what this process has: the new text once it was reloaded. Edited before it was first sent, what
    was imported cannot be had any more: a warning says so."""
    make(own="def f(): return 1")
    known = Functions(Shipper())

    def text() -> bytes:
        (module,) = pickle.loads(known.serialized(own.f, "pickle").code).modules
        return shipped_modules.unpack(module.content)[0][1]

    own = importlib.import_module("own")
    assert text() == b"def f(): return 1"
    make(own="def f(): return 'two'")
    assert text() == b"def f(): return 1"
    importlib.invalidate_caches()
    importlib.reload(own)
    assert (text(), caplog.text) == (b"def f(): return 'two'", "")
    make(own="def f(): return 'three'")
    sent(own.f)
    assert f"{tmp_path}/own.py was edited after this process had imported it" in caplog.text


def test_site_packages_in_the_project_stay(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment below the user's folder is no code of the user's."""
    make(**{"site-packages/other": "def f(): pass"})
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    assert sent(importlib.import_module("other").f) == []


def test_a_setting_that_was_changed_goes_along(make: Make) -> None:
    """What somebody has assigned since; not what the module itself counts, nor what is no plain value. It is seen when
    it changes again."""
    make(own="N = 1\nM = 'a'\nready = False\nconn = None\nif N: L = 2\ndef f():\n    global ready\n    ready = True\n")
    own: Any = importlib.import_module("own")
    known = Functions(Shipper())

    def changes() -> Any:
        (module,) = pickle.loads(known.serialized(own.f, "pickle").code).modules
        return pickle.loads(module.changes) if module.changes else None

    assert changes() is None
    own.N, own.conn, own.L = 5, object(), 3
    own.f()
    assert changes() == {"own": {"N": 5}}
    own.N, own.M = 1, ("b",)
    assert changes() == {"own": {"M": ("b",)}}


def test_a_script_sends_what_it_imports(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its functions use goes along, also what they import only when they run."""
    make(own="class Point: pass", second="")
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    exec(
        "import own\nfrom own import Point\ndef f(x): return [x]\ndef g(x):\n    import second\ndef h(): return Point",
        main.__dict__,
    )
    assert names(sent(main.f)) == []
    assert names(sent(main.g)) == ["second"]
    assert names(sent(main.h)) == ["own"]


def test_arguments_bring_their_modules(make: Make) -> None:
    """A class of the user's as the argument of a function that is none."""
    make(own="class Point: pass")
    known = Functions(Shipper())
    plain, _ = known.call(str, ([1, "own."],), {}, "pickle")
    assert plain == known.serialized(str, "pickle")
    point = importlib.import_module("own").Point()
    more, _ = known.call(str, (point,), {}, "pickle")
    assert (more.call, more.digest != plain.digest) == (plain.digest, True)
    assert known.call(str, (point,), {}, "pickle")[0] is more


def test_nothing_goes_along_with_msgpack(make: Make) -> None:
    """Where pickles are not welcome, code is not either."""
    make(own="def f(): pass")
    assert Functions(Shipper()).serialized(importlib.import_module("own").f, "msgpack").code == b"\xa5own:f"


def test_to_slots_of_this_host_only_the_names_of_files_travel(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of large modules, unless they have changed since they were read: then what was read."""
    monkeypatch.setattr(module_shipping, "CARRIED_BYTES", 1000)
    make(own="def f(): pass\nX = '" + "".join(map(str, range(20_000))) + "'\n")
    function = importlib.import_module("own").f
    for change, is_sent in (("", False), ("\n", True)):
        with (tmp_path / "own.py").open("a") as file:
            known = Functions(Shipper(is_local=True))
            before = known.serialized(function, "pickle").digest
            file.write(change)
        shipper = Shipper(is_local=True)
        shipper._captured = known.shipper._captured
        (module,) = shipper.modules(frozenset({"own"}))
        assert (bool(module.content), len(before)) == (is_sent, 16)


def test_too_much_data_stays(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The source goes along all the same, and a warning says what does not."""
    monkeypatch.setattr(module_shipping, "SHIPPED_BYTES", 100)
    make(**{"pack/__init__": "def f(): pass"})
    (tmp_path / "pack" / "large.bin").write_bytes(bytes(1000))
    (module,) = sent(importlib.import_module("pack").f)
    assert files(module) == ["pack/__init__.py"]
    assert "the data in the folder of pack is too large" in caplog.text


def test_too_much_is_an_error(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the module and what to do."""
    monkeypatch.setattr(module_shipping, "SHIPPED_BYTES", 10)
    make(own="def f(): pass  # of some length")
    with pytest.raises(ValueError, match=r"module own, .* is more than .* say Pipeline\(ship=False\)"):
        sent(importlib.import_module("own").f)
    local = Functions(Shipper(is_local=True)).serialized(importlib.import_module("own").f, "pickle")
    assert pickle.loads(local.code).modules[0].content == b""


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
