"""Leases: numbers, holders, charges."""

from __future__ import annotations

from penstock.job.spec import BatchSpec
from penstock.ventilator.backlog import Backlog
from penstock.ventilator.contract import StoredBatch
from penstock.ventilator.jobs_model import Chunk
from penstock.ventilator.known_worker import Worker
from penstock.ventilator.leases import Charge, Leases, Round


def chunk() -> Chunk:
    """Of a batch of its own."""
    batch = Backlog().add_batch(StoredBatch(b"b" * 16, BatchSpec(), b"f" * 16, 1, 0.0, 0, None, {}, None))
    return Chunk(batch, 0, 10, 1)


def test_a_number_is_never_used_twice() -> None:
    """Nor in another life: later numbers are greater."""
    first, second = Leases(1), Leases(2)
    numbers = [first.give(chunk(), 1, 0.0).number for _ in range(3)]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] < first.next_number < second.next_number == second.give(chunk(), 1, 0.0).number


def test_a_lease_ends_with_its_last_job() -> None:
    """Its holder is rid of it, and of the jobs."""
    leases, worker = Leases(1), Worker(b"w" * 16, {})
    lease = leases.give(chunk(), 3, 0.0)
    leases.attribute(lease, worker)
    leases.shrink(lease.number, 2)
    assert (worker.jobs, worker.leases) == (1, {lease.number})
    leases.shrink(lease.number, 1)
    assert (worker.jobs, worker.leases, leases.records, leases.untaken) == (0, set(), {}, {})


def test_a_lease_has_one_holder() -> None:
    """Who reports it later takes it over with its jobs."""
    leases, one, two = Leases(1), Worker(b"1" * 16, {}), Worker(b"2" * 16, {})
    lease = leases.give(chunk(), 3, 0.0)
    leases.attribute(lease, one)
    leases.attribute(lease, two)
    assert (one.jobs, one.leases, two.jobs, two.leases) == (0, set(), 3, {lease.number})


def test_an_adopted_lease_keeps_its_number_and_counts_as_reported() -> None:
    """After a restart the book is empty: what a worker says it holds is written into it."""
    leases, worker = Leases(2), Worker(b"w" * 16, {})
    lease = leases.adopt(77, chunk(), worker, 0.0)
    leases.grow(lease, 4)
    assert (lease.number, lease.taken, worker.jobs, worker.leases) == (77, True, 4, {77})
    assert leases.untaken == {}


def test_a_round_is_kept_until_nobody_is_charged_for_it() -> None:
    """Who says hello is charged for no round; it costs a look at the open rounds, not at what is out."""
    leases, one, two = Leases(1), Worker(b"1" * 16, {}), Worker(b"2" * 16, {})
    given = [leases.give(chunk(), 1, 0.0) for _ in range(2)]
    leases.deal(Round({one.id: Charge(1, 1, 0.1, 9), two.id: Charge(1, 1, 0.1, 9)}), given)
    for worker in (one, two):
        worker.charge(1, 1, 0.1, 9)
    leases.reached(given[0].number, one)
    assert (one.charged_leases, two.charged_leases, len(leases.rounds)) == (0, 1, 1)
    leases.uncharge(two)
    assert (two.charged_leases, leases.rounds) == (0, {})


def test_a_round_is_paid_for_by_its_report_even_if_its_jobs_are_gone() -> None:
    """Jobs can be cancelled on their way: the worker that got the message must not stay charged for it."""
    leases, worker = Leases(1), Worker(b"w" * 16, {})
    lease = leases.give(chunk(), 3, 0.0)
    lease.round = Round({worker.id: Charge(1, 3, 0.3, 9)})
    worker.charge(1, 3, 0.3, 9)
    leases.shrink(lease.number, 3)
    assert (worker.charged_leases, worker.charged_jobs) == (1, 3)
    leases.reached(lease.number, worker)
    assert (worker.charged_leases, worker.charged_jobs, leases.untaken) == (0, 0, {})
