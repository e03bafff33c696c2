"""Which workers can be given something, and who of those that want more needs it most.

Promises:

1. A turn costs what has changed in it, however many workers there are: whoever changes a worker marks it changed
   (`Worker.change`), and only those are looked at.
2. Most idle slots first, then most credit, then who came first.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping
from typing import NamedTuple

from penstock.ventilator.known_worker import Worker

VOID = 4
"""Times as many entries as needs, and as many more, from which on the void ones are swept."""


class Need(NamedTuple):
    """Of a worker; the least is the greatest."""

    idle: int
    credit: int
    serial: int
    worker: Worker


class WorkerDemand:
    """`workers` and `changed` are the ledger' own."""

    def __init__(self, workers: Mapping[bytes, Worker], changed: dict[Worker, None]) -> None:
        self._workers = workers
        self._changed = changed
        self._serial = itertools.count()
        self.ready: dict[Worker, int] = {}
        """The workers that can be given something, in the order in which they came; a number of each."""
        self.slots: int = 0
        """Of these."""
        self.changes: int = 0
        self._changed_at: dict[Worker, int] = {}
        """Number of the newest change of each of them, in that order."""
        self._needs: dict[Worker, Need] = {}
        """Of those that want more."""
        self._heap: list[Need] = []
        """An entry that is no worker's need any more is void."""
        self._slots: dict[Worker, int] = {}

    @property
    def all_want(self) -> bool:
        """Whether every worker that can be given something wants more."""
        return len(self._needs) == len(self.ready)

    def look(self) -> None:
        """Take in what has changed."""
        for worker in self._changed:
            self._count(worker)
            self._changed_at.pop(worker, None)
            if worker in self.ready:
                self.changes += 1
                self._changed_at[worker] = self.changes
            if worker in self.ready and worker.wants:
                need = Need(-worker.idle_slots, -worker.credit, self.ready[worker], worker)
                if self._needs.get(worker) != need:
                    self._needs[worker] = need
                    heapq.heappush(self._heap, need)
            else:
                self._needs.pop(worker, None)
        self._changed.clear()
        if len(self._heap) > VOID * len(self._needs) + VOID:
            self._heap = sorted(self._needs.values())

    def _count(self, worker: Worker) -> None:
        self.slots -= self._slots.pop(worker, 0)
        if self._is_ready(worker):
            self._slots[worker] = worker.slots
            self.slots += worker.slots
            if worker not in self.ready:
                self.ready[worker] = next(self._serial)
        else:
            self.ready.pop(worker, None)

    def _is_ready(self, worker: Worker) -> bool:
        return worker.present and worker.gone_at is None and self._workers.get(worker.id) is worker

    def first(self) -> Worker | None:
        """Whoever needs it most; None: nobody wants more."""
        while self._heap:
            need = self._heap[0]
            if self._needs.get(need.worker) is need:
                return need.worker
            heapq.heappop(self._heap)
        return None

    def since(self, change: int) -> list[Worker]:
        """Those that can be given something and have changed after the change of this number, the newest first."""
        newest = itertools.takewhile(lambda one: one[1] > change, reversed(self._changed_at.items()))
        return [worker for worker, _ in newest]

    def pass_over(self, worker: Worker) -> None:
        """It needs nothing of what there is; until it is marked changed."""
        del self._needs[worker]

    def check(self) -> None:
        """The invariants; AssertionError if one does not hold."""
        for worker in self._workers.values():
            if worker not in self._changed:
                assert (worker in self.ready) == self._is_ready(worker), "who can be given something is known"
                assert (worker in self._needs) == (worker in self.ready and worker.wants), "and who wants more"
                need = self._needs.get(worker)
                assert need is None or need[:2] == (-worker.idle_slots, -worker.credit), "and how much"
        for worker in self.ready:
            assert self._workers.get(worker.id) is worker or worker in self._changed, "who is gone is forgotten"
        assert self.slots == sum(self._slots.values())
