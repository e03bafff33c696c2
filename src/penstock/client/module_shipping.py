"""The user's own modules, sent along with functions that use them.

Own is what was loaded from source outside of the standard library and of what is installed (site-packages). Of those a
function names, and those that they import, each is sent as this process has it: a module or a package whole, with its
data, known by its content. Promises:

1. A module is read when it is first needed, and again once it was reloaded: what is sent is what its name means here.
   One that this process has not imported is read as it is on disk now.
2. What is unchanged is not read again.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import re
import sys
import time
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple
from zipfile import ZipFile
from zipimport import zipimporter

import msgspec

from penstock.client.module_constants import Constant, changed, constants_of
from penstock.client.own_modules import imports_of, is_own, spec_of
from penstock.job.payload import PROTOCOL
from penstock.job.shipped_modules import FileStat, Module, is_as_read, pack
from penstock.job.stateless import all_code

SHIPPED_BYTES = 16 << 20
"""Of one module with its data: far more than people write, far less than what they install."""
NO_PACKAGES = {"__pycache__", "node_modules"}
"""Folders in which nothing is of a package."""
SHIPPED_FILES = 5_000
"""Of one module: a folder with more is no package that somebody wrote."""
CARRIED_BYTES = 1 << 20
"""Of content that is sent in any case: a file may be edited while jobs are still to be started."""
LOOK_INTERVAL = 1.0
"""Seconds between two looks at whether files have changed since they were read: a look costs 1 us for each."""
SETS = 64
"""Of modules that travelled together, remembered with their content."""
DIGEST_BYTES = 16
NAMED = rb"\x8c.(%b)[.\x94]"
"""Finds names in a pickle, by the way in which pickle writes short texts."""

log: logging.Logger = logging.getLogger("penstock.client")


class _Captured(NamedTuple):
    """A module as it was read, and by what it is seen that this process has another one now."""

    module: Module
    imports: frozenset[str]
    specs: tuple[tuple[str, object], ...]
    """Of the loaded module and what is loaded below it: a reload makes a new one."""
    stats: tuple[tuple[str, int], ...]
    """Of the files of one that is not loaded."""
    constants: tuple[tuple[Constant, object], ...]
    """What its source says of them, and what they were."""

    @property
    def is_as_it_was(self) -> bool:
        if any(constant.now is not value for constant, value in self.constants):
            return False
        if self.specs:
            return all(getattr(sys.modules.get(name), "__spec__", None) is spec for name, spec in self.specs)
        return not self.is_loaded and all(_mtime(path) == mtime for path, mtime in self.stats)

    @property
    def is_loaded(self) -> bool:
        return self.module.name in sys.modules


class Shipper:
    """Sends one client's own modules to the workers; unless it `ships`, none. `is_local`: all workers are on this
    host, where they find the files of a module that is too large to be sent."""

    def __init__(self, *, ships: bool = True, is_local: bool = False) -> None:
        self._ships = ships
        self.is_local = is_local
        self._own: dict[str, tuple[object, bool]] = {}
        """Top-level modules, by what was found of them."""
        self._looked: tuple[int, re.Pattern[bytes] | None] = 0, None
        """How many modules there were at the last look, and what finds the names of the user's own. Both at once: other
        threads may submit while one looks."""
        self._captured: dict[str, _Captured] = {}
        self._sets: dict[frozenset[str], tuple[_Captured, ...]] = {}
        self._modules: dict[tuple[tuple[bytes, bool], ...], tuple[Module, ...]] = {}
        self._here: dict[bytes, tuple[float, bool]] = {}
        """Of modules, by digest: when it was looked whether their files are as they were read, and if they were."""

    def names_in(self, code: bytes | memoryview) -> frozenset[str]:
        """The user's own top-level modules that are named in a pickle."""
        pattern = self._named() if self._ships else None
        return frozenset(name.decode() for name in pattern.findall(code)) if pattern is not None else frozenset()

    def own(self, names: Iterable[str]) -> frozenset[str]:
        """Those of some modules that are the user's own, by their top-level names."""
        tops = {name.partition(".")[0] for name in names} if self._ships else set()
        return frozenset(top for top in tops if self._is_own(top))

    def modules(self, names: frozenset[str]) -> tuple[Module, ...]:
        """These modules and all that they import: the same object as long as nothing changed. Raises ValueError: one is
        too large."""
        if not names:
            return ()
        known = self._sets.get(names)
        if known is None or not all(one.is_as_it_was for one in known):
            known = self._sets[names] = tuple(self._closure(names))
        sent = tuple(self._sent(one.module) for one in known)
        if len(self._modules) > SETS:
            self._modules.clear()
        return self._modules.setdefault(tuple((one.digest, bool(one.content)) for one in sent), sent)

    def _sent(self, module: Module) -> Module:
        """A module as it travels: to slots of this host without its content, where they find its files."""
        if not self.is_local or len(module.content) <= CARRIED_BYTES:
            return module
        now = time.monotonic()
        looked_at, is_here = self._here.get(module.digest, (-math.inf, False))
        if now >= looked_at + LOOK_INTERVAL:
            is_here = is_as_read(module)
            self._here[module.digest] = now, is_here
        return msgspec.structs.replace(module, content=b"") if is_here else module

    def _named(self) -> re.Pattern[bytes] | None:
        looked, pattern = self._looked
        if (there := len(sys.modules)) != looked:
            tops = {name for name in list(sys.modules) if "." not in name}
            own = sorted(name.encode() for name in tops if self._is_own(name))
            pattern = re.compile(NAMED % b"|".join(map(re.escape, own)), re.DOTALL) if own else None
            self._looked = there, pattern
        return pattern

    def _is_own(self, top: str) -> bool:
        loaded = sys.modules.get(top)
        known = self._own.get(top)
        if known is None or known[0] is not loaded or loaded is None:
            spec = spec_of(top)
            known = self._own[top] = loaded, spec is not None and is_own(spec)
        return known[1]

    def _closure(self, names: Iterable[str]) -> list[_Captured]:
        """These modules and all that they import, in order."""
        found: dict[str, _Captured] = {}
        pending = sorted(names)
        while pending:
            top = pending.pop()
            if top in found or (captured := self._capture(top)) is None:
                continue
            found[top] = captured
            pending += [name for name in captured.imports if name not in found and self._is_own(name)]
        return [found[name] for name in sorted(found)]

    def _capture(self, top: str) -> _Captured | None:
        known = self._captured.get(top)
        if known is not None and known.is_as_it_was:
            return known
        spec = spec_of(top)
        if spec is None:
            return None
        captured = self._captured[top] = _captured(spec)
        if not captured.module.content and not self.is_local and not _is_compiled(spec):
            raise _too_large(top)
        return captured


