"""Modules that came along: what a name means while a project is entered, and afterwards."""

from __future__ import annotations

import importlib
import pickle
import sys
import traceback
import types
import zlib
from collections.abc import Iterator

import pytest

from penstock import shipped
from penstock.shipped import Along, Project, Source


@pytest.fixture(autouse=True)
def _nothing_entered() -> Iterator[None]:
    yield
    shipped.enter(None)


def project(number: int) -> list[Source]:
    """A package of one module, in some version."""
    text = b"number = %d\ndef fail(): raise LookupError(number)\nclass Thing: pass\n" % number
    return [Source("away", "/not/here/__init__.py", True, b""), Source("away.it", "/not/here/it.py", False, text)]


def test_names_are_the_projects_while_it_is_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where something of the name is there already; afterwards all is as it was. Modules keep their state."""
    installed = types.ModuleType("away")
    monkeypatch.setitem(sys.modules, "away", installed)
    one, two = Project(project(1)), Project(project(2))
    shipped.enter(one)
    first = importlib.import_module("away.it")
    assert (first.number, first.__file__) == (1, "/not/here/it.py")
    shipped.enter(two)
    assert importlib.import_module("away.it").number == 2
    shipped.enter(one)
    assert importlib.import_module("away.it") is first
    shipped.enter(None)
    assert sys.modules["away"] is installed
    assert "away.it" not in sys.modules


def test_a_function_brings_its_project() -> None:
    """It is entered, the same one for all that bring it; and a traceback shows the lines of its source."""
    shipped.enter(Project(project(3)))
    bare = pickle.dumps(importlib.import_module("away.it").fail)
    shipped.enter(None)
    archive = shipped.pack(project(3))
    sent = pickle.dumps(Along(bare, b"digest", archive, ""))
    fail = pickle.loads(sent)
    entered = shipped.entered()
    with pytest.raises(LookupError) as caught:
        fail()
    assert "raise LookupError(number)" in "".join(traceback.format_exception(caught.value))
    shipped.enter(None)
    assert pickle.loads(sent) is fail
    assert shipped.entered() is entered


def test_code_of_another_python_is_not_opened() -> None:
    """The error names both versions; the pickle inside is never looked at."""
    with pytest.raises(RuntimeError, match=r"code of Python 2\.7, and this worker runs Python 3"):
        pickle.loads(pickle.dumps(Along(b"no pickle", b"", b"", "2.7")))


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"no zlib",
        shipped.pack(project(1))[:-5],
        zlib.compress(b"\xc1"),
        zlib.compress(b"\x93\x01\x02\x03"),
        zlib.compress(b"\x91" * 100_000),
    ],
)
def test_a_broken_archive_is_an_error(archive: bytes) -> None:
    """It says so, whatever it is."""
    with pytest.raises(ValueError, match="modules"):
        shipped.unpack(archive)


def test_an_archive_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes that unpack to more than a project may have are refused before they are unpacked."""
    monkeypatch.setattr(shipped, "SOURCE_BYTES", 1000)
    with pytest.raises(ValueError, match="more than"):
        shipped.unpack(zlib.compress(bytes(1 << 20)))
