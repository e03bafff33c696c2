"""When a batch may begin, and when it may not any more.

Promises:

1. A batch is held, all its queued jobs delayed, until its not_before has come.
2. A job that has not started when its batch expires is cancelled, wherever it waits: what a worker has not started is
   asked back for that. A job that has started runs on, retries included.
3. Instants of users are wall clock and stay so; the core's own clock only says how far it has moved. What has begun or
   expired stays so if the wall clock is set back.
"""

from __future__ import annotations

import heapq
import itertools
from datetime import UTC, datetime

from penstock.config import RESEND
from penstock.core.backlog import FOREVER, Batch, Part, Place
from penstock.core.books import Books
from penstock.messages import HandBack

EXPIRED = "expired before it started"
ALL_JOBS = 2**63 - 1
"""Beyond what any lease has."""


class Gates:
    """Opens batches when they may begin, and closes them for good."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._due: list[tuple[float, int, Batch]] = []
        """Heap of (wall-clock instant, serial, batch): when to look at a batch again."""
        self._serial = itertools.count()
        self._doomed: dict[bytes, float] = {}
        """Those of which workers may hold what has not started, and when that was last asked back."""

    def watch(self, batch: Batch, now: float) -> None:
        """A batch is new here."""
        for instant in (batch.spec.not_before_time, batch.spec.expires_time):
            if instant:
                heapq.heappush(self._due, (instant, next(self._serial), batch))
        self._look(batch, now)

    @staticmethod
    def shut(batch: Batch) -> str:
        """What a batch that may not begin waits for, for people; empty: it may."""
        if not batch.held:
            return ""
        begin = datetime.fromtimestamp(batch.spec.not_before_time, UTC)
        return f"it may not begin before {begin:%Y-%m-%d %H:%M:%S} UTC"

    def next_wakeup(self) -> float | None:
        """When `tick` has something to do, on the core's clock."""
        return self._due[0][0] - self._books.wall_offset if self._due else None

    def tick(self, now: float) -> None:
        """Open and close what is due."""
        while self._due and self._due[0][0] <= now + self._books.wall_offset:
            batch = heapq.heappop(self._due)[2]
            if self._books.backlog.batches.get(batch.id) is batch:
                self._look(batch, now)
        for batch_id in [key for key, asked_at in self._doomed.items() if now >= asked_at + RESEND]:
            doomed = self._books.backlog.batches.get(batch_id)
            if doomed is None or doomed.ended:
                del self._doomed[batch_id]
            else:
                self._recall(doomed, now)

    def _look(self, batch: Batch, now: float) -> None:
        wall, spec = now + self._books.wall_offset, batch.spec
        if spec.expires_time is not None and spec.expires_time <= wall:
            self._doom(batch, EXPIRED, now)
        held = not batch.doom and spec.not_before_time > wall
        opened, batch.held = batch.held and not held, held
        if opened:
            for part in self._parts(batch):
                if part.place is Place.DELAYED and part.wait == FOREVER:
                    self._books.queue(part)

    def _doom(self, batch: Batch, cause: str, now: float) -> None:
        """What has not started never will."""
        if batch.doom:
            return
        batch.doom = cause
        for part in self._parts(batch):
            if part.place in {Place.QUEUED, Place.DELAYED}:
                self._books.cancel_doomed(part)
        self._recall(batch, now)

    @staticmethod
    def _parts(batch: Batch) -> list[Part]:
        return [part for chunk in batch.chunks.values() for part in chunk.parts]

    def _recall(self, batch: Batch, now: float) -> None:
        """Have handed back what workers have not started."""
        self._doomed[batch.id] = now
        leases = self._books.leases.given
        asked: dict[bytes, set[int]] = {}
        for part in self._parts(batch):
            worker = leases[part.lease].worker if part.lease else None
            if worker is not None and part.fresh and not worker.runs(part):
                asked.setdefault(worker.id, set()).add(part.lease)
        for worker_id, numbers in asked.items():
            self._books.tell(worker_id, HandBack(0, ALL_JOBS, tuple(sorted(numbers))))