def _too_large(top: str) -> ValueError:
    return ValueError(
        f"the module {top}, which the function uses, is more than {SHIPPED_BYTES >> 20} MB of source: "
        "install it on the workers, and say Pipeline(ship=False)"
    )


def _is_compiled(spec: ModuleSpec) -> bool:
    folders = spec.submodule_search_locations or ()
    return any(name.endswith(tuple(EXTENSION_SUFFIXES)) for folder in folders for name in _files(Path(folder)))


# ------------------------------------------------------------------------------------------------- what it consists of


class _Found(NamedTuple):
    """A file of a module: its path relative to a root, and where it is."""

    path: str
    at: Path


def _captured(spec: ModuleSpec) -> _Captured:
    loader: Any = spec.loader
    if isinstance(loader, zipimporter):
        return _captured_zip(spec, loader)
    roots, found = _located(spec)
    stats = _stats(found)
    if not _is_sent(stats):
        found = [one for one in found if one.path.endswith(".py")]
        stats = _stats(found)
        if _is_sent(stats):
            log.warning("the data in the folder of %s is too large to be sent along: only its source is", spec.name)
    is_whole = _is_sent(stats)
    contents = [(one.path, one.at.read_bytes()) for one in found]
    sources = [text for path, text in contents if path.endswith(".py")]
    if spec.origin is not None:
        _warn_if_edited(spec, sources[0] if len(sources) == 1 else Path(spec.origin).read_bytes())
    content = pack(contents) if is_whole and not _is_compiled(spec) else b""
    return _made(spec, roots, stats, contents, content)


def _stats(found: list[_Found]) -> tuple[FileStat, ...]:
    return tuple(FileStat(one.path, (stat := one.at.stat()).st_size, stat.st_mtime_ns) for one in found)


def _is_sent(stats: tuple[FileStat, ...]) -> bool:
    return sum(one.size for one in stats) <= SHIPPED_BYTES and len(stats) <= SHIPPED_FILES


