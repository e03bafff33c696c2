"""What a worker holds: each job is unstarted, running, finished or not held."""

from __future__ import annotations

from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.wire.messages import RECORD_BYTES
from penstock.wire.records import BatchHead, Lease, OutcomeHead, RecordedSpan
from penstock.worker.held_lease import HeldLease
from penstock.worker.holdings import Holdings

BATCH = b"b" * 16
FUNCTION = b"f" * 16


def lease(number: int = 1, start: int = 0, stop: int = 10, *, priority: int = 0, batch: bytes = BATCH) -> HeldLease:
    """A lease that just arrived."""
    head = BatchHead(batch, BatchSpec(priority=priority), FUNCTION, 1, 1)
    return HeldLease(Lease(number, batch, start, stop - start, start, stop, Stamp(), 4), head)


def outcome(start: int, stop: int) -> OutcomeHead:
    """Of jobs that succeeded."""
    return OutcomeHead(BATCH, start, stop, JobState.SUCCEEDED, True, Stamp(), 1, 0, 1.0, 0.1, 1)


def start(held: HeldLease, jobs: int) -> tuple[int, int]:
    """Jobs go into a slot."""
    span = held.unstarted.take_first(jobs)
    held.running.add(*span)
    return span


def test_the_oldest_lease_of_the_largest_priority_is_next() -> None:
    """And a lease whose function is not here waits for it, without keeping others from running."""
    holdings = Holdings()
    held = {
        number: lease(number, priority=priority, batch=batch)
        for number, priority, batch in ((1, 0, BATCH), (2, 5, b"urgent"), (3, 5, b"urgent"))
    }
    for one in held.values():
        holdings.add(one)
    assert holdings.next(set()) is None
    holdings.function_ready(FUNCTION)
    assert holdings.next({FUNCTION}) is held[2]
    held[2].unstarted.take_first(10)
    assert holdings.next({FUNCTION}) is held[3]


def test_an_outcome_is_kept_until_all_of_it_is_closed() -> None:
    """The bytes are counted until then; the lease ends with its last job."""
    holdings = Holdings()
    held = lease(stop=4)
    holdings.add(held)
    start(held, 4)
    holdings.keep(held, outcome(0, 4), b"1234")
    assert holdings.close(RecordedSpan(BATCH, 0, 3, Stamp())) == []
    assert holdings.kept_bytes == 4 + RECORD_BYTES
    assert held.line().finished == ((3, 4),)
    assert holdings.close(RecordedSpan(BATCH, 3, 4, Stamp())) == [1]
    assert (holdings.kept_bytes, holdings.leases) == (0, {})


def test_what_comes_back_unrun_is_unstarted_again() -> None:
    """Except what was dropped while it was in the slot."""
    holdings = Holdings()
    held = lease(stop=6)
    holdings.add(held)
    start(held, 6)
    held.dropped.add(2, 4)
    holdings.unstart(held, 0, 6)
    assert list(held.unstarted) == [(0, 2), (4, 6)]
    assert not held.running
    assert holdings.next({FUNCTION}) is held


def test_closed_reaches_every_lease_that_has_something_of_the_span() -> None:
    """A span may lie across leases."""
    holdings = Holdings()
    for number, first in ((1, 0), (2, 5)):
        held = lease(number, first, first + 5)
        holdings.add(held)
        start(held, 5)
        holdings.keep(held, outcome(first, first + 5), b"12345")
    assert sorted(holdings.close(RecordedSpan(BATCH, 3, 10, Stamp()))) == [2]
    assert holdings.leases[1].line().finished == ((0, 3),)
