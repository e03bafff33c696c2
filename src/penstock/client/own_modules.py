"""Which modules are the user's own: loaded from source outside of the standard library and of what is installed."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any
from zipimport import zipimporter

INSTALLED = {"site-packages", "dist-packages"}
"""Folders of what is installed."""
IMPORT = re.compile(
    rb"^[ \t]*(?:lazy[ \t]+)?(?:from[ \t]+(\w[\w.]*)[ \t]+import\b|import[ \t]+([^\n#;]+))", re.MULTILINE
)


def imports_of(text: bytes) -> set[str]:
    """The top-level modules that a source may import, wherever in it."""
    found: set[str] = set()
    for module, several in IMPORT.findall(text):
        for part in [module] if module else several.split(b","):
            words = part.split()
            found |= {words[0].partition(b".")[0].decode("utf-8", "replace")} if words else set()
    return {name for name in found if name.isidentifier()}


def spec_of(top: str) -> ModuleSpec | None:
    """Where a top-level module is, also if it is not imported yet."""
    if top in sys.stdlib_module_names or top in {"__main__", "__mp_main__", "penstock"}:
        return None
    if top in sys.modules:
        spec = getattr(sys.modules[top], "__spec__", None)
        return spec if isinstance(spec, ModuleSpec) else None
    return PathFinder.find_spec(top)


def is_own(spec: ModuleSpec) -> bool:
    origin, folders = spec.origin, list(spec.submodule_search_locations or ())
    loader: Any = spec.loader
    if isinstance(loader, zipimporter):
        return not _is_installed(loader.archive)
    if origin is None:
        return bool(folders) and not any(map(_is_installed, folders))
    return origin.endswith(".py") and not _is_installed(origin) and os.path.isfile(origin)


def _is_installed(path: str) -> bool:
    parts = Path(path).parts
    return bool(INSTALLED.intersection(parts)) or path.startswith(_standard_library())


@lru_cache(maxsize=1)
def _standard_library() -> tuple[str, ...]:
    return tuple(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib"))
