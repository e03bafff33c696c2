"""Leases and rounds: what was given out, to whom, and since when.

Promises:

1. A lease number is never used twice: the ventilator's life (stored, counted up at each start) is its upper half.
2. A dealt lease belongs to nobody until a worker reports it (where there are keys, with its token); until then each
   worker of its round is charged for it.
3. A lease ends when none of its jobs is left under it.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from penstock.ventilator.jobs_model import Batch, Chunk, Part
from penstock.ventilator.known_worker import Worker

COUNTER_BITS = 40
"""Of a lease number: a million million leases a life, eight million lives."""

UNKNOWN_SECONDS = 0.1
"""What a job of which nothing is known is expected to take: long enough not to be given out far ahead."""


class Charge(NamedTuple):
    """What a worker is charged of a round: so much it may have, until it reports."""

    leases: int
    jobs: int
    seconds: float
    """of work"""
    payload: int
    """bytes"""


class Round:
    """One message to each of some workers, over the jobs socket."""

    __slots__ = ("lost", "waiting")

    def __init__(self, waiting: dict[bytes, Charge]) -> None:
        self.waiting: dict[bytes, Charge] = waiting
        """Workers that have not reported theirs."""
        self.lost: list[Worker] = []
        """Those that were lost before they reported."""


class LeaseRecord:
    """A lease: `jobs` of a chunk, held by `worker` (None: dealt, and nobody has reported it)."""

    __slots__ = ("chunk", "claimant", "given_at", "jobs", "mean", "number", "round", "serial", "taken", "worker")

    def __init__(self, number: int, chunk: Chunk, jobs: int, given_at: float) -> None:
        self.number: int = number
        self.chunk: Chunk = chunk
        self.jobs: int = jobs
        self.given_at: float = given_at
        self.serial: bool = chunk.batch.spec.limit is not None
        """Whether its worker runs one job of it at a time."""
        self.mean: float = UNKNOWN_SECONDS if chunk.batch.mean is None else chunk.batch.mean
        """Seconds that one of its jobs was expected to take when it was given out."""
        self.worker: Worker | None = None
        self.claimant: Worker | None = None
        """Who says that it holds it and has shown no token, as those of an earlier release."""
        self.round: Round | None = None
        self.taken: bool = False

    @property
    def parts(self) -> list[Part]:
        """The jobs that are under it."""
        return [part for part in self.chunk.parts if part.lease == self.number]

    @property
    def width(self) -> int:
        """How many of its jobs can run at once."""
        return min(1, self.jobs) if self.serial else self.jobs

    @property
    def expected(self) -> float:
        """Seconds of work, by what is known of its batch by now; 0: nothing is."""
        return (self.chunk.batch.mean or 0.0) * self.jobs


class Leases:
    """The book of what is out."""

    def __init__(self, life: int) -> None:
        self._life = life
        self._count = 0
        self.records: dict[int, LeaseRecord] = {}
        self.untaken: dict[int, LeaseRecord] = {}
        """Those nobody has reported, oldest first."""
        self.rounds: dict[Round, None] = {}
        """Those of which somebody is charged something."""

    @property
    def next_number(self) -> int:
        """Greater than every number used so far."""
        return (self._life << COUNTER_BITS) + self._count + 1

    def give(self, chunk: Chunk, jobs: int, now: float) -> LeaseRecord:
        """A new lease, under a number that was never used."""
        self._count += 1
        lease = LeaseRecord((self._life << COUNTER_BITS) + self._count, chunk, jobs, now)
        _count(chunk, lease.width)
        self.records[lease.number] = self.untaken[lease.number] = lease
        return lease

    def adopt(self, number: int, chunk: Chunk, worker: Worker, now: float) -> LeaseRecord:
        """A lease that a worker says it holds; new in the book after a restart."""
        lease = self.records.get(number)
        if lease is None:
            lease = self.records[number] = LeaseRecord(number, chunk, 0, now)
        self.attribute(lease, worker)
        self.take(lease, worker)
        return lease

    def attribute(self, lease: LeaseRecord, worker: Worker) -> None:
        """The worker is the one that holds it."""
        if lease.worker is worker:
            return
        if lease.worker is not None:
            lease.worker.lose(lease.number, lease.chunk)
            lease.worker.hold(-lease.jobs, lease.mean, -lease.width)
        lease.worker = worker
        worker.gain(lease.number, lease.chunk)
        worker.hold(lease.jobs, lease.mean, lease.width)

    def reached(self, number: int, worker: Worker | None) -> None:
        """The worker has or had it: its report or an outcome says so, maybe when all its jobs have left it."""
        lease = self.records.get(number) or self.untaken.get(number)
        if lease is None or worker is None or lease.worker not in {None, worker}:
            return
        if number in self.records:
            self.attribute(lease, worker)
        self.take(lease, worker)

    def take(self, lease: LeaseRecord, worker: Worker) -> None:
        """Its holder has reported it."""
        if lease.taken:
            return
        lease.taken = True
        self.untaken.pop(lease.number, None)
        if lease.round is not None:
            self._uncharge(lease.round, worker)
            lease.round = None

    def deal(self, dealt: Round, leases: list[LeaseRecord]) -> None:
        """These leases went out as one round."""
        self.rounds[dealt] = None
        for lease in leases:
            lease.round = dealt

    def _uncharge(self, dealt: Round, worker: Worker) -> None:
        charge = dealt.waiting.pop(worker.id, None)
        if charge is not None:
            worker.charge(-charge.leases, -charge.jobs, -charge.seconds, -charge.payload)
        if not dealt.waiting:
            self.rounds.pop(dealt, None)

    def uncharge(self, worker: Worker) -> None:
        """What was dealt before and the worker has not reported, it will not run."""
        for dealt in [dealt for dealt in self.rounds if worker.id in dealt.waiting]:
            self._uncharge(dealt, worker)

    def discharge(self, dealt: Round, workers: dict[bytes, Worker]) -> None:
        """Nobody is charged for a round any longer: what of it was not reported is queued again."""
        for worker_id in list(dealt.waiting):
            if worker_id in workers:
                self._uncharge(dealt, workers[worker_id])
        self.rounds.pop(dealt, None)

    def grow(self, lease: LeaseRecord, jobs: int) -> None:
        """Jobs were moved under the lease (adopted)."""
        width = lease.width
        lease.jobs += jobs
        _count(lease.chunk, lease.width - width)
        if lease.worker is not None:
            lease.worker.hold(jobs, lease.mean, lease.width - width)

    def of_batch(self, batch: Batch) -> list[LeaseRecord]:
        """Those of this batch."""
        return [lease for lease in self.records.values() if lease.chunk.batch is batch]

    def widths(self) -> Counter[bytes]:
        """How many jobs can run at once of those that are out, by batch."""
        found: Counter[bytes] = Counter()
        for lease in self.records.values():
            found[lease.chunk.batch.id] += lease.width
        return found

    def shrink(self, number: int, jobs: int) -> None:
        """Jobs left the lease."""
        lease = self.records.get(number)
        if lease is None:
            return
        width = lease.width
        lease.jobs -= jobs
        _count(lease.chunk, lease.width - width)
        if lease.jobs <= 0:
            del self.records[number]
            if lease.round is None:
                self.untaken.pop(number, None)  # else somebody is charged for it until its report, or UNREPORTED_TIME
            if lease.worker is not None:
                lease.worker.lose(number, lease.chunk)
        if lease.worker is not None:
            lease.worker.hold(-jobs, lease.mean, lease.width - width)


def _count(chunk: Chunk, jobs: int) -> None:
    """So many more of its batch can run at once."""
    if chunk.batch.open_leases is not None:
        chunk.batch.open_leases.out += jobs
