"""A user's own modules, as they come along with a function: what they are, and how a slot's process has them.

A module (a package whole, with its data) is known by its content. Where the very files of the client are on this host
too, they are imported from there; else they are laid out in a folder of this process's own. Promises:

1. In a slot a name means what it means in the client: a module that came along is preferred to one that is installed.
2. A process has one version of each module. One that has another one already is `Stale`: it is replaced.
3. Modules are files on a path: data beside them, ``__file__`` and processes that jobs start find them.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import sys
import zlib
from collections.abc import Iterable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Annotated, Any, TypeVar

import msgspec

from penstock.errors import ConfigError
from penstock.job.main_module import Stale

Decoded = TypeVar("Decoded")

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""Code objects of another one cannot be run."""
CONTENT_BYTES = 64 << 20
"""Of one module with all its data: several times what a client sends."""
KEPT = frozenset({*sys.builtin_module_names, "__main__", "__mp_main__", "penstock"})
"""Modules of which a process has its own, whatever comes along: no client sends one."""


class FileStat(msgspec.Struct, frozen=True, array_like=True):
    """A file of a module as it was read: where, relative to one of the module's roots, how large, and of when."""

    path: str
    size: int
    mtime_ns: int


class Module(msgspec.Struct, frozen=True, array_like=True):
    """A top-level module: its name, a digest of its content, the client's folders (or zip files) that it is in; what is
    known of its files, and their content, as `pack` makes both (no content: it can only be used where those files are);
    and a pickle of what the client has changed since, by module and name (empty: nothing)."""

    name: str
    digest: Annotated[bytes, msgspec.Meta(min_length=1, max_length=64)]
    roots: tuple[str, ...]
    files: bytes
    content: bytes
    changes: bytes = b""


_stats = msgspec.msgpack.Decoder(list[FileStat])
_contents = msgspec.msgpack.Decoder(list[tuple[str, bytes]])


def pack(files: Iterable[tuple[str, bytes] | FileStat]) -> bytes:
    """Files with their relative paths, or what is known of each, as they travel: what is known of a package of hundreds
    is a small part of a message."""
    return zlib.compress(msgspec.msgpack.encode(list(files)), 1)


def unpack(content: bytes) -> list[tuple[str, bytes]]:
    """The files of `pack`. Raises ValueError: they are none, or too large, or are to lie elsewhere."""
    files = _decoded(content, _contents)
    paths = {path for path, _ in files}
    for path in paths:
        parts = path.split("/")
        folders = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if "\0" in path or not {"", ".", ".."}.isdisjoint(parts) or not folders.isdisjoint(paths):
            raise ValueError(f"a file of a module cannot lie at {path!r}")
    return files


def _decoded(content: bytes, decoder: msgspec.msgpack.Decoder[Decoded]) -> Decoded:
    """Whatever it claims, no more than CONTENT_BYTES of it are unpacked."""
    engine = zlib.decompressobj()
    try:
        data = engine.decompress(content, CONTENT_BYTES)
    except zlib.error as error:
        raise ValueError(f"no modules: {error}") from None
    if not engine.eof:
        raise ValueError(f"a module of more than {CONTENT_BYTES >> 20} MB, or cut off")
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError) as error:  # msgspec's own, and text that is none
        raise ValueError(f"no modules: {error}") from None


class Finder(MetaPathFinder):
    """Finds the modules that came along, before all others."""

    def __init__(self) -> None:
        self.roots: dict[str, list[str]] = {}
        """By top-level module."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """Of one of them; what is in a package is found by its path."""
        roots = self.roots.get(fullname) if path is None else None
        return None if roots is None else PathFinder.find_spec(fullname, roots, target)


class _Here:
    """What this process has of a client's modules."""

    digests: dict[str, bytes] = {}  # noqa: RUF012 - the process has one
    finder = Finder()
    folder = ""
    """Where modules are laid out; empty: nowhere yet."""
    lock = -1
    is_slot = False
    changes: list[bytes] = []  # noqa: RUF012
    """Not made yet: the module that they are of may fail to be imported."""
    laid_out: dict[str, str] = {}  # noqa: RUF012
    """The client's root of each module that is laid out here."""


def lay_out_here() -> None:
    """Modules may be laid out in this process: it is a slot's."""
    _Here.is_slot = True


