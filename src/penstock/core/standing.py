"""Where open jobs are: which of them run, which wait, and with whom.

Promises:

1. A worker runs at most as many jobs as it has slots, and one at a time of a lease whose batch has a limit: what else
   it holds waits there.
2. What a worker's newest heartbeat has in its slots counts as running first; slots that would be idle by it are counted
   as running what the worker starts next. A heartbeat is a second old, and no slot idles beside jobs that it may run.
3. Asking changes nothing, and costs as much as there is to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from penstock.core.backlog import Batch
from penstock.core.books import Books
from penstock.core.lease import Given
from penstock.core.part import Part, Place
from penstock.core.roster import Worker
from penstock.core.spans import SpanSet
from penstock.job import JobState, Stamp
from penstock.messages import AskJobs, JobLine, JobsInfo

LINES = 10_000
"""In one answer, at most."""

WAITING = {Place.DELAYED: JobState.DELAYED, Place.LEASED: JobState.LEASED}
"""What waits in other places is queued."""


class Running(NamedTuple):
    """One job that runs, as far as is known."""

    lease: Given
    part: Part
    job: int
    """Its index."""


def running_at(worker: Worker, books: Books) -> list[Running]:
    """The jobs in a worker's slots, in the order in which it had them."""
    leases = [books.leases.given[number] for number in sorted(worker.leases)]
    if not leases or not worker.slots:
        return []
    seen: dict[bytes, SpanSet] = {}
    for batch, span in worker.running:
        seen.setdefault(batch, SpanSet()).add(*span)
    parts = [(lease, part) for lease in leases for part in lease.chunk.parts if part.lease == lease.number]
    found: list[Running] = []
    busy: set[int] = set()
    taken: set[tuple[int, int]] = set()
    for lease, part, index in _candidates(parts, worker, seen):
        if (lease.number, index) in taken or (lease.serial and lease.number in busy):
            continue
        taken.add((lease.number, index))
        busy.add(lease.number)
        found.append(Running(lease, part, index))
        if len(found) == worker.slots:
            break
    return sorted(found, key=lambda one: (one.lease.number, one.job))


def _candidates(
    parts: list[tuple[Given, Part]], worker: Worker, seen: dict[bytes, SpanSet]
) -> Iterator[tuple[Given, Part, int]]:
    """Jobs of leases: those that slots ran, those that were given to slots, then the others."""
    for number, index in worker.in_slots:
        for lease, part in parts:
            if lease.number == number and part.start <= index < part.stop:
                yield lease, part, index
    nothing = SpanSet()
    for lease, part in parts:
        for start, stop in seen.get(part.chunk.batch.id, nothing).overlap(part.start, part.stop):
            for index in range(start, stop):
                yield lease, part, index
    for lease, part in parts:
        for start, stop in seen.get(part.chunk.batch.id, nothing).gaps(part.start, part.stop):
            for index in range(start, stop):
                yield lease, part, index


class Standing:
    """Counts and lists open jobs."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def running(self) -> Iterator[Running]:
        """All jobs that run."""
        for worker in self._books.workers.values():
            yield from running_at(worker, self._books)

    def counts(self) -> Counter[bytes]:
        """Running jobs of each batch."""
        return Counter(one.part.chunk.batch.id for one in self.running())

    def answer(self, ask: AskJobs, batch: Batch | None, now: float) -> JobsInfo:
        """What was asked, of this batch or of all that run."""
        limit = min(ask.limit, LINES)
        lines: list[JobLine] = []
        for line in self._of_batch(batch, ask, now) if batch is not None else self._of_all(now):
            if len(lines) == limit:
                return JobsInfo(ask.number, tuple(lines), line.start)
            lines.append(line)
        return JobsInfo(ask.number, tuple(lines))

    def _of_all(self, now: float) -> Iterator[JobLine]:
        for one in self.running():
            yield _line(one.part, one.job, one.job + 1, now, one.lease, running=True)

    def _of_batch(self, batch: Batch, ask: AskJobs, now: float) -> Iterator[JobLine]:
        running = SpanSet((one.job, one.job + 1) for one in self.running() if one.part.chunk.batch is batch)
        start, stop = ask.start, min(ask.stop, batch.accepted)
        at = max(start, batch.loaded_to) if batch.on_disk else stop
        for first in list(batch.firsts):
            chunk = batch.chunks[first]
            if first + chunk.count <= start:
                continue
            if first >= stop:
                break
            yield from self._on_disk(batch, at, first)
            yield from self._of_parts(chunk.parts, start, stop, running, now)
            at = max(at, first + chunk.count)
        yield from self._on_disk(batch, at, stop)

    @staticmethod
    def _on_disk(batch: Batch, start: int, stop: int) -> Iterator[JobLine]:
        """Jobs that may be open, and wait in any case: the sink knows of those that have ended."""
        if batch.on_disk and start < stop:
            state = JobState.DELAYED if batch.held else JobState.QUEUED
            yield JobLine(batch.id, start, stop, state, Stamp())

    def _of_parts(
        self, parts: Iterable[Part], start: int, stop: int, running: SpanSet, now: float
    ) -> Iterator[JobLine]:
        for part in parts:
            low, high = max(part.start, start), min(part.stop, stop)
            if low >= high:
                continue
            lease = self._books.leases.given.get(part.lease)
            spans = [(at, at + 1, True) for span in running.overlap(low, high) for at in range(*span)]
            spans += [(*span, False) for span in running.gaps(low, high)]
            for begin, end, runs in sorted(spans):
                yield _line(part, begin, end, now, lease, running=runs)


def _line(part: Part, start: int, stop: int, now: float, lease: Given | None, *, running: bool) -> JobLine:
    worker = None if lease is None else lease.worker
    hello = None if worker is None else worker.hello
    slot = None if worker is None or not running else worker.in_slots.get((part.lease, start))
    doomed = part.verdict if part.place is Place.VERDICT else None
    return JobLine(
        batch=part.chunk.batch.id,
        start=start,
        stop=stop,
        state=doomed[0] if doomed is not None else WAITING.get(part.place, JobState.QUEUED),
        stamp=part.stamp,
        running=running,
        worker="" if hello is None else hello.name,
        host="" if hello is None else hello.host,
        seconds=0.0 if lease is None else max(0.0, now - lease.given_at),
        in_slot=None if slot is None or stop - start > 1 else (slot[0], max(0.0, now - slot[1])),
    )
