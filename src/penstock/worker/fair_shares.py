"""Whose turn it is among the batches of which a worker holds something to start.

Promises:

1. Larger priority first. Of one priority the batch that has the fewest pieces in slots, and of these the one whose
   newest piece is oldest: a batch that arrives has its share of the slots as soon as they are free.
2. Of one batch the oldest lease first.
"""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

from penstock.job.spec import Tenant

if TYPE_CHECKING:
    from penstock.worker.held_lease import HeldLease


class Share:
    """What a batch has at this worker: leases to start, pieces in slots."""

    __slots__ = ("leases", "pieces", "turn")

    def __init__(self, turn: int) -> None:
        self.leases: list[tuple[int, HeldLease]] = []
        self.pieces: int = 0
        self.turn: int = turn

    def is_for(self, tenant: Tenant, priority: int) -> bool:
        """Whether its batch, of which there is a lease, has this priority and the tenant admits it."""
        held = self.leases[0][1]
        return held.spec.priority == priority and tenant.admits(held.tenant)


class Shares:
    """The batches of a worker, by whose turn it is; a piece costs one entry in a heap, however many jobs it has."""

    def __init__(self) -> None:
        self.waiting: int = 0
        """Leases with something to start."""
        self._shares: dict[bytes, Share] = {}
        self._heap: list[tuple[int, int, int, Share]] = []
        """(priority, pieces, turn) of each share with leases; an entry that says otherwise than its share is void."""
        self._serial = itertools.count()

    def push(self, held: HeldLease) -> None:
        """There is something to start of it."""
        share = self._share(held)
        heapq.heappush(share.leases, (held.lease.number, held))
        self.waiting += 1
        if len(share.leases) == 1:
            self._place(held, share)

    def first(self) -> HeldLease | None:
        """The lease whose turn it is."""
        while self._heap:
            _, pieces, turn, share = self._heap[0]
            if share.leases and (pieces, turn) == (share.pieces, share.turn):
                return share.leases[0][1]
            heapq.heappop(self._heap)
        return None

    def first_of(self, tenant: Tenant, priority: int) -> HeldLease | None:
        """The lease whose turn it is among those of this priority that the tenant admits."""
        own = [share for share in self._shares.values() if share.leases and share.is_for(tenant, priority)]
        return min(own, key=lambda share: (share.pieces, share.turn)).leases[0][1] if own else None

    def drop(self, held: HeldLease) -> None:
        """There is nothing to start of the lease whose turn it is."""
        heapq.heappop(self._share(held).leases)
        self.waiting -= 1
        self._forget(held)

    def begun(self, held: HeldLease) -> None:
        """A piece of it is in a slot: the others' turn."""
        share = self._share(held)
        share.pieces += 1
        share.turn = next(self._serial)
        self._place(held, share)

    def over(self, held: HeldLease) -> None:
        """One that was in a slot is not any more."""
        share = self._share(held)
        share.pieces -= 1
        self._place(held, share)
        self._forget(held)

    def _share(self, held: HeldLease) -> Share:
        share = self._shares.get(held.lease.batch)
        if share is None:
            share = self._shares[held.lease.batch] = Share(next(self._serial))
        return share

    def _place(self, held: HeldLease, share: Share) -> None:
        if share.leases:
            heapq.heappush(self._heap, (-held.spec.priority, share.pieces, share.turn, share))

    def _forget(self, held: HeldLease) -> None:
        share = self._shares[held.lease.batch]
        if not share.leases and not share.pieces:
            del self._shares[held.lease.batch]
