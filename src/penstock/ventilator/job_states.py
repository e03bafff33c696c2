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

from penstock.job.spans import SpanSet
from penstock.job.spec import JobState, Stamp
from penstock.ventilator.jobs_model import Batch, Part, Place
from penstock.ventilator.known_worker import Worker
from penstock.ventilator.leases import LeaseRecord
from penstock.ventilator.ledger import Ledger
from penstock.wire.desk_messages import AskJobs, JobLine, JobsInfo

LINES = 10_000
"""In one answer, at most."""

WAITING = {Place.DELAYED: JobState.DELAYED, Place.LEASED: JobState.LEASED}
"""What waits in other places is queued."""


class Running(NamedTuple):
    """One job that runs, as far as is known."""

    lease: LeaseRecord
    part: Part
    job: int
    """Its index."""


class Parts:
    """The parts under each lease, found in one pass through a chunk however many leases it is given out in."""

    def __init__(self) -> None:
        self._chunks: set[int] = set()
        self._parts: dict[int, list[Part]] = {}

    def under(self, lease: LeaseRecord) -> list[Part]:
        """Those of this lease."""
        chunk = lease.chunk
        if id(chunk) not in self._chunks:
            self._chunks.add(id(chunk))
            for part in chunk.parts:
                if part.lease:
                    self._parts.setdefault(part.lease, []).append(part)
        return self._parts.get(lease.number, [])


def running_at(worker: Worker, ledger: Ledger, parts: Parts | None = None) -> list[Running]:
    """The jobs in a worker's slots, in the order in which it had them: as many as it is said to run."""
    if not worker.running_jobs:
        return []
    parts = parts or Parts()
    found: list[Running] = []
    taken: set[tuple[int, int]] = set()
    busy: set[int] = set()
    held = {number: (lease := ledger.leases.records[number], parts.under(lease)) for number in sorted(worker.leases)}
    for lease, part, index in _candidates(held, worker):
        if (lease.number, index) in taken or (lease.serial and lease.number in busy):
            continue
        taken.add((lease.number, index))
        busy.add(lease.number)
        found.append(Running(lease, part, index))
        if len(found) == worker.running_jobs:
            break
    return sorted(found, key=lambda one: (one.lease.number, one.job))


def _candidates(
    held: dict[int, tuple[LeaseRecord, list[Part]]], worker: Worker
) -> Iterator[tuple[LeaseRecord, Part, int]]:
    """Jobs of leases: those that slots ran, those that were given to slots, then the others."""
    for number, index in worker.in_slots:
        for part in held[number][1] if number in held else ():
            if part.start <= index < part.stop:
                yield held[number][0], part, index
    seen: dict[bytes, SpanSet] = {}
    for batch, span in worker.running:
        seen.setdefault(batch, SpanSet()).add(*span)
    nothing = SpanSet()
    for spans_of in (SpanSet.overlap, SpanSet.gaps):
        for lease, parts in held.values():
            for part in parts:
                for start, stop in spans_of(seen.get(part.chunk.batch.id, nothing), part.start, part.stop):
                    for index in range(start, stop):
                        yield lease, part, index


class JobStates:
    """Counts and lists open jobs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def running(self, batch: Batch | None = None) -> Iterator[Running]:
        """All jobs that run, or those of the workers that have some of this batch."""
        parts = Parts()
        for worker in self._ledger.workers.values():
            if batch is None or batch.id in worker.batches:
                yield from running_at(worker, self._ledger, parts)

    def counts(self, batches: Iterable[Batch]) -> Counter[bytes]:
        """Running jobs of each of these batches. Clients that wait for one ask this again and again: of a worker that
        has leases of one batch only it is not looked which jobs they are."""
        found: Counter[bytes] = Counter()
        wanted, parts = {batch.id for batch in batches}, Parts()
        for worker in self._ledger.workers.values():
            if wanted.isdisjoint(worker.batches):
                continue
            if len(worker.batches) == 1:
                found.update({next(iter(worker.batches)): worker.running_jobs})
            else:
                found.update(one.part.chunk.batch.id for one in running_at(worker, self._ledger, parts))
        return found

    def answer(self, ask: AskJobs, batch: Batch | None, now: float) -> JobsInfo:
        """What was asked, of this batch or of all that run."""
        limit = min(ask.limit, LINES)
        lines: list[JobLine] = []
        found = self._of_all(now) if batch is None else self.of_batch(batch, ask.start, ask.stop, now)
        for line in found:
            if len(lines) == limit:
                return JobsInfo(ask.number, tuple(lines), line.start)
            lines.append(line)
        return JobsInfo(ask.number, tuple(lines))

    def _of_all(self, now: float) -> Iterator[JobLine]:
        for one in self.running():
            yield _line(one.part, one.job, one.job + 1, now, one.lease, running=True)

    def of_batch(self, batch: Batch, start: int, stop: int, now: float) -> Iterator[JobLine]:
        """Those of the jobs [start, stop) that have not ended, in order."""
        running = SpanSet((one.job, one.job + 1) for one in self.running(batch) if one.part.chunk.batch is batch)
        stop = min(stop, batch.accepted)
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
            yield JobLine(batch.id, start, stop, state, Stamp(), unsure=True)

    def _of_parts(
        self, parts: Iterable[Part], start: int, stop: int, running: SpanSet, now: float
    ) -> Iterator[JobLine]:
        for part in parts:
            low, high = max(part.start, start), min(part.stop, stop)
            if low >= high:
                continue
            lease = self._ledger.leases.records.get(part.lease)
            spans = [(at, at + 1, True) for span in running.overlap(low, high) for at in range(*span)]
            spans += [(*span, False) for span in running.gaps(low, high)]
            for begin, end, runs in sorted(spans):
                yield _line(part, begin, end, now, lease, running=runs)


def _line(part: Part, start: int, stop: int, now: float, lease: LeaseRecord | None, *, running: bool) -> JobLine:
    worker = None if lease is None else lease.worker
    hello = None if worker is None else worker.hello
    slot = None if worker is None or not running else worker.in_slots.get((part.lease, start))
    decided = part.verdict if part.place is Place.VERDICT else None
    return JobLine(
        batch=part.chunk.batch.id,
        start=start,
        stop=stop,
        state=decided[0] if decided is not None else WAITING.get(part.place, JobState.QUEUED),
        stamp=part.stamp,
        running=running,
        worker="" if hello is None else hello.name,
        host="" if hello is None else hello.host,
        seconds=0.0 if lease is None else max(0.0, now - lease.given_at),
        in_slot=None if slot is None or stop - start > 1 else (slot[0], max(0.0, now - slot[1])),
    )
