"""`cost=`: how long a job is likely to take. The longest start first, and values come back in the order of the input.

Longest processing time first (Graham 1969) ends within 4/3 of the best schedule for any costs, and close to it where
no job is a large part of the whole. The chunks are cut by cost, so that no two long jobs travel together.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from penstock.client.backend import Mapper, Pieces
from penstock.client.batch_input import form_of, joined
from penstock.client.map import CHUNKS_PER_SLOT, MapRequest

Cost = Callable[..., float] | Sequence[float]
"""Of one job, in any unit: a function of the job's arguments, or one number for each job."""


class LongestFirst:
    """An input that was drawn whole, in the order in which its jobs are submitted: the longest first."""

    def __init__(self, iterables: Sequence[Iterable[Any]], cost: Cost) -> None:
        """Raises whatever a `cost` function raises, ValueError for a cost that is no finite number of 0 or more and
        for a list of costs shorter than the input; TypeError for anything else as `cost`. An error of the input
        itself comes after what was drawn before it."""
        self.form: str = form_of(iterables)
        items: list[Any] = []
        self._error: Exception | None = None
        try:
            items.extend(joined(iterables))
        except Exception as error:  # noqa: BLE001 - the user's iterator may raise anything
            self._error = error
        costs = _costs(items, cost, single=len(iterables) == 1)
        self.order: list[int] = sorted(range(len(items)), key=costs.__getitem__, reverse=True)
        """Which input each job is."""
        self._items = [items[place] for place in self.order]
        self._sums = list(accumulate(costs[place] for place in self.order))

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        yield from self._items
        if self._error is not None:
            raise self._error

    def cutting(self, chunks: int) -> Callable[[int], int]:
        """How many jobs each of about so many chunks has: a share of the whole cost, and not more jobs than a share of
        them all, for they may cost nothing."""
        sums = self._sums
        share = (sums[-1] if sums else 0.0) / chunks
        most = max(1, -(-len(sums) // chunks))

        def jobs(first: int) -> int:
            before = sums[first - 1] if first else 0.0
            return max(1, min(most, bisect_left(sums, before + share, first) - first + 1))

        return jobs


def map_longest_first(mapper: Mapper, request: MapRequest, cost: Cost) -> Iterator[Any]:
    """`map` or `imap_unordered` of an input that is drawn whole; errors as of LongestFirst, before anything runs."""
    plan = LongestFirst(request.iterables, cost)
    chunk = plan.cutting(CHUNKS_PER_SLOT * mapper.slots())
    deadline = None if request.timeout is None else time.monotonic() + request.timeout
    run = mapper.start_map(MapRequest(request.spec, request.function, [plan], plan.form, ordered=False, chunk=chunk))
    results = _in_order(run, plan.order if request.ordered else None, deadline)
    run.watch(results)
    return results


def _costs(items: list[Any], cost: Cost, *, single: bool) -> list[float]:
    if callable(cost):
        costs = [cost(item) if single else cost(*item) for item in items]
    elif isinstance(cost, Sequence):
        if len(cost) < len(items):
            raise ValueError(f"cost has {len(cost)} numbers for {len(items)} jobs")
        costs = list(cost[: len(items)])
    else:
        raise TypeError(f"cost must be a function or a list of numbers, not {type(cost).__name__}")
    for place, value in enumerate(costs):
        if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise ValueError(f"cost of job {place} must be a finite number of 0 or more, not {value!r}")
    return costs


def _in_order(run: Pieces, order: list[int] | None, deadline: float | None) -> Generator[Any, None, None]:
    """The values in the order of the input, for which they wait here; without an order as they come."""
    waiting: dict[int, tuple[Any, BaseException | None]] = {}
    turn = arrived = 0
    try:
        while (piece := run.next_piece(None if deadline is None else deadline - time.monotonic())) is not None:
            values = piece.values if piece.error is None else [None] * piece.jobs
            places = range(arrived, arrived + piece.jobs) if order is None else order[piece.start :]
            waiting.update((place, (value, piece.error)) for place, value in zip(places, values, strict=False))
            arrived += piece.jobs
            del piece, values  # what was given is kept no longer
            while turn in waiting:
                if (error := waiting[turn][1]) is not None:
                    raise error
                turn += 1
                yield waiting.pop(turn - 1)[0]
    finally:
        run.close()