def _captured_zip(spec: ModuleSpec, loader: zipimporter) -> _Captured:
    at = Path(loader.archive)
    stat = at.stat()
    start = f"{loader.prefix}{spec.name}".replace(os.sep, "/")
    single = f"{start}.py"
    with ZipFile(at) as file:
        infos = [one for one in file.infolist() if one.filename.startswith(f"{start}/") or one.filename == single]
        if sum(one.file_size for one in infos) > SHIPPED_BYTES or len(infos) > SHIPPED_FILES:
            raise _too_large(spec.name)
        contents = [(one.filename[len(loader.prefix) :], file.read(one)) for one in infos if not one.is_dir()]
    stats = (FileStat("", stat.st_size, stat.st_mtime_ns),)
    return _made(spec, () if loader.prefix else (loader.archive,), stats, contents, pack(contents))


def _made(
    spec: ModuleSpec,
    roots: tuple[str, ...],
    stats: tuple[FileStat, ...],
    contents: list[tuple[str, bytes]],
    content: bytes,
) -> _Captured:
    digest = blake2b(digest_size=DIGEST_BYTES)
    for path, data in contents:
        digest.update(f"{path}\0{len(data)}\0".encode() + data)
    constants = [constant for path, data in contents for constant in _constants(path, data)]
    changes = changed(constants)
    packed = pickle.dumps(changes, PROTOCOL) if changes else b""
    digest.update(packed)
    imports = frozenset().union(*(imports_of(data) for path, data in contents if path.endswith(".py")))
    loaded = [name for name in list(sys.modules) if name.partition(".")[0] == spec.name]
    specs = tuple((name, getattr(sys.modules.get(name), "__spec__", None)) for name in loaded)
    times = tuple((os.path.join(root, one.path) if one.path else root, one.mtime_ns) for root in roots for one in stats)
    module = Module(spec.name, digest.digest(), roots, pack(stats), content, packed)
    return _Captured(module, imports, specs, times if not specs else (), tuple((one, one.now) for one in constants))


def _constants(path: str, text: bytes) -> list[Constant]:
    """Of a file of a module that is loaded."""
    name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    if not path.endswith(".py") or name not in sys.modules:
        return []
    try:
        return constants_of(name, text, compile(text, path, "exec", dont_inherit=True))
    except (SyntaxError, ValueError):  # it was edited since
        return []


def _located(spec: ModuleSpec) -> tuple[tuple[str, ...], list[_Found]]:
    """The roots of a module (none: its files are not where an import would look for them), and its files."""
    if spec.submodule_search_locations is None:
        assert spec.origin is not None
        at = Path(spec.origin)
        roots = (str(at.parent),) if at.name == f"{spec.name}.py" else ()
        return roots, [_Found(f"{spec.name}.py", at)]
    folders = [Path(folder) for folder in spec.submodule_search_locations]
    is_found = all(folder.name == spec.name for folder in folders)
    found = [_Found(f"{spec.name}/{name}", folder / name) for folder in folders for name in _files(folder)]
    return tuple(str(folder.parent) for folder in folders) if is_found else (), found


def _files(folder: Path) -> Iterator[str]:
    """All files of a package, relative to its folder."""
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in NO_PACKAGES and not name.startswith("."))
        below = Path(path).relative_to(folder)
        for name in sorted(names):
            # an editor's lock is a link that leads nowhere, a socket cannot be read, and a pipe waits for a writer
            if not name.endswith((".pyc", ".pyo")) and os.path.isfile(os.path.join(path, name)):
                yield (below / name).as_posix()


def _mtime(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return -1


def _warn_if_edited(spec: ModuleSpec, text: bytes) -> None:
    """Say so if the file is not what this process has imported: the jobs would run something else than it would."""
    loaded = sys.modules.get(spec.name)
    if loaded is None or type(spec.loader) is not SourceFileLoader:  # others, as pytest's, make code of their own
        return
    if not _was_edited(loaded, str(spec.origin), text):
        return
    log.warning("%s was edited after this process had imported it: reload the module, or its jobs run the new text",
                spec.origin)  # fmt: skip


def _was_edited(module: ModuleType, path: str, text: bytes) -> bool:
    try:
        known = set(all_code(compile(text, path, "exec", dont_inherit=True)))
    except (SyntaxError, ValueError):
        return True
    functions: list[Any] = [one for one in list(vars(module).values()) if type(one) is FunctionType]
    return any(one.__code__.co_filename == path and one.__code__ not in known for one in functions)
