"""Whose turn it is at a worker."""

from __future__ import annotations

from penstock.job.spec import BatchSpec, Stamp
from penstock.wire.records import BatchHead, Lease
from penstock.worker.fair_shares import Shares
from penstock.worker.held_lease import HeldLease


def lease(number: int, batch: bytes, priority: int = 0) -> HeldLease:
    """A lease with a hundred jobs."""
    head = BatchHead(batch, BatchSpec(priority=priority), b"f", 1, 1)
    return HeldLease(Lease(number, batch, 0, 100, 0, 100, Stamp(), 4), head)


def order(shares: Shares, pieces: int) -> str:
    """The batches that so many slots begin with, none of which ends."""
    begun = ""
    for _ in range(pieces):
        held = shares.first()
        assert held is not None
        begun += held.lease.batch.decode()
        shares.begun(held)
    return begun


def test_batches_of_one_priority_have_as_many_slots_each() -> None:
    """Whoever came later catches up, and then they take turns."""
    shares = Shares()
    shares.push(lease(1, b"a"))
    assert order(shares, 2) == "aa"
    shares.push(lease(2, b"b"))
    assert order(shares, 6) == "bbabab"


def test_a_larger_priority_has_all_slots_there_are() -> None:
    """Whatever others have by then."""
    shares = Shares()
    shares.push(lease(1, b"a"))
    shares.push(lease(2, b"b", priority=1))
    assert order(shares, 3) == "bbb"


def test_a_slot_that_is_free_again_goes_to_the_batch_that_had_it() -> None:
    """So the slots' processes stay with one function and one user."""
    shares = Shares()
    a, b = lease(1, b"a"), lease(2, b"b")
    shares.push(a)
    shares.push(b)
    assert order(shares, 4) == "abab"
    shares.over(a)
    assert order(shares, 1) == "a"


def test_of_one_batch_the_oldest_lease_is_first_and_what_is_over_is_forgotten() -> None:
    """A batch without leases to start and pieces in slots leaves nothing."""
    shares = Shares()
    old, new = lease(1, b"a"), lease(2, b"a")
    shares.push(new)
    shares.push(old)
    for held in (old, new):
        assert shares.first() is held
        shares.begun(held)
        shares.drop(held)
        shares.over(held)
    assert shares.first() is None
    assert (shares.waiting, shares._shares) == (0, {})
