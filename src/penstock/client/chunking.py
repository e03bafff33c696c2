"""Input cut into chunks: by count and by bytes, so that a chunk is neither a message per job nor a huge one.

Promises:

1. Items leave in order, each in one chunk; a chunk is at most CHUNK_BYTES, or it is a single item. Those of a range
   leave as ranges: nobody but the slot makes its numbers.
2. What was drawn before the input raised, or before an item that cannot be serialized, leaves; the error comes
   after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from penstock.client.functions import MAX_PART_BYTES, too_large

CHUNK_BYTES = 1 << 20
"""Large enough that a message costs nothing beside it, small enough for heartbeats to fit between."""
FIRST_COUNT = 8
"""Items in the first chunk at most: their size is not known yet."""
GROWTH = 8
"""How much larger than the last one a chunk may be: sizes of neighbours are alike, mostly."""


Input = Iterator[Any] | range | list[Any] | tuple[Any, ...]
"""Items as they are drawn, or all of them, to be cut."""


class Chunk(NamedTuple):
    """Consecutive items of an input, serialized to one payload."""

    jobs: int
    payload: bytes


class Cutter:
    """Draws items and cuts them into chunks of about `target` items."""

    def __init__(self, items: Input, serialize: Callable[[Sequence[Any], int], bytes], target: int, first: int) -> None:
        """`serialize` is given items and the index of the first; the first chunk has at most `first` items."""
        self.target = target
        self.error: BaseException | None = None
        """Why the input ended early."""
        self.exhausted: bool = False
        self.drawn: int = 0
        """Items that have left in chunks."""
        self._items = items
        self._at = 0
        """Place of the next one in an input that can be cut."""
        self._serialize = serialize
        self._fitting = first
        self._ready: list[Sequence[Any]] = []

    def next_chunk(self, most: int | None = None) -> Chunk | None:
        """The next chunk, of at most `most` items; None: there is none."""
        if not self._ready and not self.exhausted:
            self._draw(self.target if most is None else min(self.target, most))
        if not self._ready:
            return None
        return self._fit(self._ready.pop())

    def has_more(self) -> bool:
        """Whether there is an item that has not left; it is drawn for that. Raises what the input raises."""
        if self._ready or self.exhausted:
            return bool(self._ready)
        if isinstance(self._items, range | list | tuple):
            return self._at < len(self._items)
        return bool(list(islice(self._items, 1)))

    def _draw(self, count: int) -> None:
        wanted = min(count, self._fitting)
        items = self._take(wanted)
        self.exhausted = len(items) < wanted
        if items:
            self._ready.append(items)

    def _take(self, wanted: int) -> Sequence[Any]:
        if isinstance(self._items, range | list | tuple):
            items = self._items[self._at : self._at + wanted]
            self._at += len(items)
            return items
        drawn: list[Any] = []
        try:
            drawn.extend(islice(self._items, wanted))  # keeps what was drawn before an error
        except Exception as error:  # noqa: BLE001 - the user's iterator may raise anything
            self.error = error
        return drawn

    def _fit(self, items: Sequence[Any]) -> Chunk | None:
        try:
            payload = self._serialize(items, self.drawn)
        except Exception as error:  # noqa: BLE001 - as may its items' __reduce__
            return self._until_culprit(items, error)
        if len(payload) > CHUNK_BYTES and len(items) > 1:
            half = len(items) // 2
            self._fitting = half
            self._ready.append(items[half:])
            return self._fit(items[:half])
        if len(payload) > MAX_PART_BYTES:
            return self._until_culprit(items, ValueError(f"job {self.drawn}: {too_large(payload)}"))
        self.drawn += len(items)
        per_item = max(1, len(payload) // len(items))
        self._fitting = max(1, min(len(items) * GROWTH, CHUNK_BYTES // per_item))
        return Chunk(len(items), payload)

    def _until_culprit(self, items: Sequence[Any], error: Exception) -> Chunk | None:
        """The longest beginning that can be serialized; the input ends there with this error."""
        self.exhausted, self.error = True, error
        self._ready.clear()
        good, bad = 0, len(items)
        payload = b""
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                payload = self._serialize(items[:middle], self.drawn)
                good = middle
            except Exception as found:  # noqa: BLE001
                self.error, bad = found, middle
        if not good:
            return None
        self.drawn += good
        return Chunk(good, payload)
