"""Values of jobs for people who did not submit them: read without opening any pickle.

Nothing has to be made by the worker for that: what is shown is the value itself, so that a text cannot say something
else than the value, no repr of anybody's runs in a job, and what earlier releases have recorded is shown alike.

Promises:

1. Plain values (text, bytes, numbers, lists, dicts and sets of such) are what they are; numbers of numpy are numbers.
2. All else is `Unopened`: a text that is never long, made by `value_text` of what was read.
3. Whatever the bytes are, it takes time and memory in proportion to their length.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from penstock.job import unopened_pickle
from penstock.job.display import Unopened
from penstock.job.payload import PICKLED, Bytes
from penstock.job.unopened_pickle import Made, Members, Name, Pairs
from penstock.job.value_text import numpy_number, value_text

ROOM = 1_000
"""Characters of the text of a value that is not plain."""
NOT_READABLE = "<a value that cannot be read>"
ATOMS = frozenset({str, bytes, bytearray, int, float, bool, type(None)})
MOST_BITS = 14_000
"""Of a number that Python would still write in decimal."""
DICTS = frozenset(Name("collections", name) for name in ("OrderedDict", "Counter", "defaultdict"))
DEPTH = 100
"""Of lists in lists; what is deeper is shown as text."""
FREE, SHARE = 10_000, 8
"""What a value may come to, in items and characters: so many, and so many more for each byte of its pickle. A short
pickle can have the same list in it a billion times."""


class _NotPlain(Exception):  # noqa: N818 - nothing is wrong
    """The value is shown as text."""


def read_values(body: Bytes, serializer: str) -> list[Any]:
    """The list of `payload.encode_values`. ValueError: it is none."""
    if serializer == "msgpack":
        return msgspec.msgpack.decode(body, type=list[Any])
    if body[:1] == PICKLED:
        values = unopened_pickle.read(body)
        if type(values) is not list:
            raise ValueError("no list of values")
        reader = _Reader(len(body))
        return [value if type(value) in {int, float} else reader.value(value) for value in values]
    return [_read(blob) for blob in msgspec.msgpack.decode(body, type=list[memoryview])]


def _read(blob: memoryview) -> Any:
    try:
        return _Reader(len(blob)).value(unopened_pickle.read(blob))
    except ValueError:
        return Unopened(NOT_READABLE)


class _Reader:
    """Makes plain values of what was read of one pickle."""

    def __init__(self, size: int) -> None:
        self._left = FREE + SHARE * size

    def value(self, value: Any) -> Any:
        """A plain value as it is, another one as text."""
        try:
            return self._plain(value, 0)
        except _NotPlain:
            return Unopened(value_text(value, ROOM))

    def _plain(self, value: Any, depth: int) -> Any:
        kind = type(value)
        self._left -= 1 + (len(value) if kind in {str, bytes, bytearray} else 0)
        if self._left < 0 or depth > DEPTH:
            raise _NotPlain
        if kind is int and value.bit_length() > MOST_BITS:
            raise _NotPlain
        if kind in ATOMS:
            return value
        if kind in {list, tuple}:
            return kind(self._plain(one, depth + 1) for one in value)
        if kind is Pairs:
            return self._dict(value.pairs, depth)
        if kind is Members:
            keys = self._keys(value.items, depth)
            return set(keys) if value.kind == "set" else frozenset(keys)
        if kind is Made and (number := numpy_number(value)) is not None:
            return number
        if kind is Made and type(value.what) is Name and value.what in DICTS:
            return self._dict([*_first(value.arguments), *value.pairs], depth)
        raise _NotPlain

    def _dict(self, pairs: list[tuple[Any, Any]], depth: int) -> dict[Any, Any]:
        values = [self._plain(one, depth + 1) for _, one in pairs]
        return dict(zip(self._keys((key for key, _ in pairs), depth), values, strict=True))

    def _keys(self, items: Iterable[Any], depth: int) -> list[Any]:
        """What can be keys of a dict. A stranger may have chosen them so that each is compared with all others."""
        keys = [self._plain(one, depth + 1) for one in items]
        try:
            hashes = set(map(hash, keys))
        except TypeError:  # a list, for one
            raise _NotPlain from None
        if len(hashes) * SHARE < len(keys):
            raise _NotPlain
        return keys


def _first(arguments: Any) -> list[tuple[Any, Any]]:
    """What a Counter is made of."""
    is_dict = type(arguments) is tuple and len(arguments) == 1 and type(arguments[0]) is Pairs
    return arguments[0].pairs if is_dict else []
