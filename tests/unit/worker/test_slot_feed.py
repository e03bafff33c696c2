"""Feeding the slots: pieces, two ahead, cut when they overrun."""

from __future__ import annotations

from itertools import pairwise

import pytest

from penstock.job.spec import BatchSpec
from penstock.wire.messages import CancelSpan
from penstock.wire.records import BatchSpan
from penstock.worker import slot_feed
from penstock.worker.contract import Cut, EndSlot, JobsConnected, PieceCut, SinkConnected, SlotReady
from penstock.worker.slot_feed import CANCEL_PATIENCE, PIECE_SECONDS
from support.core_benches import BATCH, WorkerBench, done, of, runs


def test_a_slot_that_is_not_ready_is_given_nothing() -> None:
    """Its process is being started."""
    bench = WorkerBench(slots=2, join=False)
    bench.turn(JobsConnected(), SinkConnected(), SlotReady(1))
    bench.join()
    assert [run.slot for run in runs(bench.turn(bench.jobs()))] == [1]


def test_the_first_piece_is_one_job_then_a_few_milliseconds() -> None:
    """Two pieces ahead once it is known that jobs are short."""
    bench = WorkerBench()
    (first,) = runs(bench.turn(bench.jobs(0, 1000), bench.jobs(1000, 2000, lease=2)))
    assert (first.start, first.stop) == (0, 1)
    pieces = runs(bench.turn(done(first, each=0.0001)))
    assert [piece.stop - piece.start for piece in pieces] == [int(PIECE_SECONDS / 0.0001)] * 2


def test_long_jobs_are_never_put_behind_another() -> None:
    """One at a time, so that the rest can be taken away."""
    bench = WorkerBench()
    (run,) = runs(bench.turn(bench.jobs(0, 9)))
    assert len(runs(bench.turn(done(run, each=1.0)))) == 1


def test_jobs_that_may_not_be_started_twice_come_one_by_one() -> None:
    """So do those with a time limit, and those whose output is looked on."""
    for spec in (BatchSpec(max_crashes=1), BatchSpec(time_limit=9.0), BatchSpec(kind="command", live=True)):
        bench = WorkerBench()
        (run,) = runs(bench.turn(bench.jobs(0, 100, spec=spec)))
        (run,) = runs(bench.turn(done(run, each=0.0001)))
        assert run.stop - run.start == 1


def test_a_piece_that_overruns_is_cut_while_a_slot_idles() -> None:
    """After its running job: the rest goes to the idle slot."""
    bench = WorkerBench(slots=2)
    first, second = runs(bench.turn(bench.jobs(0, 22)))
    stuck, *waiting = runs(bench.turn(done(first, each=0.001), done(second, each=0.001)))
    assert stuck.stop - stuck.start > 1
    mine = [run for run in waiting if run.slot != stuck.slot]
    while mine:
        mine += [run for run in runs(bench.turn(done(mine.pop(0)))) if run.slot != stuck.slot]
    cuts = of(Cut, bench.turn(after=1.0))
    assert stuck.piece in {cut.piece for cut in cuts}
    (rest,) = runs(bench.turn(PieceCut(stuck.slot, stuck.piece, stuck.start + 1)))[:1]
    assert (rest.slot, rest.start) == (1 - stuck.slot, stuck.start + 1)


def test_a_cancelled_piece_may_end_by_itself_first() -> None:
    """Its slot is ended only after a moment."""
    bench = WorkerBench()
    (run,) = runs(bench.turn(bench.jobs(0, 1)))
    assert of(EndSlot, bench.turn(CancelSpan((BatchSpan(BATCH, 0, 1),)))) == []
    wakeup = bench.core.next_wakeup()
    assert wakeup is not None
    assert wakeup <= bench.now + CANCEL_PATIENCE
    assert [end.piece for end in of(EndSlot, bench.turn(after=CANCEL_PATIENCE))] == [run.piece]


def test_no_piece_of_another_user_is_put_behind_one() -> None:
    """The slot's process is replaced in between."""
    bench = WorkerBench()
    (first,) = runs(bench.turn(bench.jobs(0, 2)))
    (second,) = runs(bench.turn(done(first, each=0.0001), bench.jobs(2, 4, lease=2, spec=BatchSpec(user="nobody"))))
    assert (second.start, second.stop) == (1, 2)
    assert [(run.start, run.stop) for run in runs(bench.turn(done(second, each=0.0001)))] == [(2, 4)]


