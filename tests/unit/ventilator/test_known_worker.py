"""Workers as the ventilator knows them."""

from __future__ import annotations

from penstock.ventilator.known_worker import AHEAD_BYTES, Worker
from penstock.wire.messages import Hello


def worker(*, slots: int = 2, window: int = 6) -> Worker:
    """One that has joined."""
    one = Worker(b"w" * 16, {})
    one.hello = Hello(b"w" * 16, 1, 1, 1, "w", "host", 1, slots, window, (), "3")
    one.window, one.connections = window, 1
    return one


def test_credit_is_the_window_less_what_is_charged() -> None:
    """Rule 2: leases it holds and rounds it has not reported; a worker that drains has none."""
    one = worker()
    one.leases = {1, 2}
    one.charged_leases = 1
    assert one.credit == 3
    one.draining = True
    assert one.credit == 0


def test_presence_needs_a_hello_and_a_connection() -> None:
    """Either alone is not enough to be given something."""
    joined, gone, silent = worker(), worker(), Worker(b"x" * 16, {})
    gone.connections, silent.connections = 0, 1
    assert [one.present for one in (joined, gone, silent)] == [True, False, False]


def test_idle_slots_and_surplus_are_counted_in_jobs() -> None:
    """What it may hold unreported counts as held; of a lease that is run one by one a job can run, the rest waits."""
    one = worker(slots=4)
    one.jobs, one.width, one.charged_jobs = 2, 2, 1
    assert (one.idle_slots, one.surplus) == (1, 0)
    one.jobs = one.width = 9
    assert (one.idle_slots, one.surplus) == (0, 5)
    one.width = 1
    assert (one.idle_slots, one.surplus) == (2, 8)


def test_large_arguments_are_not_given_ahead() -> None:
    """Who has a lease for each slot and AHEAD_BYTES of arguments wants no more; a slot without one is served."""
    one = worker(slots=2)
    one.lease_bytes = AHEAD_BYTES
    assert (one.is_laden, one.wants) == (False, True)
    one.charged_leases = 2
    assert (one.is_laden, one.wants) == (True, False)
    one.lease_bytes, one.charged_bytes = 0, AHEAD_BYTES
    assert one.is_laden
    one.charged_bytes = 1
    assert (one.is_laden, one.wants) == (False, True)
