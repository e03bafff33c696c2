"""Whose turn it is among the batches that have something to give out.

Promises:

1. Larger priority first; batches of one priority take turns, whatever terms each has.
2. A batch whose terms nobody here fulfils, or whose limit is reached, holds up no other batch.
3. Of batches that share a limit none is in turn while it is reached. Otherwise, where some of one priority and terms
   wait for it, one of these is: to let one go on costs the same, however many there are.
"""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator

from penstock.ventilator.jobs_model import ANY, Batch, Part, Terms
from penstock.ventilator.open_leases import Lanes


class Turns:
    """The batches that can be given out, by priority and terms."""

    def __init__(self) -> None:
        self._queues: dict[int, dict[Terms, OrderedDict[Batch, None]]] = {}
        self._serial = itertools.count()

    def join(self, batch: Batch) -> None:
        """It has something to give out; behind the others, unless it is among them already, or waits for its limit."""
        if batch.in_turn or (batch.lanes is not None and batch.lanes.is_aside(batch)):
            return
        if batch.lanes is not None and batch.lanes.is_full:
            batch.lanes.set_aside(batch)
        else:
            self._append(batch)

    def _append(self, batch: Batch) -> None:
        batch.turn = next(self._serial)
        batch.in_turn = True
        self._queues.setdefault(batch.spec.priority, {}).setdefault(batch.terms, OrderedDict())[batch] = None
        if batch.lanes is not None:
            batch.lanes.in_turn[batch] = None

    def _remove(self, batch: Batch) -> None:
        batch.in_turn = False
        del self._queues[batch.spec.priority][batch.terms][batch]
        if batch.lanes is not None:
            del batch.lanes.in_turn[batch]

    def _rejoin(self, batch: Batch) -> None:
        """Something of it is about to be given out: behind the others, of all or of those that wait for its limit."""
        if batch.lanes is not None and batch.lanes.is_last:
            batch.lanes.set_aside(batch)
        else:
            self._append(batch)

    def leave(self, batch: Batch) -> None:
        """It is being forgotten."""
        if batch.in_turn:
            self._remove(batch)
        elif batch.lanes is not None and batch.lanes.is_aside(batch):
            batch.lanes.take_out(batch)
        self.go_on(batch.lanes)

    def rest(self, lanes: Lanes[Batch] | None) -> None:
        """A lease more is out: if the limit is reached now, those who share it wait."""
        if lanes is not None and lanes.in_turn and lanes.is_full:
            for batch in reversed(list(lanes.in_turn)):
                self._remove(batch)
                lanes.set_aside(batch, first=True)

    def go_on(self, lanes: Lanes[Batch] | None) -> None:
        """A lease less may be out, or somebody who shares the limit has left his turn: those whose turn it is among
        them go on."""
        if lanes is not None and not lanes.is_full:
            for batch in lanes.first_ones():
                lanes.take_out(batch)
                self._append(batch)

    def next(self, fits: Callable[[Terms], bool]) -> Part | None:
        """The part whose turn it is among those that fit; it must be given out now, or it is lost from the queue."""
        for priority in sorted(self._queues, reverse=True):
            queues = self._queues[priority]
            while heads := [next(iter(queue)) for terms, queue in queues.items() if queue and fits(terms)]:
                batch = min(heads, key=_turn_of)
                self._remove(batch)
                part = batch.pop()
                if part is not None:
                    self._rejoin(batch)
                    return part
                self.go_on(batch.lanes)
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
        self._remove(batch)
        part = batch.pop()
        if part is not None:
            self._rejoin(batch)
        else:
            self.go_on(batch.lanes)
        return part

    def particular(self) -> Iterator[Terms]:
        """The terms, other than none, under which something waits that could be given out."""
        return (terms for queues in self._queues.values() for terms, queue in queues.items() if queue and terms != ANY)


def _turn_of(batch: Batch) -> int:
    return batch.turn
