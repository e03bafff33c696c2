"""Whose turn it is among the batches that have something to give out.

Promises:

1. Larger priority first; batches of one priority take turns, whatever terms each has.
2. A batch whose terms nobody here fulfils, or whose limit is reached, holds up no other batch.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from penstock.job import BatchSpec

if TYPE_CHECKING:
    from penstock.core.backlog import Batch
    from penstock.core.part import Part


class Terms(NamedTuple):
    """What a batch asks of those who run it."""

    worker: str = ""
    """The name of a worker or a host."""
    needs: tuple[str, ...] = ()
    """Tags that the worker has, all of them."""
    limited: bool = False
    """Whether only so many of its jobs may run at once."""
    user: str = ""
    """Whom its jobs run as: the worker must allow that."""
    opens: str = "pickle"
    """What the worker must be able to open."""


ANY = Terms()
"""No terms: whoever has time may run it, if it opens pickles; most batches are of this kind."""


def is_any(terms: Terms) -> bool:
    """Whether there are none."""
    return terms is ANY


def terms_of(spec: BatchSpec) -> Terms:
    """The terms of a batch; ANY itself if there are none."""
    terms = Terms(spec.worker, spec.needs, spec.limit is not None, spec.user, spec.opens)
    return ANY if terms == ANY else terms


class Turns:
    """The batches that can be given out, by priority and terms."""

    def __init__(self) -> None:
        self._queues: dict[int, dict[Terms, deque[Batch]]] = {}
        self._serial = itertools.count()

    def join(self, batch: Batch) -> None:
        """It has something to give out; behind the others, unless it is among them already or at its limit."""
        if not batch.in_turn and not batch.is_full:
            batch.in_turn = True
            self._append(batch)

    def _append(self, batch: Batch) -> None:
        batch.turn = next(self._serial)
        self._queues.setdefault(batch.spec.priority, {}).setdefault(batch.terms, deque()).append(batch)

    def leave(self, batch: Batch) -> None:
        """It is being forgotten."""
        if batch.in_turn:
            batch.in_turn = False
            self._queues[batch.spec.priority][batch.terms].remove(batch)

    def next(self, fits: Callable[[Terms], bool]) -> Part | None:
        """The part whose turn it is among those that fit; it must be given out now, or it is lost from the queue."""
        for priority in sorted(self._queues, reverse=True):
            queues = self._queues[priority]
            while heads := [queue[0] for terms, queue in queues.items() if queue and fits(terms)]:
                batch = min(heads, key=_turn_of)
                queues[batch.terms].popleft()
                batch.in_turn = False
                part = batch.pop()
                if part is not None:
                    if not batch.is_last_lane:
                        batch.in_turn = True
                        self._append(batch)
                    return part
            if not any(queues.values()):
                del self._queues[priority]
        return None

    def waiting(self, most: int) -> list[Batch]:
        """The batches whose turn comes next, at most so many."""
        found: list[Batch] = []
        for priority in sorted(self._queues, reverse=True):
            queues = self._queues[priority].values()
            found += itertools.islice(heapq.merge(*queues, key=_turn_of), most - len(found))
        return found

    def take(self, batch: Batch) -> Part | None:
        """The part of this batch that is next, as `next` has it."""
        self.leave(batch)
        part = batch.pop()
        if part is not None and not batch.is_last_lane:
            batch.in_turn = True
            self._append(batch)
        return part

    def particular(self) -> Iterator[Terms]:
        """The terms, other than none, under which something waits that could be given out."""
        return (terms for queues in self._queues.values() for terms, queue in queues.items() if queue and terms != ANY)


def _turn_of(batch: Batch) -> int:
    return batch.turn
