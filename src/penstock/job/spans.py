"""Half-open index ranges and sets of them.

Promises:

1. A SpanSet holds its members as sorted spans that neither overlap nor touch, so its size is the number of gaps, never
   the number of jobs.
2. ``add`` and ``remove`` say which part of the span was new or there.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import ClassVar

Span = tuple[int, int]
"""``(start, stop)``: the indexes start, start + 1, ..., stop - 1."""


class SpanSet:
    """A set of indexes, kept as disjoint spans."""

    __slots__ = ("_starts", "_stops")

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in spans:
            self.add(start, stop)

    def __iter__(self) -> Iterator[Span]:
        return iter(list(zip(self._starts, self._stops, strict=True)))

    @property
    def count(self) -> int:
        """How many indexes are in it.

        Not its ``len``: list() and tuple() take that for the number of spans, and make room for millions.
        """
        return sum(self._stops) - sum(self._starts)

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SpanSet) and self._starts == other._starts and self._stops == other._stops

    __hash__: ClassVar[None]  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"SpanSet({list(self)})"

    def __contains__(self, index: int) -> bool:
        at = bisect_right(self._starts, index) - 1
        return at >= 0 and index < self._stops[at]

    @property
    def span_count(self) -> int:
        """How many spans it is made of."""
        return len(self._starts)

    def copy(self) -> SpanSet:
        """An independent set with the same members."""
        twin = SpanSet()
        twin._starts, twin._stops = self._starts[:], self._stops[:]
        return twin

    def add(self, start: int, stop: int) -> None:
        """Put the span in; what of it is there already stays."""
        if start >= stop:
            return
        low = bisect_left(self._stops, start)
        high = bisect_right(self._starts, stop)
        if low < high:
            start = min(start, self._starts[low])
            stop = max(stop, self._stops[high - 1])
        self._starts[low:high] = [start]
        self._stops[low:high] = [stop]

    def remove(self, start: int, stop: int) -> list[Span]:
        """Take the span out; returns the parts that were there."""
        if start >= stop:
            return []
        low = bisect_right(self._stops, start)
        high = bisect_left(self._starts, stop)
        if low >= high:
            return []
        there = list(zip(self._starts[low:high], self._stops[low:high], strict=True))
        rest = [(there[0][0], start)] if there[0][0] < start else []
        if there[-1][1] > stop:
            rest.append((stop, there[-1][1]))
        self._starts[low:high] = [s for s, _ in rest]
        self._stops[low:high] = [s for _, s in rest]
        return [(max(s, start), min(e, stop)) for s, e in there]

    def overlap(self, start: int, stop: int) -> list[Span]:
        """The parts of the span that are in the set."""
        low = bisect_right(self._stops, start)
        high = bisect_left(self._starts, stop)
        pairs = zip(self._starts[low:high], self._stops[low:high], strict=True)
        return [(max(s, start), min(e, stop)) for s, e in pairs]

    def gaps(self, start: int, stop: int) -> list[Span]:
        """The parts of the span that are not in the set."""
        missing: list[Span] = []
        at = start
        for low, high in self.overlap(start, stop):
            if at < low:
                missing.append((at, low))
            at = high
        if at < stop:
            missing.append((at, stop))
        return missing

    def take_first(self, count: int) -> Span:
        """Take up to `count` indexes out of the lowest span."""
        start = self._starts[0]
        stop = min(self._stops[0], start + count)
        self.remove(start, stop)
        return start, stop

    def take_last(self, count: int) -> list[Span]:
        """Take up to `count` indexes out, highest first."""
        taken: list[Span] = []
        while count > 0 and self._starts:
            stop = self._stops[-1]
            start = max(self._starts[-1], stop - count)
            self.remove(start, stop)
            taken.append((start, stop))
            count -= stop - start
        return taken
