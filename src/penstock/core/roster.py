"""The workers the ventilator knows: their presence, their credit, what they hold.

Promises:

1. Credit is computed, never counted by messages: the newest window less the open leases charged to the worker.
2. A worker is present from its hello until its control connection drops; it is lost when that stays so, or when
   nothing was heard of it for a lease time.
"""

from __future__ import annotations

from penstock.core.spans import Span
from penstock.messages import Hello


class Worker:
    """One life of a worker process."""

    def __init__(self, worker_id: bytes) -> None:
        self.id = worker_id
        self.connections = 0
        self.connection = 0
        """The number its newest control connection was greeted with."""
        self.hello: Hello | None = None
        self.number = 0
        """Of the newest hello or heartbeat; older ones are ignored."""
        self.window = 0
        self.heard_at = 0.0
        self.gone_at: float | None = None
        self.draining = False
        self.leases: set[int] = set()
        self.jobs = 0
        """Open jobs under its leases."""
        self.charged_leases = 0
        """Leases of rounds that it has not reported."""
        self.charged_jobs = 0
        self.done = 0
        self.running: list[tuple[bytes, Span]] = []
        """By its newest inventory: (batch, span)."""
        self.hand_back: tuple[int, float] | None = None
        """Number and instant of a hand-back request that is open."""
        self.barren_until = 0.0
        """It had nothing to hand back: do not ask again before."""

    @property
    def present(self) -> bool:
        """Whether it can be given something."""
        return self.hello is not None and self.connections > 0

    @property
    def slots(self) -> int:
        """How many jobs it runs at once."""
        return self.hello.slots if self.hello else 0

    @property
    def credit(self) -> int:
        """How many more leases it wants."""
        if self.draining:
            return 0
        return self.window - len(self.leases) - self.charged_leases

    @property
    def idle_slots(self) -> int:
        """Slots without a job, by the ventilator's books."""
        return max(0, self.slots - self.jobs - self.charged_jobs)

    @property
    def surplus(self) -> int:
        """Jobs it holds beyond one for each slot."""
        return max(0, self.jobs - self.slots)
