"""The user's own modules, sent along with functions that use them to workers that may not have them.

Own is what was loaded from source outside of the standard library and of what is installed (site-packages). Of those a
function names, and those that they import, each file is sent as it was on disk when it was first sent; a package whole.
A package with compiled parts is not: it has to be installed. Nothing but source travels: data files stay here.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, PathFinder
from pathlib import Path

from penstock.shipped import PYTHON, Along, Project, Source, pack

SHIPPED_BYTES = 16 << 20
"""Of source, sent along with one function: far more than people write, far less than what they install."""
DIGEST_BYTES = 16
INSTALLED = {"site-packages", "dist-packages"}
"""Folders of what is installed."""
IMPORT = re.compile(
    rb"^[ \t]*(?:lazy[ \t]+)?(?:from[ \t]+(\w[\w.]*)[ \t]+import\b|import[ \t]+([^\n#;]+))", re.MULTILINE
)
MAIN = re.compile(rb"__main__")
BY_VALUE = b"cloudpickle"
"""In every pickle that has code in it."""


class Shipper:
    """Of one client; unless it `ships`, no module goes along."""

    def __init__(self, *, ships: bool = True) -> None:
        self._ships = ships
        self._own: dict[str, bool] = {}
        """Top-level modules, by what was found of them."""
        self._looked = 0
        self._pattern: re.Pattern[bytes] | None = None
        self._sources: dict[str, list[Source]] = {}
        self._archives: dict[frozenset[str], tuple[bytes, bytes]] = {}

    def names_in(self, code: bytes | memoryview) -> frozenset[str]:
        """The user's own top-level modules that are named in a pickle; of a script's function, all that it imports."""
        pattern = self._named() if self._ships else None
        found = {name.decode() for name in pattern.findall(code)} if pattern is not None else set()
        if pattern is not None and MAIN.search(code):
            found |= {name for name in _imported_by(sys.modules.get("__main__")) if self._is_own(name)}
        return frozenset(found)

    def along(self, code: bytes, names: frozenset[str]) -> Along | None:
        """The pickled function with what it needs; None: it needs nothing. Raises ValueError: that is too much."""
        python = PYTHON if BY_VALUE in code else ""
        if not names:
            return Along(code, b"", b"", python) if python else None
        if names not in self._archives:
            archive = pack(self._closure(names))
            self._archives[names] = blake2b(archive, digest_size=DIGEST_BYTES).digest(), archive
        return Along(code, *self._archives[names], python)

    def _named(self) -> re.Pattern[bytes] | None:
        """Finds own modules in a pickle, by the way in which pickle writes short texts."""
        if len(sys.modules) != self._looked:
            self._looked = len(sys.modules)
            tops = {name for name in list(sys.modules) if "." not in name}
            own = sorted(name.encode() for name in tops if self._is_own(name))
            some = b"|".join(map(re.escape, own))
            self._pattern = re.compile(rb"\x8c.(%b)[.\x94]" % some, re.DOTALL) if own else None
        return self._pattern

    def _is_own(self, top: str) -> bool:
        found = self._own.get(top)
        if found is None:
            spec = _spec_of(top)
            found = self._own[top] = spec is not None and _is_own(spec)
        return found

    def _closure(self, names: Iterable[str]) -> list[Source]:
        """The sources of these modules and of all that they import, in order."""
        sources: dict[str, Source] = {}
        pending, size = sorted(names), 0
        while pending:
            top = pending.pop()
            if top in sources:
                continue
            for source in self._sources_of(top):
                sources[source.name] = source
                size += len(source.text)
                pending += [name for name in imports_of(source.text) if name not in sources and self._is_own(name)]
            if size > SHIPPED_BYTES:
                raise ValueError(
                    f"the modules that the function uses ({', '.join(sorted(names))}) are more than "
                    f"{SHIPPED_BYTES >> 20} MB of source: install them on the workers, and say Pipeline(ship=False)"
                )
        return [sources[name] for name in sorted(sources)]

    def _sources_of(self, top: str) -> list[Source]:
        if top not in self._sources:
            spec = _spec_of(top)
            self._sources[top] = [] if spec is None else list(_sources(spec))
        return self._sources[top]


def imports_of(text: bytes) -> set[str]:
    """The top-level modules that a source may import, wherever in it."""
    found: set[str] = set()
    for module, several in IMPORT.findall(text):
        for part in [module] if module else several.split(b","):
            words = part.split()
            found |= {words[0].partition(b".")[0].decode("utf-8", "replace")} if words else set()
    return {name for name in found if name.isidentifier()}


def _imported_by(module: object) -> Iterator[str]:
    """The top-level modules that a module's globals are of."""
    for value in list(vars(module).values()) if module is not None else ():
        name = getattr(value, "__module__", None) or getattr(value, "__name__", None)
        if isinstance(name, str):
            yield name.partition(".")[0]


def _spec_of(top: str) -> ModuleSpec | None:
    """Where a top-level module is, also if it is not imported yet."""
    if top in sys.stdlib_module_names or top in {"__main__", "penstock"}:
        return None
    if top in sys.modules:
        spec = getattr(sys.modules[top], "__spec__", None)
        return spec if isinstance(spec, ModuleSpec) else None
    return PathFinder.find_spec(top)


def _is_own(spec: ModuleSpec) -> bool:
    if isinstance(spec.loader, Project):
        return True
    origin, folders = spec.origin, list(spec.submodule_search_locations or ())
    if origin is None:
        return bool(folders) and not any(map(_is_installed, folders))
    if not origin.endswith(".py") or _is_installed(origin) or not os.path.isfile(origin):
        return False
    return not any(name.endswith(tuple(EXTENSION_SUFFIXES)) for folder in folders for _, name in _files(Path(folder)))


def _is_installed(path: str) -> bool:
    parts = Path(path).parts
    return bool(INSTALLED.intersection(parts)) or path.startswith(_standard_library())


@lru_cache(maxsize=1)
def _standard_library() -> tuple[str, ...]:
    return tuple(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib"))


def _sources(spec: ModuleSpec) -> Iterator[Source]:
    """A module, or all of a package. Raises ValueError: there is too much in its folder."""
    project = spec.loader
    if isinstance(project, Project):
        yield from (one for name, one in project.sources.items() if name.partition(".")[0] == spec.name)
        return
    if spec.submodule_search_locations is None:
        assert spec.origin is not None
        yield Source(spec.name, spec.origin, False, Path(spec.origin).read_bytes())
        return
    if spec.origin is None:
        yield Source(spec.name, "", True, b"")
    size = 0
    for folder in spec.submodule_search_locations:
        for parts, name in _files(Path(folder)):
            source = _source(spec.name, Path(folder), parts, name)
            if source is not None:
                yield source
                size += len(source.text)
            if size > SHIPPED_BYTES:
                return  # whoever adds it up says so


def _files(folder: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """All files of a package: the folders within it, the name. A folder without ``__init__.py`` has the name ``""``."""
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name.isidentifier() and name != "__pycache__")
        parts = Path(path).relative_to(folder).parts
        if "__init__.py" not in names and parts:
            yield parts, ""
        yield from ((parts, name) for name in sorted(names))


def _source(top: str, folder: Path, parts: tuple[str, ...], name: str) -> Source | None:
    path = folder.joinpath(*parts, name)
    if not name:
        return Source(".".join((top, *parts)), "", True, b"")
    stem = name.removesuffix(".py")
    if stem == name or not stem.isidentifier():
        return None
    is_package = stem == "__init__"
    return Source(".".join((top, *parts, *(() if is_package else (stem,)))), str(path), is_package, path.read_bytes())
