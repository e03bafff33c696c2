"""The workers the ventilator knows: their presence, their credit, what they hold.

Promises:

1. Credit is computed, never counted by messages: the newest window less the open leases charged to the worker. Of its
   credit a worker is given what keeps its slots busy, and no more: what it does not hold, others can have.
2. A worker is present from its hello until its control connection drops; it is lost when that stays so, or when
   nothing was heard of it for a lease time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import KeysView

from penstock.job.spans import Span
from penstock.ventilator.jobs_model import ANY, Batch, Chunk, Part, Terms
from penstock.wire.messages import Heartbeat, Hello
from penstock.wire.records import MAX_RECORDS, Held

LOOK_AHEAD = 2
"""Leases per slot that a worker has at least: one that runs and one behind it."""
MORE_OF_BATCH = 2
"""Times as many leases a worker may have if they are the next of a batch of which it has less than one per slot,"""
FIRST_OF_BATCH = 4
"""and if it is the first. So many batches begin at once beside a huge one; others when a lease has ended."""
LOOK_AHEAD_SECONDS = 0.1
"""Of work per slot that a worker has where jobs are short: many times the way from and to the ventilator."""
LONG_LEASE = 0.015
"""Seconds of work in a lease of which LOOK_AHEAD are enough: that long, the next one is always there in time, and what
is given out no earlier than that starts in the order in which it was submitted."""

AHEAD_BYTES = 64 << 20
"""Of arguments that a worker has, from which on it has no more leases than slots: some seconds of a fast network."""

LOOK_SECONDS = 1e-5
"""Between two looks at all workers, for each of MANY or more: ten times what that costs."""
MANY = 64
"""Workers; fewer are looked at in every turn."""


def look_interval(workers: int) -> float:
    """Seconds between two looks at so many workers."""
    return LOOK_SECONDS * workers if workers >= MANY else 0.0


def _records(held: Held) -> int:
    return 1 + len(held.unstarted) + len(held.running) + len(held.finished)


class Worker:
    """One life of a worker process."""

    def __init__(self, worker_id: bytes, changed: dict[Worker, None]) -> None:
        """`changed` is told that something of it did."""
        self.id = worker_id
        self._changed = changed
        self.connections = 0
        self.connection = 0
        """The number its newest control connection was greeted with."""
        self.hello: Hello | None = None
        """With the name that it has here."""
        self.asked_name: str = ""
        """That it was started with: jobs may ask for it, too."""
        self.number = 0
        """Of the newest hello or heartbeat; older ones are ignored."""
        self.window = 0
        self.heard_at: float = 0.0
        self.pace: float = 1.0
        """Times the usual interval and lease time that it was told to take."""
        self.gone_at: float | None = None
        self.draining = False
        self.broken = ""
        """Why it can run nothing at present, by its own words."""
        self.clock_ahead: float = 0.0
        """Seconds that its wall clock was ahead of the ventilator's when it joined."""
        self.kept = False
        """It is to run one suspect and nothing else."""
        self.leases: set[int] = set()
        self._of_batch: Counter[bytes] = Counter()
        """How many of its leases are of a batch, and of a priority."""
        self._of_priority: Counter[int] = Counter()
        self.jobs: int = 0
        """Open jobs under its leases."""
        self.width: int = 0
        """Those of them that could run at once if it had slots without end."""
        self.lease_bytes: int = 0
        """Of the chunks of its leases."""
        self.seconds: float = 0.0
        """Of work that these jobs were expected to be."""
        self.charged_leases: int = 0
        """Leases of rounds that it has not reported."""
        self.charged_jobs: int = 0
        self.charged_seconds: float = 0.0
        self.charged_bytes: int = 0
        self.done = 0
        self.inventory: dict[int, Held] = {}
        """By lease, as of its newest hello or heartbeat."""
        self.running: list[tuple[bytes, Span]] = []
        """By its newest inventory: (batch, span)."""
        self.finished: list[tuple[bytes, Span]] = []
        """Likewise: their outcomes are not closed."""
        self.in_slots: dict[tuple[int, int], tuple[int, float]] = {}
        """By its newest heartbeat: which slot runs a job, by its lease and index, and since when."""
        self.hand_back: tuple[int, float] | None = None
        """Number and instant of a hand-back request that is open."""
        self.stuck: bool = False
        """It handed back what waited behind jobs that last: it gets something only when one of them has ended."""
        self.barren_until: float = 0.0
        """It had nothing to hand back: do not ask again before."""

    def change(self) -> None:
        """What it can be given may be something else now; nobody looks at who is not marked."""
        self._changed[self] = None

    @property
    def present(self) -> bool:
        """Whether it can be given something."""
        return self.hello is not None and self.connections > 0

    @property
    def slots(self) -> int:
        """How many jobs it runs at once."""
        return self.hello.slots if self.hello else 0

    @property
    def running_jobs(self) -> int:
        """How many jobs it runs, as far as is known: what could run beyond its slots waits there."""
        return min(self.slots, self.width)

    @property
    def batches(self) -> KeysView[bytes]:
        """Those of which it has leases."""
        return self._of_batch.keys()

    @property
    def credit(self) -> int:
        """How many more leases it wants."""
        if self.draining or self.kept or (self.stuck and not self.idle_slots):
            return 0
        return self.window - len(self.leases) - self.charged_leases

    @property
    def is_laden(self) -> bool:
        """Whether it has something for each slot, and as many bytes of arguments as it may have beyond that."""
        ahead = len(self.leases) + self.charged_leases
        return self.lease_bytes + self.charged_bytes >= AHEAD_BYTES and ahead >= self.slots

    @property
    def wants(self) -> bool:
        """Whether to give it more: it has credit, and not enough to do until more can come."""
        if self.credit <= 0 or self.is_laden:
            return False
        ahead = len(self.leases) + self.charged_leases
        if ahead < LOOK_AHEAD * self.slots:
            return True
        return self.seconds + self.charged_seconds < min(LOOK_AHEAD_SECONDS * self.slots, LONG_LEASE * ahead)

    def owes(self, batch: Batch) -> bool:
        """Whether to give it jobs of this batch although it wants no more: they would wait behind what is less urgent,
        or it has so much of others that this batch has nothing of its share here."""
        if self.credit <= 0 or self.charged_leases or self.is_laden:
            return False
        urgent = sum(leases for priority, leases in self._of_priority.items() if priority >= batch.spec.priority)
        own = self._of_batch[batch.id]  # a Counter: asking adds nothing
        times = FIRST_OF_BATCH if own == 0 else MORE_OF_BATCH if own < self.slots else 1
        return urgent < times * LOOK_AHEAD * self.slots

    def gain(self, number: int, chunk: Chunk) -> None:
        """It has this lease, of this chunk."""
        batch = chunk.batch
        self.leases.add(number)
        self.lease_bytes += chunk.size
        self.stuck = False
        self._of_batch[batch.id] += 1
        self._of_priority[batch.spec.priority] += 1

    def lose(self, number: int, chunk: Chunk) -> None:
        """It has it no longer."""
        batch = chunk.batch
        self.leases.discard(number)
        self.lease_bytes -= chunk.size
        self._of_batch[batch.id] -= 1
        self._of_priority[batch.spec.priority] -= 1
        if not self._of_batch[batch.id]:
            del self._of_batch[batch.id]
        if not self._of_priority[batch.spec.priority]:
            del self._of_priority[batch.spec.priority]

    def reprioritize(self, before: int, after: int) -> None:
        """A lease that it has is of another priority from now on."""
        self._of_priority[before] -= 1
        if not self._of_priority[before]:
            del self._of_priority[before]
        self._of_priority[after] += 1
        self.change()

    def take_inventory(self, report: Hello | Heartbeat) -> bool:
        """It has said what it holds, or what of that has changed; returns whether that is more by now than one report
        can have."""
        if isinstance(report, Hello) or not report.since:
            self.inventory = {held.lease: held for held in report.held}
            return False
        for lease in report.gone:
            self.inventory.pop(lease, None)
        self.inventory |= {held.lease: held for held in report.held}
        return sum(map(_records, self.inventory.values())) > MAX_RECORDS

    def runs(self, part: Part) -> bool:
        """Whether all jobs of a part were in its slots by its newest inventory."""
        batch = part.chunk.batch.id
        return any(batch == of and span[0] <= part.start and part.stop <= span[1] for of, span in self.running)

    def fits(self, terms: Terms) -> bool:
        """Whether it may run what asks for this."""
        hello = self.hello
        if hello is None or terms.opens not in hello.opens:
            return False
        if terms is ANY:
            return True
        named = not terms.worker or terms.worker in {hello.name, self.asked_name, hello.host}
        allowed = not terms.user or terms.user in hello.users
        return named and allowed and set(terms.needs) <= set(hello.tags) and self.id not in terms.avoid

    def hold(self, jobs: int, mean: float, width: int) -> None:
        """So many jobs more (or fewer) are under its leases, of which so many can run at once."""
        self.jobs += jobs
        self.width += width
        self.seconds = self.seconds + jobs * mean if self.leases else 0.0
        self.change()

    def charge(self, leases: int, jobs: int, seconds: float, payload: int) -> None:
        """So much more (or less) of it was dealt and not reported."""
        self.charged_leases += leases
        self.charged_jobs += jobs
        self.charged_seconds += seconds
        self.charged_bytes += payload
        self.change()

    @property
    def idle_slots(self) -> int:
        """Slots without a job, by the ventilator's ledger, that others' jobs may have."""
        return 0 if self.kept else max(0, self.slots - self.width - self.charged_jobs)

    @property
    def surplus(self) -> int:
        """Jobs it holds beyond those that can run now."""
        return self.jobs - min(self.width, self.slots)
