"""Modules that came along: what a name means in the process of a slot."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
import traceback
import types
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from penstock.job import shipped_modules
from penstock.job.main_module import Stale
from penstock.job.shipped_modules import FileStat, Finder, Module, Source


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process to which nothing has come yet."""
    here = shipped_modules._Here
    monkeypatch.setattr(here, "digests", {})
    monkeypatch.setattr(here, "finder", Finder())
    monkeypatch.setattr(here, "laid_out", {})
    monkeypatch.setattr(here, "changes", [])
    monkeypatch.setattr(here, "folder", str(tmp_path / "laid-out"))
    monkeypatch.setattr(here, "is_slot", True)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "away"]:
        del sys.modules[name]


def module(number: int, *, roots: tuple[str, ...] = ("/not/here",), files: tuple[FileStat, ...] = ()) -> Module:
    """A package with a module and a file of data, in some version."""
    text = b"number = %d\ndef fail(): raise LookupError(number)\n" % number
    content = [("away/__init__.py", b""), ("away/it.py", text), ("away/data.txt", b"data")]
    stats = shipped_modules.pack(files or [FileStat("away/it.py", 0, 0)])
    return Module("away", b"%d" % number, roots, stats, shipped_modules.pack(content))


def test_a_name_means_what_came_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where something of the name is there already. It has its data, and processes of jobs find it."""
    monkeypatch.setitem(sys.modules, "away", types.ModuleType("away"))
    shipped_modules.enter([module(1)])
    it = importlib.import_module("away.it")
    assert it.number == 1
    assert (Path(str(it.__file__)).parent / "data.txt").read_text() == "data"
    code = "import away.it; print(away.it.number)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True).stdout == b"1\n"
    shipped_modules.enter([module(1)])
    assert importlib.import_module("away.it") is it


def test_settings_are_what_the_client_has_made_them() -> None:
    """Whatever the source says."""
    changes = pickle.dumps({"away.it": {"number": 3}})
    shipped_modules.enter([msgspec.structs.replace(module(1), changes=changes)])
    assert importlib.import_module("away.it").number == 3


def test_a_process_has_one_version() -> None:
    """Another one is for another process, and nothing of it is seen here."""
    shipped_modules.enter([module(1)])
    it = importlib.import_module("away.it")
    with pytest.raises(Stale):
        shipped_modules.enter([module(2)])
    assert sys.modules["away.it"] is it


def test_the_very_files_are_used_where_they_are(tmp_path: Path) -> None:
    """As long as they are what was read; else what came along is laid out, and tracebacks show the client's path."""
    at = tmp_path / "away" / "it.py"
    at.parent.mkdir()
    at.write_text("number = 7\ndef fail(): raise LookupError(number)")
    stat = FileStat("away/it.py", at.stat().st_size, at.stat().st_mtime_ns)
    assert shipped_modules.is_as_read(module(7, roots=(str(tmp_path),), files=(stat,)))
    at.write_text("number = 8 # since edited")
    edited = module(7, roots=(str(tmp_path),), files=(stat,))
    shipped_modules.enter([edited])
    it = importlib.import_module("away.it")
    assert it.number == 7
    with pytest.raises(LookupError) as caught:
        it.fail()
    text = shipped_modules.clients_paths("".join(traceback.format_exception(caught.value)))
    assert f'File "{at}", line 2, in fail\n    def fail(): raise LookupError(number)' in text


def test_files_in_place_are_imported_in_place(tmp_path: Path) -> None:
    """A module whose files are here unchanged knows itself by its own path."""
    at = tmp_path / "away.py"
    at.write_text("number = 9")
    stat = FileStat("away.py", at.stat().st_size, at.stat().st_mtime_ns)
    shipped_modules.enter([Module("away", b"9", (str(tmp_path),), shipped_modules.pack([stat]), b"")])
    assert importlib.import_module("away").__file__ == str(at)


def test_what_did_not_come_and_is_not_here_is_an_error() -> None:
    """It names the module and what to do."""
    with pytest.raises(ValueError, match=r"the module away is too large .* install it here"):
        shipped_modules.enter(
            [Module("away", b"1", ("/not/here",), shipped_modules.pack([FileStat("away.py", 1, 1)]), b"")]
        )


def test_code_of_another_python_is_not_opened() -> None:
    """The error names both versions; the pickle inside is never looked at."""
    with pytest.raises(RuntimeError, match=r"code of Python 2\.7, and this worker runs Python 3"):
        shipped_modules.opened(b"no pickle", b"", b"", "2.7")


def test_a_function_of_the_release_before_is_opened() -> None:
    """A queue that it wrote has functions with the source of their modules beside them."""
    sources = [Source("away", "/not/here/away/__init__.py", True, b"from away.it import f"),
               Source("away.it", "/not/here/away/it.py", False, b"def f(): return 5")]  # fmt: skip
    archive = zlib.compress(msgspec.msgpack.encode(sources))
    code = pickle.PROTO + b"\x05" + b"caway\nf\n."
    assert shipped_modules.opened(code, b"digest", archive, shipped_modules.PYTHON)() == 5


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no zlib",
        module(1).content[:-5],
        zlib.compress(b"\xc1"),
        zlib.compress(b"\x93\x01\x02\x03"),
        zlib.compress(b"\x91" * 100_000),
        shipped_modules.pack([("/etc/passwd", b"")]),
        shipped_modules.pack([("a/../../b", b"")]),
        shipped_modules.pack([("a\0b", b"")]),
        shipped_modules.pack([("", b"")]),
        shipped_modules.pack([("a", b""), ("a/b", b"")]),
        shipped_modules.pack([("a/b", b""), ("a", b"")]),
        shipped_modules.pack([("a//b", b"")]),
    ],
)
def test_broken_content_is_an_error(content: bytes) -> None:
    """It says so, whatever it is; and no file is written elsewhere."""
    with pytest.raises(ValueError, match="module"):
        shipped_modules.unpack(content)


@pytest.mark.parametrize("name", ["penstock", "sys", "builtins", "__main__"])
def test_a_module_of_that_name_does_not_come_along(name: str) -> None:
    """The slot's own modules stay."""
    known = dict(sys.modules)
    with pytest.raises(ValueError, match="module"):
        shipped_modules.enter([msgspec.structs.replace(module(1), name=name)])
    assert sys.modules == known


@pytest.mark.parametrize("digest", [b"", b"1" * 65])
def test_a_digest_is_one(digest: bytes) -> None:
    """What names the folder of a module is not empty, and no longer than a file's name."""
    data = msgspec.msgpack.encode(msgspec.structs.replace(module(1), digest=digest))
    with pytest.raises(ValueError, match="length"):
        msgspec.msgpack.decode(data, type=Module)


def test_what_is_known_of_files_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does what the release before 0.2 sent."""
    monkeypatch.setattr(shipped_modules, "CONTENT_BYTES", 1000)
    bomb = zlib.compress(bytes(10_000))
    with pytest.raises(ValueError, match="module"):
        shipped_modules.is_as_read(msgspec.structs.replace(module(1), files=bomb))
    with pytest.raises(ValueError, match="module"):
        shipped_modules.opened(b"", b"", bomb, "")


def test_content_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes that unpack to more than a module may have are refused before they are unpacked."""
    monkeypatch.setattr(shipped_modules, "CONTENT_BYTES", 1000)
    with pytest.raises(ValueError, match="more than"):
        shipped_modules.unpack(zlib.compress(bytes(1 << 20)))
