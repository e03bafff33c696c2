"""What a worker holds: leases, and the outcomes that are not closed yet.

Promises:

1. Each job of a held lease is unstarted, running, finished (its outcome is kept) or no longer held: exactly one.
2. An outcome is kept until Closed names all of it; nothing else drops it.
"""

from __future__ import annotations

from penstock.job.spec import Tenant
from penstock.wire.records import OutcomeHead, RecordedSpan
from penstock.worker.fair_shares import Shares
from penstock.worker.functions import Functions
from penstock.worker.held_lease import Bytes, HeldLease, KeptOutcome


class Holdings:
    """All leases of a worker."""

    def __init__(self) -> None:
        self.leases: dict[int, HeldLease] = {}
        self._of_batch: dict[bytes, set[int]] = {}
        self.kept_bytes: int = 0
        """Of outcomes."""
        self.argument_bytes: int = 0
        """Of the chunks of leases."""
        self.functions: Functions = Functions()
        self.shares: Shares = Shares()
        """Those with jobs to start, and the pieces of them in slots."""
        self._parked: dict[bytes, list[HeldLease]] = {}
        """Leases whose function is not here yet, by its digest."""

    def add(self, held: HeldLease) -> None:
        """Take in a lease that has arrived."""
        self.leases[held.lease.number] = held
        self._of_batch.setdefault(held.lease.batch, set()).add(held.lease.number)
        self.argument_bytes += held.lease.size
        self.functions.use(held.function, held.head.size)
        self._enqueue(held)

    def _enqueue(self, held: HeldLease) -> None:
        if not held.queued:
            held.queued = True
            self.shares.push(held)

    def unstart(self, held: HeldLease, start: int, stop: int) -> None:
        """Jobs that were meant for a slot and did not run are unstarted again."""
        for low, high in held.running.remove(start, stop):
            for gap in held.dropped.gaps(low, high):
                held.unstarted.add(*gap)
        self._enqueue(held)

    def function_ready(self, function: bytes) -> None:
        """Leases that waited for it can start."""
        for held in self._parked.pop(function, ()):
            self._enqueue(held)

    @property
    def held_bytes(self) -> int:
        """Of all that is held: arguments, functions and outcomes."""
        return self.argument_bytes + self.functions.used_bytes + self.kept_bytes

    def next(self, functions: set[bytes]) -> HeldLease | None:
        """The lease to start jobs of: the one whose turn it is; None: nothing can start."""
        while (held := self.shares.first()) is not None:
            waits = held.serial and bool(held.running)  # until `unstart` says that its piece is back
            if held.unstarted and held.function in functions and not waits:
                return held
            self.shares.drop(held)
            held.queued = False
            if held.unstarted and not waits:
                self._parked.setdefault(held.function, []).append(held)
        return None

    def next_of(self, tenant: Tenant, priority: int, functions: set[bytes]) -> HeldLease | None:
        """The same among the batches of this priority that the tenant admits; None: the first of them cannot start."""
        held = self.shares.first_of(tenant, priority)
        if held is None or held.function not in functions or (held.serial and held.running):
            return None
        return held if held.unstarted else None

    def is_last(self, held: HeldLease) -> bool:
        """Whether no other lease waits to be started."""
        return self.shares.waiting <= 1 and held.queued

    def remove(self, held: HeldLease) -> None:
        """Nothing of it is held any more."""
        del self.leases[held.lease.number]
        self.argument_bytes -= held.lease.size
        self.functions.let_go(held.function)
        numbers = self._of_batch[held.lease.batch]
        numbers.discard(held.lease.number)
        if not numbers:
            del self._of_batch[held.lease.batch]

    def of_batch(self, batch: bytes, start: int, stop: int) -> list[HeldLease]:
        """The leases that have something of these jobs."""
        found = [self.leases[number] for number in self._of_batch.get(batch, ())]
        return [held for held in found if held.lease.start < stop and start < held.lease.stop]

    def last_to_start(self) -> list[HeldLease]:
        """Leases with jobs to start: smaller priority first, then the newest."""
        waiting = [held for held in self.leases.values() if held.unstarted]
        return sorted(waiting, key=lambda held: (held.spec.priority, -held.lease.number))

    def keep(self, held: HeldLease, head: OutcomeHead, body: Bytes) -> KeptOutcome:
        """An outcome to be sent and kept."""
        kept = held.finish(head, body)
        self.kept_bytes += kept.size
        return kept

    def close(self, span: RecordedSpan) -> list[int]:
        """These jobs are recorded; returns the numbers of leases of which nothing is left."""
        ended: list[int] = []
        for held in self.of_batch(span.batch, span.start, span.stop):
            if held.lease.stamp > span.stamp:
                continue  # what is recorded is an earlier try
            self.kept_bytes -= held.close(span.start, span.stop)
            if held.empty:
                self.remove(held)
                ended.append(held.lease.number)
        return ended

    def check(self) -> None:
        """The invariants; AssertionError if one does not hold."""
        kept_bytes = 0
        for held in self.leases.values():
            assert not held.empty, "a held lease holds something"
            for a, b in (("unstarted", "running"), ("running", "finished"), ("unstarted", "finished")):
                for start, stop in getattr(held, a):
                    assert not getattr(held, b).overlap(start, stop), f"{a} and {b} have nothing in common"
            for kept in held.kept:
                assert kept.left, "what is closed is not kept"
                for start, stop in kept.left:
                    assert not held.finished.gaps(start, stop), "an outcome that is kept is of a finished job"
                kept_bytes += kept.size
        assert kept_bytes == self.kept_bytes, "the bytes kept are counted right"
        argument_bytes = sum(held.lease.size for held in self.leases.values())
        assert argument_bytes == self.argument_bytes, "and so are those of arguments"
        self.functions.check()