def folder() -> str:
    """Where this process lays out what it is sent, a private folder; empty: it has no place for one, or is no slot. Its
    lock ends with this process, and whoever finds it so removes it."""
    if _Here.is_slot and not _Here.folder:
        # Windows, where clients are but no slots, has no such locks
        from penstock.job import private_folder  # noqa: PLC0415

        with contextlib.suppress(ConfigError, OSError):
            made, _Here.lock = private_folder.make_folder()
            _Here.folder = str(made)
    return _Here.folder


def enter(modules: Iterable[Module]) -> None:
    """Let this process import these modules. Raises Stale; ValueError: one cannot be had here."""
    missing = [one for one in modules if _Here.digests.get(one.name) != one.digest]
    for one in missing:
        if one.name in KEPT:
            raise ValueError(f"a module named {one.name} cannot come along: every process has its own")
    if any(one.name in _Here.digests for one in missing):
        raise Stale
    if missing and _Here.digests and any(one.name in sys.modules for one in missing):
        raise Stale
    if missing and _Here.finder not in sys.meta_path:
        sys.meta_path.insert(0, _Here.finder)
    for one in missing:
        _forget(one.name)
        roots = list(one.roots) if is_as_read(one) else [_lay_out(one)]
        _Here.finder.roots[one.name] = roots
        _Here.digests[one.name] = one.digest
        _Here.changes += [one.changes] if one.changes else []
        # processes that jobs start know this path only
        sys.path += [root for root in roots if root not in sys.path]
    while _Here.changes:
        for name, values in pickle.loads(_Here.changes[0]).items():  # noqa: S301 - whoever opens pickles opened it
            vars(importlib.import_module(name)).update(values)
        del _Here.changes[0]


def _forget(name: str) -> None:
    """Another module of that name was imported in the fork server."""
    for known in [known for known in list(sys.modules) if known.partition(".")[0] == name]:
        del sys.modules[known]


def is_as_read(module: Module) -> bool:
    """Whether the client's own files are on this host, unchanged since it read them. Raises ValueError: what is known
    of them is nothing that `pack` makes."""
    return bool(module.roots and module.files) and all(
        any(_is_there(root, one) for root in module.roots) for one in _decoded(module.files, _stats)
    )


def _is_there(root: str, file: FileStat) -> bool:
    try:
        found = os.stat(os.path.join(root, file.path) if file.path else root)
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (file.size, file.mtime_ns)


def _lay_out(module: Module) -> str:
    if not module.content:
        raise ValueError(
            f"the module {module.name} is too large to be sent, or has compiled parts, and its files are not on this "
            "host as the client has read them: install it here, or reload it if it was edited"
        )
    if not folder():
        raise ValueError(f"the module {module.name} came along, and there is no place for it: is there room in TMPDIR?")
    root = os.path.join(folder(), module.digest.hex())
    for path, data in unpack(module.content):
        at = os.path.join(root, path)
        os.makedirs(os.path.dirname(at), mode=0o700, exist_ok=True)
        with open(at, "wb") as file:
            file.write(data)
    if module.roots:
        _Here.laid_out[root] = module.roots[0]
    return root


def clients_paths(text: str) -> str:
    """A text, such as a traceback, with the client's paths in place of this process's."""
    for here, there in _Here.laid_out.items():
        text = text.replace(here, there)
    return text


# ------------------------------------------------------------------------------ what the release before 0.2 sent


class Source(msgspec.Struct, frozen=True, array_like=True):
    """One module: its full name, the client's file, its source as it is there."""

    name: str
    path: str
    is_package: bool
    text: bytes


_sources = msgspec.msgpack.Decoder(list[Source])


def opened(code: bytes, digest: bytes, archive: bytes, python: str) -> Any:
    """A function of a queue that the release before has written. RuntimeError: it needs another Python."""
    ensure_python(python)
    if archive:
        sources = _decoded(archive, _sources)
        tops: dict[str, list[tuple[str, bytes]]] = {}
        for one in sources:
            path = one.name.replace(".", "/") + ("/__init__.py" if one.is_package else ".py")
            tops.setdefault(one.name.partition(".")[0], []).append((path, one.text))
        enter(Module(top, digest, (), b"", pack(files)) for top, files in tops.items())
    return pickle.loads(code)  # noqa: S301 - whoever opens pickles opened this one


def ensure_python(python: str) -> None:
    """Raises RuntimeError: code of this version of Python cannot be run here."""
    if python and python != PYTHON:
        raise RuntimeError(
            f"the function travels as code of Python {python}, and this worker runs Python {PYTHON}: give workers and "
            "client the same minor version, or put the function into a module of its own"
        )
