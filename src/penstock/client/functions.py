"""Functions as they travel: serialized once where nothing can have changed since, else at each use."""

from __future__ import annotations

import functools
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from hashlib import blake2b
from operator import is_
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from penstock import payload
from penstock.messages import MAX_FRAME_BYTES

DIGEST_BYTES = 16
CACHED = 256
"""Functions whose serialized form is kept."""
MAX_PART_BYTES = MAX_FRAME_BYTES - (1 << 20)
"""A function or an argument can be this large: on the way to a worker it has to fit into a frame with others."""
ATOMS = (int, float, complex, str, bytes, bool, type(None), type(Ellipsis))
"""Of these, identity is equality for ever."""
MISSING = object()


class Function(NamedTuple):
    """A serialized function and its name on the wire."""

    code: bytes
    digest: bytes

    @classmethod
    def of(cls, code: bytes) -> Function:
        """Of its serialized form."""
        return cls(code, blake2b(code, digest_size=DIGEST_BYTES).digest())


class _Entry(NamedTuple):
    target: Callable[..., Any]
    seen: tuple[object, ...]
    function: Function


class Functions:
    """Serializes functions, and remembers those that cannot have changed since."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[int, str], _Entry] = OrderedDict()

    def serialized(self, target: Callable[..., Any], serializer: str) -> Function:
        """The function as it travels now. Raises pickle.PicklingError; TypeError: it is not callable."""
        key = (id(target), serializer)
        entry = self._entries.get(key)
        if entry is not None and (not entry.seen or _same(entry.seen, tuple(_depends_on(target)))):
            return entry.function
        if not callable(target):
            raise TypeError(f"{target!r} is not callable")
        function = Function.of(payload.function_blob(target, serializer))
        if len(function.code) > MAX_PART_BYTES:
            raise ValueError(f"the function: {too_large(function.code)}")
        seen = () if _is_importable(target) else tuple(_depends_on(target))
        if all(map(_is_constant, seen)):
            self._entries[key] = _Entry(target, seen, function)
            if len(self._entries) > CACHED:
                self._entries.popitem(last=False)
        return function


def _same(some: tuple[object, ...], others: tuple[object, ...]) -> bool:
    return len(some) == len(others) and all(map(is_, some, others))


def _is_importable(value: Any) -> bool:
    """Whether it travels as a name: then its serialized form never changes."""
    if isinstance(value, ModuleType):
        return True
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(value, FunctionType | BuiltinFunctionType | type) or module in (None, "__main__"):
        return False
    found: Any = sys.modules.get(str(module))
    for part in str(name).split("."):
        found = getattr(found, part, None)
    return found is value


def _is_constant(value: object) -> bool:
    """Whether it is the same for ever as long as it is the same object, and what it depends on is."""
    return value is MISSING or isinstance(value, (*ATOMS, CodeType, FunctionType)) or _is_importable(value)


def _depends_on(target: object) -> Iterator[object]:
    """All that a plain function's serialized form is made of; something not constant if that cannot be told."""
    pending, visited = [target], set[int]()
    while pending:
        function = pending.pop()
        if type(function) is not FunctionType:
            yield [function]
        elif id(function) not in visited:
            visited.add(id(function))
            for value in _parts_of(function):
                yield value
                if type(value) is FunctionType and not _is_importable(value):
                    pending.append(value)


def _parts_of(target: FunctionType) -> Iterator[object]:
    yield target.__code__
    yield from target.__defaults__ or ()
    yield from (target.__kwdefaults__ or {}).values()
    yield [target] if target.__dict__ else MISSING
    for cell in target.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            yield MISSING
    for name in _global_names(target.__code__):
        yield target.__globals__.get(name, MISSING)


@functools.lru_cache(maxsize=CACHED)
def _global_names(code: CodeType) -> tuple[str, ...]:
    """Names that the code, or code in it, may look up in the module's globals."""
    names = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= dict.fromkeys(_global_names(constant))
    return tuple(names)


def too_large(data: bytes) -> str:
    """What is wrong with more than MAX_PART_BYTES."""
    most = MAX_PART_BYTES >> 20
    return f"{len(data) >> 20} MB when serialized, at most {most} MB can be sent: pass a path or an address instead"
