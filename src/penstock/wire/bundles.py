"""Many records in few messages, none of them huge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def bundles(items: Iterable[Item], most: int, most_bytes: int, size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """The items in order, in lists of at most `most`, and of at most `most_bytes` bytes by their `size`, unless one
    alone is larger."""
    bundle: list[Item] = []
    total = 0
    for item in items:
        bytes_more = size(item)
        if bundle and (len(bundle) == most or total + bytes_more > most_bytes):
            yield bundle
            bundle, total = [], 0
        bundle.append(item)
        total += bytes_more
    if bundle:
        yield bundle
