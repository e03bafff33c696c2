"""Whether something could carry state from one job to the next, if both were given the same object.

What can not is loaded once in a process and shared by its jobs; all else is loaded anew for each (see
``slot/process.py``). Promises:

1. Plain values (`ATOMS`, and tuples of plain values) have no state, and nobody can tell a shared one from a copy.
2. What a process has by its name (functions and classes of modules and of the script) is shared there in any case, as
   with every import. A function that has mutable defaults or cells is not, unless it is of an imported module.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

ATOMS = frozenset({int, float, complex, str, bytes, bool, type(None), type(Ellipsis)})
"""Values of exactly these types cannot be changed, and have no attributes of their own."""

LruCache: Any = type(functools.lru_cache(abs))
"""What `functools.cache` and `lru_cache` make: pickled by name."""


def are_plain(values: Iterable[object]) -> bool:
    """Whether all of them are plain values; at the speed of C for long lists of numbers or texts."""
    kinds = set(map(type, values))
    if kinds <= ATOMS:
        return True
    if not kinds <= ATOMS | {tuple}:
        return False
    return are_plain(list(chain.from_iterable(value for value in values if type(value) is tuple)))


def is_stateless(value: object) -> bool:
    """Whether jobs may share it unseen."""
    return _is_stateless(value, set())


def is_importable(value: object) -> bool:
    """Whether an imported module other than the script has it by its name: a module, or a function or class there.
    Nothing of a module that its user had pickled by value is."""
    if isinstance(value, ModuleType):
        return not _is_by_value(value.__name__)
    module = getattr(value, "__module__", None)
    return isinstance(module, str) and module != "__main__" and _is_found(value, module) and not _is_by_value(module)


def by_value_modules() -> set[str]:
    """Modules that the user told cloudpickle to pickle by value (``cloudpickle.register_pickle_by_value``)."""
    cloudpickle = sys.modules.get("cloudpickle")
    return cloudpickle.list_registry_pickle_by_value() if cloudpickle is not None else set()


def _is_by_value(module: str) -> bool:
    names = by_value_modules()
    return bool(names) and any(module == name or module.startswith(f"{name}.") for name in names)


def is_in_script(value: object) -> bool:
    """Whether the script (``__main__``) has it by its name."""
    return getattr(value, "__module__", None) == "__main__" and _is_found(value, "__main__")


def is_generic(value: object) -> bool:
    """Whether it is a generic function of `functools.singledispatch`: its implementations are no state of a job's."""
    return type(value) is FunctionType and value.__globals__ is vars(functools) and hasattr(value, "registry")


def content_of(cell: CellType) -> object:
    """What a cell of a closure holds; the cell itself if it is empty."""
    try:
        return cell.cell_contents
    except ValueError:
        return cell


def all_code(code: CodeType) -> Iterator[CodeType]:
    """The code, and all code that is in it: that of inner functions, classes and lambdas."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from all_code(constant)


def _is_found(value: Any, module: str) -> bool:
    found: Any = sys.modules.get(module)
    for part in str(getattr(value, "__qualname__", None) or getattr(value, "__name__", "")).split("."):
        found = getattr(found, part, None)
    return found is not None and found is value


def _is_stateless(value: Any, seen: set[int]) -> bool:
    if id(value) in seen:
        return True
    seen.add(id(value))
    kind = type(value)
    if kind in ATOMS or isinstance(value, type) or kind is LruCache or is_generic(value) or is_importable(value):
        return True
    if kind is tuple or kind is frozenset:
        return all(_is_stateless(one, seen) for one in value)
    if kind is FunctionType:
        parts = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values(), *vars(value).values()]
        parts += [content_of(cell) for cell in value.__closure__ or () if content_of(cell) is not cell]
        return all(_is_stateless(one, seen) for one in parts)
    if kind is functools.partial:
        parts = [value.func, *value.args, *value.keywords.values(), *vars(value).values()]
        return all(_is_stateless(one, seen) for one in parts)
    if kind is MethodType or kind is BuiltinFunctionType:
        return value.__self__ is None or isinstance(value.__self__, type | ModuleType)
    wrapped = getattr(value, "wraps_only", None) if kind.__module__.startswith("penstock.") else None
    return wrapped is not None and all(_is_stateless(one, seen) for one in wrapped)
