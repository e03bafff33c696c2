"""When a worker goes home by itself."""

from __future__ import annotations

import math

from penstock.job.spec import JobState, Stamp
from penstock.wire.messages import Closed, HandedBack, Heartbeat, Left
from penstock.wire.records import LeaseSpan, RecordedSpan
from penstock.worker.contract import EndSlot, Leave, SlotDied, Stop
from penstock.worker.lifetime import Lifetime
from support.core_benches import BATCH, NOW, WorkerBench, done, of, runs


def test_without_options_it_stays() -> None:
    """For ever."""
    lifetime = Lifetime(0.0)
    assert lifetime.next_wakeup(draining=False) == math.inf
    assert lifetime.drains(1e9, busy=False) is None
    assert not lifetime.is_over(1e9)


def test_idle_counts_from_the_last_moment_it_was_busy() -> None:
    """Also from its start; work begins the count anew."""
    lifetime = Lifetime(100.0, idle_timeout=10.0)
    assert lifetime.next_wakeup(draining=False) == 110.0
    assert lifetime.drains(109.0, busy=True) is None
    assert lifetime.next_wakeup(draining=False) == math.inf
    assert lifetime.drains(200.0, busy=True) is None
    assert lifetime.drains(205.0, busy=False) is None
    assert lifetime.next_wakeup(draining=False) == 215.0
    assert lifetime.drains(214.9, busy=False) is None
    assert lifetime.drains(215.0, busy=False) == "idle"


def test_it_drains_before_its_time_limit_and_then_ends_what_runs() -> None:
    """Busy or not; the last call comes once, and leaves what runs its grace."""
    lifetime = Lifetime(0.0, time_limit=600.0, drain_before=60.0, grace=5.0)
    assert lifetime.drains(539.0, busy=True) is None
    assert lifetime.drains(540.0, busy=True) == "time limit"
    assert lifetime.next_wakeup(draining=True) == 590.0
    assert [lifetime.is_over(now) for now in (589.0, 590.0, 591.0)] == [False, True, False]
    assert lifetime.next_wakeup(draining=True) == math.inf


def test_with_little_time_to_drain_half_of_it_is_for_what_runs() -> None:
    """The last call never comes before draining has begun."""
    lifetime = Lifetime(0.0, time_limit=10.0, drain_before=4.0)
    assert lifetime.next_wakeup(draining=False) == 6.0
    assert lifetime.next_wakeup(draining=True) == 8.0


def test_who_is_told_twice_to_stop_leaves_after_the_grace() -> None:
    """Told once more: now."""
    lifetime = Lifetime(0.0, grace=5.0)
    assert lifetime.leaves_at == math.inf
    assert [(lifetime.hurry(now), lifetime.leaves_at) for now in (10.0, 11.0)] == [(True, 17.0), (False, 11.0)]


def test_who_is_to_leave_in_time_ends_what_runs_at_half_of_it() -> None:
    """And leaves at the end, whatever still runs; told again meanwhile, earlier, and never later."""
    lifetime = Lifetime(0.0, grace=20.0, leave_within=8.0)
    assert lifetime.next_wakeup(draining=False) == math.inf
    lifetime.tell(100.0)
    assert (lifetime.next_wakeup(draining=True), lifetime.leaves_at) == (104.0, 108.0)
    assert [lifetime.is_over(now) for now in (103.0, 104.0, 105.0)] == [False, True, False]
    assert [(lifetime.hurry(now), lifetime.leaves_at) for now in (104.0, 105.0)] == [(True, 108.0), (False, 105.0)]


def test_a_worker_that_leaves_in_time_gives_back_what_has_not_ended() -> None:
    """What ends within half of the time has its outcome; who runs on is ended, and is no crash."""
    bench = WorkerBench(lifetime=Lifetime(NOW, leave_within=8.0))
    (run,) = runs(bench.turn(bench.jobs(0, 4)))
    assert HandedBack(bench.id, 0, (LeaseSpan(bench.number(), 1, 4),)) in bench.turn(Stop())
    assert of(EndSlot, bench.pass_time(3.9)) == []
    (end,) = of(EndSlot, bench.pass_time(0.2))
    assert (end.piece, end.state) == (run.piece, JobState.CANCELLED)
    gone = SlotDied(0, run.piece, 0, JobState.CANCELLED, "cancelled", 1.0, 4.0)
    assert bench.turn(gone)[-2:] == [Left(bench.id), Leave()]


def test_a_worker_that_leaves_says_so() -> None:
    """With every heartbeat from then on: who kills it is not taken for one of its jobs."""
    bench = WorkerBench()
    bench.turn(bench.jobs(0, 1))
    assert not bench.beat().leaving
    assert of(Heartbeat, bench.turn(Stop()))[0].leaving
    assert bench.beat().leaving


def test_an_idle_worker_leaves() -> None:
    """Through the drain that SIGTERM has; an outcome that no sink has taken keeps it."""
    bench = WorkerBench(lifetime=Lifetime(NOW, idle_timeout=5.0))
    (run,) = runs(bench.turn(bench.jobs(0, 1)))
    assert of(Leave, bench.pass_time(20.0)) == []
    bench.turn(done(run))
    assert of(Leave, bench.pass_time(20.0)) == []
    bench.turn(Closed((RecordedSpan(BATCH, 0, 1, Stamp()),)))
    assert of(Leave, bench.pass_time(4.5)) == []
    assert of(Leave, bench.pass_time(0.6)) == [Leave()]
    assert [log.fields for log in bench.logged if log.event == "drains"] == [{"reason": "idle"}]


def test_what_runs_at_the_last_call_is_ended_and_given_back() -> None:
    """As a second SIGTERM does it: what had not started goes back first, what runs is no failure."""
    bench = WorkerBench(lifetime=Lifetime(NOW, time_limit=60.0, drain_before=30.0, grace=5.0))
    (run,) = runs(bench.turn(bench.jobs(0, 4)))
    assert of(EndSlot, bench.pass_time(49.0)) == []
    assert of(EndSlot, bench.pass_time(2.0)) == [EndSlot(0, run.piece, ((0, 1),), JobState.CANCELLED, "cancelled")]
