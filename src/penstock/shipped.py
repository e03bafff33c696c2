"""A user's own modules, as they come along with a function: a project is the source of some of them.

A slot imports them as if they were installed there, so that a module has one state in a process, its classes are one
class each, and values of them travel by name. Promises:

1. In a slot a name means what it means in the client: a module that came along is preferred to one that is installed.
2. Projects do not meet: while one is entered, sys.modules has its modules and those of no other.
3. A function that came by value (code objects, which each minor version of Python makes anew) is refused where another
   version runs, before anything of it is opened.
"""

from __future__ import annotations

import pickle
import sys
import weakref
import zlib
from collections.abc import Iterable, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

import msgspec

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""Code objects of another one cannot be run."""

SOURCE_BYTES = 64 << 20
"""Of all modules of a project: several times what a client sends."""


class Source(msgspec.Struct, frozen=True, array_like=True):
    """One module: its full name, the client's file, its source as it is there."""

    name: str
    path: str
    is_package: bool
    text: bytes


_decoder = msgspec.msgpack.Decoder(list[Source])


def pack(sources: Iterable[Source]) -> bytes:
    """Modules as they travel."""
    return zlib.compress(msgspec.msgpack.encode(list(sources)))


def unpack(archive: bytes) -> list[Source]:
    """The modules of `pack`. Raises ValueError: it is not one, or too large."""
    engine = zlib.decompressobj()
    try:
        data = engine.decompress(archive, SOURCE_BYTES)
    except zlib.error as error:
        raise ValueError(f"no modules: {error}") from None
    if not engine.eof:
        raise ValueError(f"modules of more than {SOURCE_BYTES >> 20} MB, or cut off")
    try:
        return _decoder.decode(data)
    except (ValueError, RecursionError) as error:  # msgspec's own, and text that is none
        raise ValueError(f"no modules: {error}") from None


class Project(MetaPathFinder, InspectLoader):
    """Finds and loads the modules that came along."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self.sources = {source.name: source for source in sources}
        self.tops = {name.partition(".")[0] for name in self.sources}
        self._own: dict[str, ModuleType] = {}
        """Its modules, while it is not entered."""
        self._hidden: dict[str, ModuleType] = {}
        """Others of the same names, while it is."""

    def enter(self) -> None:
        """From now on the names are its own."""
        self._hidden = self._taken()
        sys.modules.update(self._own)
        sys.meta_path.insert(0, self)

    def leave(self) -> None:
        """The names mean again what they meant before."""
        sys.meta_path.remove(self)
        self._own = self._taken()
        sys.modules.update(self._hidden)

    def _taken(self) -> dict[str, ModuleType]:
        names = [name for name in sys.modules if name.partition(".")[0] in self.tops]
        return {name: sys.modules.pop(name) for name in names}

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """Of one of its modules."""
        del path, target
        source = self.sources.get(fullname)
        if source is None:
            return None
        spec = ModuleSpec(fullname, self, origin=source.path, is_package=source.is_package)
        spec.has_location = True
        return spec

    def is_package(self, fullname: str) -> bool:
        """As its client has it."""
        return self.sources[fullname].is_package

    def get_source(self, fullname: str) -> str | None:
        """For tracebacks: the client's file need not be here."""
        from importlib.util import decode_source  # noqa: PLC0415 - only for tracebacks

        source = self.sources.get(fullname)
        return None if source is None else decode_source(source.text)

    def get_code(self, fullname: str) -> CodeType | None:
        """Compiled."""
        source = self.sources[fullname]
        return compile(source.text, source.path, "exec", dont_inherit=True)


class _Here:
    project: Project | None = None


_known: weakref.WeakValueDictionary[bytes, Project] = weakref.WeakValueDictionary()
"""Projects that a function of this process still needs, or that is entered, by digest."""


def entered() -> Project | None:
    """The project whose modules this process imports now."""
    return _Here.project


def enter(project: Project | None) -> None:
    """Let this process import the modules of this project, and of no other."""
    if project is _Here.project:
        return
    if _Here.project is not None:
        _Here.project.leave()
    _Here.project = project
    if project is not None:
        project.enter()


class Along(msgspec.Struct, frozen=True):
    """A pickled function with what it needs beside it: `archive` has modules (`pack`), `python` is the version
    that it needs; both may be empty. It is unpickled as the function, whose project is entered then."""

    code: bytes
    digest: bytes
    archive: bytes
    python: str

    def __reduce__(self) -> Any:
        return opened, (self.code, self.digest, self.archive, self.python)


def opened(code: bytes, digest: bytes, archive: bytes, python: str) -> Any:
    """The function. RuntimeError: it needs another Python."""
    if python and python != PYTHON:
        raise RuntimeError(
            f"the function travels as code of Python {python}, and this worker runs Python {PYTHON}: give workers and "
            "client the same minor version, or put the function into a module of its own"
        )
    if archive:
        project = _known.get(digest)
        if project is None:
            project = _known[digest] = Project(unpack(archive))
        enter(project)
    return pickle.loads(code)  # noqa: S301 - whoever opens pickles opened this one