def test_no_piece_of_another_client_is_put_behind_one() -> None:
    """The same of two clients' calls; commands, processes of their own, may follow anybody's."""
    bench = WorkerBench()
    mine, theirs, command = (BatchSpec(client=b"a"), BatchSpec(client=b"b"), BatchSpec(kind="command"))
    (first,) = runs(bench.turn(bench.jobs(0, 2, spec=mine)))
    (second,) = runs(bench.turn(done(first, each=0.0001), bench.jobs(2, 4, lease=2, spec=theirs)))
    assert (second.start, second.stop) == (1, 2)
    (third,) = runs(bench.turn(done(second, each=0.0001)))
    assert (third.start, third.stop) == (2, 4)
    (behind,) = runs(bench.turn(bench.jobs(4, 5, lease=3, batch=b"3" * 16, spec=command)))
    assert behind.lease.number == bench.number(3)


def test_clients_keep_to_slots_of_their_own() -> None:
    """Two clients with a slot each take no turns in them, and one that comes takes a slot that nobody has used."""
    bench = WorkerBench(slots=3)
    mine, theirs = BatchSpec(client=b"a"), BatchSpec(client=b"b")
    (first,) = runs(bench.turn(bench.jobs(0, 1, spec=mine)))
    bench.turn(done(first))
    (second,) = runs(bench.turn(bench.jobs(0, 1, lease=2, batch=b"2" * 16, spec=theirs)))
    assert second.slot != first.slot
    bench.turn(done(second))
    (third,) = runs(bench.turn(bench.jobs(1, 2, lease=3, spec=mine)))
    assert third.slot == first.slot


def test_a_slot_stays_with_a_user_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two users share a slot by time, not piece by piece; a larger priority comes first all the same."""
    monkeypatch.setattr(slot_feed, "TENANT_SECONDS", 0.4)
    bench = WorkerBench()
    theirs = bench.jobs(0, 10_000, lease=2, batch=b"2" * 16, spec=BatchSpec(user="nobody"))
    (run,) = runs(bench.turn(bench.jobs(0, 10_000), theirs))
    leases = [run.lease.number]
    for _ in range(20):
        (run,) = runs(bench.turn(done(run, each=0.1), after=0.1))
        leases.append(run.lease.number)
    assert 4 <= sum(one != other for one, other in pairwise(leases)) <= 5
    assert abs(leases.count(bench.number(1)) - leases.count(bench.number(2))) <= 5
    other = BatchSpec(user="nobody" if run.lease.number == bench.number(1) else "", priority=1)
    bench.turn(bench.jobs(0, 9, lease=3, batch=b"3" * 16, spec=other))
    assert [one.lease.number for one in runs(bench.turn(done(run, each=0.1)))] == [bench.number(3)]


def test_a_lease_of_a_limited_batch_is_run_one_job_at_a_time() -> None:
    """Whatever slots are free: so many leases are out as jobs may run. Two leases of it run beside each other."""
    bench = WorkerBench(slots=4)
    limited = BatchSpec(limit=2)
    one, two = runs(bench.turn(bench.jobs(0, 500, spec=limited), bench.jobs(500, 999, lease=2, spec=limited)))
    assert {one.lease.number, two.lease.number} == {bench.number(1), bench.number(2)}
    (again,) = runs(bench.turn(done(one, each=0.0001)))
    assert (again.lease, again.start) == (one.lease, one.stop)
    assert again.stop - again.start == int(PIECE_SECONDS / 0.0001)
    assert runs(bench.turn(bench.jobs(0, 5, lease=3, batch=b"2" * 16))) != []


def test_what_comes_back_from_behind_says_nothing_of_what_runs() -> None:
    """A slot that is late stays late: nothing is put behind its job again."""
    bench = WorkerBench(slots=2)
    first, second = runs(bench.turn(bench.jobs(0, 22)))
    stuck, *_ = runs(bench.turn(done(first, each=0.012), done(second, each=0.012)))
    (behind,) = [cut for cut in of(Cut, bench.turn(after=1.0)) if cut.slot == stuck.slot]
    assert behind.piece != stuck.piece
    again = runs(bench.turn(PieceCut(behind.slot, behind.piece, 0)))
    assert stuck.slot not in {run.slot for run in again}
