"""What a function or a class is made of: by that it is seen whether it is as it was when it was serialized."""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Callable
from types import CodeType, FunctionType, MemberDescriptorType
from typing import Any, NamedTuple

from penstock.job.main_module import MAIN
from penstock.job.stateless import ATOMS, LruCache, all_code, content_of, is_importable


class Parts(NamedTuple):
    """What a function or a class is made of, as it was."""

    of: Any
    read: Callable[[Any], list[object]]
    were: list[object]

    @property
    def are_as_they_were(self) -> bool:
        now = self.read(self.of)
        return len(now) == len(self.were) and all(map(operator.is_, now, self.were))


def is_as_it_was(parts: tuple[Parts, ...] | None) -> bool:
    """Whether what was looked at is still the same; what cannot be known so may have changed."""
    return parts is not None and all(part.are_as_they_were for part in parts)


def parts_of(value: object) -> tuple[Parts, ...] | None:
    """What to look at to know whether a value is as it was; None: it can change while all of that stays."""
    found: dict[int, Parts] = {}
    pending = [value]
    while pending:
        one = pending.pop()
        kind = type(one)
        if id(one) in found or kind in ATOMS or is_importable(one):
            continue
        if kind is FunctionType:
            read: Callable[[Any], list[object]] = _function_parts
        elif isinstance(one, type) and one.__module__ == MAIN:
            read = _class_parts
        elif kind in WRAPPERS:
            read = WRAPPERS[kind]
        else:
            return None
        parts = found[id(one)] = Parts(one, read, read(one))
        pending += parts.were
    return tuple(found.values())


def _function_parts(function: FunctionType) -> list[object]:
    parts = [function.__code__, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    parts += [*vars(function).values(), *map(content_of, function.__closure__ or ())]
    known = function.__globals__
    if known is not vars(sys.modules[MAIN]):  # those of the script are definitions of their own
        parts += [known.get(name) for name in global_names(function.__code__)]
    return parts


def _class_parts(kind: type) -> list[object]:
    return [*kind.__bases__, *(one for name, one in vars(kind).items() if name not in CLASS_OWN)]


CLASS_OWN = frozenset({
    "__dict__", "__weakref__", "__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__",
    "__dataclass_fields__", "__dataclass_params__", "__abstractmethods__", "_abc_impl", "__match_args__", "__slots__",
    "__slotnames__",
})  # fmt: skip
"""Of a class, what is made of its statement and nobody changes; pickling an instance adds the last one."""
WRAPPERS: dict[type, Callable[[Any], list[object]]] = {
    staticmethod: lambda one: [one.__func__],
    classmethod: lambda one: [one.__func__],
    property: lambda one: [one.fget, one.fset, one.fdel],
    LruCache: lambda one: [one.__wrapped__],
    CodeType: lambda _: [],
    tuple: list,
    functools.cached_property: lambda one: [one.func],
    MemberDescriptorType: lambda _: [],
}
"""What consists of other things only."""


@functools.lru_cache(maxsize=1024)
def global_names(code: CodeType) -> tuple[str, ...]:
    """Names that the code, or code in it, may look up in the module's globals."""
    return tuple(dict.fromkeys(name for one in all_code(code) for name in one.co_names))
