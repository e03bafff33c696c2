"""Functions that were serialized, for as long as it is known that each of them would be the same again.

Functions are told apart by their identity. One that is remembered is held, so that no other object gets its id, and
whether it is unchanged is checked at each use (function_parts.py).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from penstock.client.argument_pickling import Needs
from penstock.client.function_parts import is_as_it_was, parts_of
from penstock.job.bundle import Bundle
from penstock.job.stateless import is_importable, is_in_script, is_stateless
from penstock.job.wrappers import Initializer, Prepared, Surroundings

CACHED = 256
"""Functions that are remembered."""
CACHED_BYTES = 64 << 10
"""A larger one is serialized at each use: that costs little beside sending it, and keeping it costs memory."""
NOWHERE = Surroundings()


class Entry(NamedTuple):
    """A function that was serialized, and how it is known that it would be the same again."""

    around: tuple[Any, Any, Any]
    is_as_it_was: Callable[[], bool]
    """Whether the function would be serialized to the same again."""
    bare: Bundle
    needs: Needs
    title: str


class RememberedFunctions:
    """The functions that one client has serialized lately; it holds them, and pickles nothing itself."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[int, int, int, str], Entry] = OrderedDict()
        self._seen: OrderedDict[CodeType, int] = OrderedDict()
        """Code of functions that travelled by value, and of which function object."""

    def find(self, target: Callable[..., Any], serializer: str) -> Entry | None:
        """What is remembered of a function that is as it was."""
        entry = self._entries.get(_key(target, serializer))
        return entry if entry is not None and entry.is_as_it_was() else None

    def keep(self, target: Callable[..., Any], serializer: str, bare: Bundle, needs: Needs, title: str) -> None:
        """Remember a function, unless it is large, or can change while nothing shows it."""
        if len(bare.code) <= CACHED_BYTES and (entry := _entry(unwrapped(target), bare, needs, title)):
            self._entries[_key(target, serializer)] = entry
            trim(self._entries)

    def is_one_of_many(self, function: FunctionType) -> bool:
        """Whether another function of the same code was asked for before."""
        known = self._seen.setdefault(function.__code__, id(function))
        trim(self._seen)
        return known != id(function)


def unwrapped(target: Any) -> tuple[Any, Initializer | None, Surroundings]:
    """The function that a user gave, and what its jobs want around it."""
    if not isinstance(target, Prepared):
        return target, None, NOWHERE
    function, initializer, surroundings = target.parts
    return function, initializer, NOWHERE if surroundings == NOWHERE else surroundings


def _key(target: Any, serializer: str) -> tuple[int, int, int, str]:
    function, initializer, surroundings = unwrapped(target)
    return id(function), id(initializer), id(surroundings), serializer


def _entry(around: tuple[Any, Any, Any], bare: Bundle, needs: Needs, title: str) -> Entry | None:
    """What to remember of a function; None: it can change while nothing shows it."""
    function = around[0]
    if is_importable(function):
        return Entry(around, partial(is_importable, function), bare, needs, title)
    if is_in_script(function) and is_stateless(function):
        return Entry(around, partial(is_in_script, function), bare, needs, title)
    parts = parts_of(function)
    return None if parts is None else Entry(around, partial(is_as_it_was, parts), bare, needs, title)


def trim(entries: OrderedDict[Any, Any]) -> None:
    """Forget the oldest one if there are too many."""
    if len(entries) > CACHED:
        entries.popitem(last=False)
