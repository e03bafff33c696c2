"""A lease at its worker: which of its jobs have started and finished, and its outcomes that are not closed yet."""

from __future__ import annotations

from penstock.job.spans import SpanSet
from penstock.job.spec import BatchSpec, Tenant
from penstock.wire.messages import credit_cost
from penstock.wire.records import BatchHead, Held, Lease, OutcomeHead

Bytes = bytes | memoryview


class KeptOutcome:
    """An outcome that is not closed: when it was last sent, and which of its jobs are still to be closed."""

    __slots__ = ("body", "head", "left", "sent_at", "size", "token")

    def __init__(self, head: OutcomeHead, body: Bytes, token: bytes) -> None:
        self.head: OutcomeHead = head
        self.body: bytes | memoryview = body
        self.token: bytes = token
        self.left: SpanSet = SpanSet([(head.start, head.stop)])
        self.sent_at: float | None = None
        self.size: int = credit_cost((head,), body)
        """Bytes that it takes, with all that is said of it."""


class HeldLease:
    """A lease at its worker."""

    def __init__(self, lease: Lease, head: BatchHead) -> None:
        self.lease: Lease = lease
        self.head: BatchHead = head
        self.spec: BatchSpec = head.spec
        self.tenant: Tenant = head.spec.tenant
        self.function: bytes = head.function
        self.unstarted: SpanSet = SpanSet([(lease.start, lease.stop)])
        self.running: SpanSet = SpanSet()
        self.finished: SpanSet = SpanSet()
        self.kept: list[KeptOutcome] = []
        self.serial: bool = head.spec.limit is not None
        """One job of it at a time: so many leases are out as jobs may run."""
        self.careful: bool = False
        """A slot died in it and nobody knows which job it was: one job at a time."""
        self.unbegun: int = 0
        """How often a slot died with a piece of it that was next and had not begun, as far as its page said."""
        self.dropped: SpanSet = SpanSet()
        """Jobs in slots that are no longer this worker's: not to be started again if they come back unrun."""
        self.queued: bool = False

    @property
    def empty(self) -> bool:
        """Whether nothing of it is held any more."""
        return not (self.unstarted or self.running or self.finished)

    def line(self) -> Held:
        """Its line of the inventory."""
        lease = self.lease
        spans = tuple(self.unstarted), tuple(self.running), tuple(self.finished)
        return Held(lease.number, lease.batch, lease.stamp, *spans, lease.token)

    def finish(self, head: OutcomeHead, body: Bytes) -> KeptOutcome:
        """Its jobs [head.start, head.stop) have an outcome."""
        self.running.remove(head.start, head.stop)
        self.finished.add(head.start, head.stop)
        kept = KeptOutcome(head, body, self.lease.token)
        self.kept.append(kept)
        return kept

    def close(self, start: int, stop: int) -> int:
        """These jobs are recorded; returns the bytes that need not be kept any more."""
        freed = 0
        self.finished.remove(start, stop)
        for kept in self.kept:
            if kept.left.remove(start, stop) and not kept.left:
                freed += kept.size
        if freed or any(not kept.left for kept in self.kept):
            self.kept = [kept for kept in self.kept if kept.left]
        return freed
