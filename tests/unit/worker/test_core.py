"""The worker's decisions: what it starts, reports, keeps, sends again, hands back and drops."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.wire.bounds import RESEND
from penstock.wire.messages import (
    Beat,
    CancelSpan,
    Closed,
    Drain,
    Drop,
    Greeting,
    HandBack,
    HandedBack,
    Heartbeat,
    Hello,
    Left,
    NeedFunction,
    Took,
    Welcome,
)
from penstock.wire.records import BatchSpan, Held, LeaseSpan, PartsTaken, RecordedSpan
from penstock.worker import core as module
from penstock.worker.contract import (
    Cut,
    Deliver,
    EndSlot,
    FreeLease,
    FunctionReady,
    JobsConnected,
    Leave,
    PieceCut,
    Run,
    SinkConnected,
    SlotDied,
    SlotReady,
    SlotUnfit,
    Stop,
)
from penstock.worker.lease_receipts import TOOK_DELAY
from penstock.worker.outbox import OUTCOME_DELAY, UNDELIVERED_TIME
from penstock.worker.slot_results import UNBEGUN_DEATHS
from support.core_benches import BATCH, BEAT, FUNCTION, OUTLET, WorkerBench, delivered, done, of, runs

LOST = 2.5
"""Half a lease time."""


@pytest.fixture
def bench() -> WorkerBench:
    """A worker with one slot that has joined."""
    return WorkerBench()


def died(run: Run, index: int | None, state: JobState = JobState.DEAD) -> SlotDied:
    """The slot's process is gone."""
    return SlotDied(run.slot, run.piece, index, state, "killed by SIGKILL", 1.0, 0.1)


# ---------------------------------------------------------------------------------------------- joining


@pytest.mark.parametrize("last", [JobsConnected, SinkConnected])
def test_hello_waits_for_all_connections(last: type[JobsConnected | SinkConnected]) -> None:
    """A round would miss a worker whose job connection has not shaken hands, and one that never reached the sink would
    keep what it runs: it says hello after both, in any order."""
    bench = WorkerBench(join=False)
    first = SinkConnected if last is JobsConnected else JobsConnected
    assert bench.turn(Greeting(1, 1, 5.0, BEAT), first()) == []
    assert bench.turn(after=BEAT) == []
    (hello,) = bench.turn(last())
    assert isinstance(hello, Hello)
    assert (hello.life, hello.connection) == (1, 1)


def test_nothing_starts_before_the_welcome() -> None:
    """Rule 7: jobs that come between hello and welcome wait; those above the floor start then, the others are void."""
    bench = WorkerBench(join=False)
    bench.turn(JobsConnected(), SinkConnected(), SlotReady(0))
    hello = bench.greet()
    assert bench.turn(bench.jobs(0, 5, lease=1), bench.jobs(5, 9, lease=2)) == []
    did = bench.welcome(hello, floor=bench.number(2))
    assert of(Took, bench.turn(after=TOOK_DELAY)) == [Took(bench.id, (bench.number(2),), module.WINDOW)]
    assert [run.lease.number for run in runs(did)] == [bench.number(2)]
    assert of(FreeLease, did) == [FreeLease(bench.number(1))]


def test_a_welcome_to_an_older_hello_is_void(bench: WorkerBench) -> None:
    """Rule 7: the welcome echoes the number of the newest hello; any other changes nothing."""
    old = bench.greet(connection=2)
    bench.greet(connection=3)
    assert bench.turn(Welcome(old.number, 1, ()), bench.jobs()) == []


def test_between_hello_and_welcome_it_goes_on_with_what_the_hello_listed(bench: WorkerBench) -> None:
    """Rule 7: a new greeting stops nothing that is held."""
    (run,) = runs(bench.turn(bench.jobs(0, 2)))
    hello = bench.greet(connection=2)
    assert hello.held == (Held(bench.number(), BATCH, bench.inventory[0].stamp, ((1, 2),), ((0, 1),), ()),)
    assert [(run.start, run.stop) for run in runs(bench.turn(done(run)))] == [(1, 2)]


def test_jobs_below_the_floor_that_come_late_are_void(bench: WorkerBench) -> None:
    """Rule 7: also after the welcome: the job connection may be slower than control."""
    hello = bench.greet(connection=2)
    bench.welcome(hello, floor=bench.number(5))
    assert bench.turn(bench.jobs(lease=4)) == [FreeLease(bench.number(4))]
    assert bench.inventory == []


def test_what_the_welcome_does_not_leave_is_dropped(bench: WorkerBench) -> None:
    """The answer to the hello says which of its own it must forget."""
    (run,) = runs(bench.turn(bench.jobs(0, 5)))
    hello = bench.greet(connection=2)
    bench.welcome(hello, drop=(LeaseSpan(bench.number(), 1, 5),))
    assert runs(bench.turn(done(run))) == []


def test_what_closes_an_earlier_try_leaves_the_later_one(bench: WorkerBench) -> None:
    """It may end before word of the earlier one's record arrives; its outcome is kept until it is recorded itself."""
    again = Stamp().after_crash()
    (run,) = runs(bench.turn(bench.jobs(0, 1, stamp=again)))
    did = bench.turn(done(run), Closed((RecordedSpan(BATCH, 0, 1, Stamp()),)))
    assert (of(FreeLease, did), len(of(Deliver, did))) == ([], 1)
    assert of(FreeLease, bench.turn(Closed((RecordedSpan(BATCH, 0, 1, again),)))) == [FreeLease(bench.number())]


# ---------------------------------------------------------------------------------------------- liveness


def test_without_an_echo_it_starts_nothing(bench: WorkerBench) -> None:
    """Rule 6: half a lease time after the newest echoed heartbeat was sent, it considers itself lost and says hello."""
    (run,) = runs(bench.turn(bench.jobs(0, 5)))
    assert of(Hello, bench.pass_time(LOST + BEAT, answered=False))
    assert runs(bench.turn(done(run))) == []


def test_slots_are_told_until_when_they_may_start_jobs(bench: WorkerBench) -> None:
    """Rule 6 holds for them while the agent stands still too: half a lease time after the newest echoed heartbeat."""
    began = bench.touched[-1]
    assert began == bench.now + LOST
    (beat,) = of(Heartbeat, bench.turn(after=BEAT))
    assert bench.touched[-1] == began
    bench.turn(Beat(beat.number), after=0.3)
    assert bench.touched[-1] == began + BEAT


def test_the_ventilator_says_how_often_it_beats(bench: WorkerBench) -> None:
    """Of many workers each less often; without an echo it is lost only after as much longer a time."""
    (beat,) = of(Heartbeat, bench.turn(after=BEAT))
    bench.turn(Beat(beat.number, 3.0))
    assert of(Heartbeat, bench.turn(after=2.9 * BEAT)) == []
    assert len(of(Heartbeat, bench.turn(after=0.2 * BEAT))) == 1
    assert of(Hello, bench.pass_time(2 * LOST, answered=False)) == []
    assert of(Hello, bench.pass_time(LOST + BEAT, answered=False))


def test_the_arrival_of_something_late_is_no_sign_of_life(bench: WorkerBench) -> None:
    """Rule 6: an echo counts from when its heartbeat was sent, not from when it arrives."""
    (beat,) = of(Heartbeat, bench.turn(after=BEAT))
    assert of(Heartbeat, bench.turn(after=BEAT))
    (run,) = runs(bench.turn(Beat(beat.number), bench.jobs(0, 5)))
    (run,) = runs(bench.turn(done(run, each=1.0), after=LOST - BEAT - 0.1))
    assert runs(bench.turn(done(run), after=0.2)) == []


def test_a_welcome_that_comes_too_late_is_none(bench: WorkerBench) -> None:
    """Rule 6: a welcome is an echo of its hello: older than half a lease time it does not count."""
    hello = bench.greet(connection=2)
    bench.turn(bench.jobs())
    did = bench.turn(Welcome(hello.number, 1, ()), after=LOST + 0.1)
    assert (runs(did), of(Took, did), bench.inventory) == ([], [], [])


def test_a_greeting_is_no_sign_of_life(bench: WorkerBench) -> None:
    """Rule 6: what waited in the buffers of a worker that stood still may begin with jobs and go on with a greeting."""
    assert runs(bench.turn(bench.jobs(), Greeting(1, 2, 5.0, BEAT), after=60.0)) == []


def test_who_holds_jobs_of_one_pipeline_says_nothing_to_the_ventilator_of_another() -> None:
    """It would have them dropped: the worker says so once, and goes on with its own ventilator when that is back."""
    mine, other = (Greeting(1, 1, 5.0, BEAT, pipeline) for pipeline in (b"m" * 16, b"o" * 16))
    bench = WorkerBench(join=False)
    bench.turn(JobsConnected(), SinkConnected(), SlotReady(0))
    for greeting in (other, mine):  # nothing is held yet: whoever greets is its ventilator
        (hello,) = of(Hello, bench.turn(greeting))
        bench.welcome(hello)
    bench.turn(bench.jobs(0, 5))
    held = bench.inventory
    assert held
    for _ in range(2):
        assert of(Hello, bench.turn(other)) == []
    assert [log.event for log in bench.logged].count("other_pipeline") == 1
    assert bench.inventory == held
    (hello,) = of(Hello, bench.turn(mine))
    assert len(hello.held) == 1
    assert len(of(Hello, bench.turn(Greeting(1, 1, 5.0, BEAT)))) == 1, "an older release does not say whose it is"


def test_what_came_while_it_was_lost_is_dropped_by_the_floor(bench: WorkerBench) -> None:
    """A stale job that sat in a buffer while the process stood still is never started."""
    did = bench.turn(bench.jobs(), after=60.0)
    assert runs(did) == []
    hello = of(Hello, did + bench.pass_time(BEAT))[-1]
    dropped = tuple(LeaseSpan(one.lease, *span) for one in hello.held for span in one.unstarted)
    assert runs(bench.welcome(hello, floor=bench.number(2), drop=dropped)) == []
    assert bench.inventory == []


# ---------------------------------------------------------------------------------------------- inventory


def test_what_arrives_is_reported_together(bench: WorkerBench) -> None:
    """Took names the leases of some turns, with the credit window."""
    assert of(Took, bench.turn(bench.jobs(0, 3, lease=1))) == []
    assert bench.core.next_wakeup() == bench.now + TOOK_DELAY
    assert of(Took, bench.turn(bench.jobs(3, 6, lease=2))) == []
    did = bench.turn(after=TOOK_DELAY)
    assert of(Took, did) == [Took(bench.id, (bench.number(1), bench.number(2)), module.WINDOW)]
    assert of(Took, bench.turn(after=TOOK_DELAY)) == []


def test_the_inventory_is_exact(bench: WorkerBench) -> None:
    """Rule 5: per lease what is unstarted, running, finished; closed and handed-back jobs are missing."""
    (run,) = runs(bench.turn(bench.jobs(0, 9)))
    bench.turn(done(run, each=10.0))
    bench.turn(HandBack(1, 2))
    (line,) = bench.beat().held
    assert (line.finished, line.running, line.unstarted) == (((0, 1),), ((1, 2),), ((2, 7),))
    bench.turn(Closed((RecordedSpan(BATCH, 0, 1, Stamp()),)))
    assert bench.beat().held[0].finished == ()


def test_a_lease_that_arrives_twice_is_held_once(bench: WorkerBench) -> None:
    """A repeated message changes nothing."""
    bench.turn(bench.jobs(0, 3))
    assert bench.turn(bench.jobs(0, 3)) == []


def test_a_missing_function_is_asked_for_until_it_is_here(bench: WorkerBench) -> None:
    """Large functions do not travel with jobs; nothing of them starts before they are here."""
    did = bench.turn(bench.jobs(inline=False))
    assert of(NeedFunction, did) == [NeedFunction(bench.id, FUNCTION)]
    assert runs(did) == []
    assert of(NeedFunction, bench.pass_time(2 * RESEND))
    assert len(runs(bench.turn(FunctionReady(FUNCTION, 1 << 20)))) == 1


# ---------------------------------------------------------------------------------------------- outcomes


def test_an_outcome_is_sent_until_it_is_closed(bench: WorkerBench) -> None:
    """Rule 10: at once, and after every RESEND without Closed."""
    (run,) = runs(bench.turn(bench.jobs(0, 1)))
    assert delivered(bench.turn(done(run))) == [(0, 1)]
    assert delivered(bench.pass_time(2 * RESEND + 1)) == [(0, 1)] * 2
    assert of(FreeLease, bench.turn(Closed((RecordedSpan(BATCH, 0, 1, Stamp()),)))) == [FreeLease(bench.number())]
    assert delivered(bench.pass_time(2 * RESEND)) == []


def test_outcomes_are_sent_again_at_every_connection_to_the_sink(bench: WorkerBench) -> None:
    """Rule 10: not only when a restart is announced."""
    (run,) = runs(bench.turn(bench.jobs(0, 1)))
    bench.turn(done(run))
    assert delivered(bench.turn(SinkConnected())) == [(0, 1)]


def test_closed_names_spans(bench: WorkerBench) -> None:
    """Rule 11: an outcome of several jobs is kept until all of them are closed."""
    (run,) = runs(bench.turn(bench.jobs(0, 9)))
    run = runs(bench.turn(done(run, each=0.001)))[0]
    bench.turn(done(run))
    assert run.stop - run.start > 1
    bench.turn(Closed((RecordedSpan(BATCH, 0, run.stop - 1, Stamp()),)))
    assert (run.stop - 1, run.stop) in bench.inventory[0].finished


def test_a_drop_never_drops_what_is_finished(bench: WorkerBench) -> None:
    """Rule 10: nor does a cancellation: the sink decides whose outcome counts."""
    (run,) = runs(bench.turn(bench.jobs(0, 1)))
    bench.turn(done(run))
    bench.turn(Drop((LeaseSpan(bench.number(), 0, 1),)), CancelSpan((BatchSpan(BATCH, 0, 1),)))
    assert bench.inventory[0].finished == ((0, 1),)
    assert delivered(bench.turn(SinkConnected())) == [(0, 1)]


def test_it_takes_no_work_while_the_sink_is_slow(bench: WorkerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unclosed outcomes are bounded in bytes: beyond that the window is 0 and nothing starts."""
    monkeypatch.setattr(module, "HELD_BYTES_MAX", 1)
    (run,) = runs(bench.turn(bench.jobs(0, 5)))
    assert runs(bench.turn(done(run))) == []
    assert bench.beat().window == 0
    assert runs(bench.turn(Closed((RecordedSpan(BATCH, 0, 1, Stamp()),))))


def test_it_wants_no_more_arguments_than_fit(bench: WorkerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With arguments, functions and outcomes over the bound and a lease for each slot the window is 0; what it has runs
    on, and when that is closed the window opens again."""
    monkeypatch.setattr(module, "HELD_BYTES_MAX", 1)
    assert bench.beat().window == module.WINDOW
    (run,) = runs(bench.turn(bench.jobs(0, 1)))
    assert bench.core.holdings.held_bytes >= 1
    assert bench.beat().window == 0
    bench.turn(done(run))
    bench.turn(Closed((RecordedSpan(BATCH, 0, 1, Stamp()),)))
    assert (bench.beat().window, bench.core.holdings.held_bytes) == (module.WINDOW, 0)


# ---------------------------------------------------------------------------------------------- giving back


def test_the_newest_jobs_are_handed_back_last_ones_first(bench: WorkerBench) -> None:
    """And never again started here."""
    (run,) = runs(bench.turn(bench.jobs(0, 4, lease=1), bench.jobs(4, 8, lease=2)))
    (back,) = of(HandedBack, bench.turn(HandBack(7, 5)))
    assert back == HandedBack(bench.id, 7, (LeaseSpan(bench.number(2), 4, 8), LeaseSpan(bench.number(1), 3, 4)))
    waiting, started = [run], list[int]()
    while waiting:
        run = waiting.pop(0)
        started += range(run.start, run.stop)
        waiting += runs(bench.turn(done(run)))
    assert started == [0, 1, 2]


def test_an_empty_hand_is_an_answer(bench: WorkerBench) -> None:
    """Rule 13: a request is always answered, so that the ventilator can ask somebody else."""
    assert bench.turn(HandBack(7, 5)) == [HandedBack(bench.id, 7, ())]


def test_draining_hands_back_what_has_not_started_and_finishes_what_has(bench: WorkerBench) -> None:
    """Then it waits for Closed, and leaves."""
    (run,) = runs(bench.turn(bench.jobs(0, 4)))
    did = bench.turn(Drain())
    assert of(HandedBack, did) == [HandedBack(bench.id, 0, (LeaseSpan(bench.number(), 1, 4),))]
    assert bench.beat().window == 0
    assert delivered(bench.turn(done(run))) == [(0, 1)]
    did = bench.turn(Closed((RecordedSpan(BATCH, 0, 1, Stamp()),)))
    assert did == [FreeLease(bench.number()), Left(bench.id), Leave()]


def test_draining_alone_it_leaves_in_the_end(bench: WorkerBench) -> None:
    """Nobody answers any more: what runs is let finish, then it goes, and says what nobody has taken."""
    (run,) = runs(bench.turn(bench.jobs(0, 1)))
    bench.turn(Drain())
    alone = module.ALONE_LEASES * 5.0
    assert of(Leave, bench.pass_time(2 * alone, answered=False)) == []
    did = bench.turn(done(run))
    assert of(Leave, did) == [Leave(1)]
    assert [log.event for log in bench.logged][-1] == "left_undelivered"


def test_draining_it_waits_for_the_sink_while_the_ventilator_answers(bench: WorkerBench) -> None:
    """Its outcomes are safe with it, and the sink comes back."""
    (run,) = runs(bench.turn(bench.jobs(0, 1)))
    bench.turn(Drain())
    bench.turn(done(run))
    assert of(Leave, bench.pass_time(10 * module.ALONE_LEASES)) == []
    assert Leave() in bench.turn(Closed((RecordedSpan(BATCH, 0, 1, Stamp()),)))


def test_jobs_that_come_while_it_drains_are_handed_back(bench: WorkerBench) -> None:
    """A round may be on its way when it begins to drain."""
    (running,) = runs(bench.turn(bench.jobs(0, 1)))
    bench.turn(Stop())
    did = bench.turn(bench.jobs(1, 5, lease=2))
    assert of(HandedBack, did) == [HandedBack(bench.id, 0, (LeaseSpan(bench.number(2), 1, 5),))]
    assert runs(did) == []
    assert running.start == 0


def test_stopped_twice_it_ends_what_runs(bench: WorkerBench) -> None:
    """What ran is not handed back as if it had never started: the ventilator learns that the worker left."""
    (run,) = runs(bench.turn(bench.jobs(0, 4)))
    bench.turn(Stop())
    did = bench.turn(Stop())
    assert of(EndSlot, did) == [EndSlot(0, run.piece, ((0, 1),), JobState.CANCELLED, "cancelled")]
    did = bench.turn(died(run, 0, JobState.CANCELLED))
    assert of(HandedBack, did) == []
    assert did[-2:] == [Left(bench.id), Leave()]


def test_stopped_twice_it_tells_what_may_not_start_twice(bench: WorkerBench) -> None:
    """A heartbeat without that job would make the ventilator believe that it never came, and give it out again."""
    once = BatchSpec(max_crashes=1)
    (run,) = runs(bench.turn(bench.jobs(0, 1, spec=once)))
    bench.turn(Stop())
    bench.turn(Stop())
    did = bench.turn(died(run, 0, JobState.CANCELLED))
    (head,) = [head for deliver in of(Deliver, did) for head in deliver.records]
    assert (head.state, head.final) == (JobState.DEAD, True)
    assert head.note is not None
    assert "told to leave" in head.note.cause
    assert of(Left, did) == []
    assert [line.finished for line in bench.inventory] == [((0, 1),)]


def test_who_drains_says_so_at_once(bench: WorkerBench) -> None:
    """With a heartbeat before what it hands back: otherwise that comes again until the next one is due."""
    bench.turn(bench.jobs(0, 1), bench.jobs(1, 5, lease=2))
    did = [one for one in bench.turn(Stop()) if isinstance(one, Heartbeat | HandedBack)]
    assert [type(one) for one in did] == [Heartbeat, HandedBack]
    assert [one.window for one in of(Heartbeat, did)] == [0]


# ---------------------------------------------------------------------------------------------- drops


def test_dropped_jobs_are_never_started(bench: WorkerBench) -> None:
    """Also those of a piece whose slot had to be ended for it; the piece may end by itself before that."""
    (run,) = runs(bench.turn(bench.jobs(0, 40)))
    (run,) = runs(bench.turn(done(run, each=0.001)))[:1]
    assert run.stop - run.start > 2
    bench.turn(CancelSpan((BatchSpan(BATCH, 0, 40),)))
    assert of(EndSlot, bench.turn(after=0.1))
    did = bench.turn(died(run, run.start + 1, JobState.CANCELLED), SlotReady(0))
    assert runs(did) == []
    assert [line.unstarted for line in bench.inventory] == [()]


def test_who_shares_a_slot_with_a_dropped_job_runs_again(bench: WorkerBench) -> None:
    """Ending the slot costs its neighbours nothing."""
    (run,) = runs(bench.turn(bench.jobs(0, 40)))
    (run,) = runs(bench.turn(done(run, each=0.001)))[:1]
    bench.turn(Drop((LeaseSpan(bench.number(), run.stop - 1, run.stop),)))
    bench.turn(after=0.1)
    did = bench.turn(died(run, run.start, JobState.CANCELLED), SlotReady(0))
    assert runs(did)[0].start == run.start
    held = bench.core.holdings.leases[bench.number()]
    assert run.stop - 1 not in held.unstarted
    assert run.stop - 1 not in held.running


def test_outcomes_of_short_jobs_travel_together(bench: WorkerBench) -> None:
    """Those in the middle of a lease wait for OUTCOME_DELAY at most, its last one for nothing."""
    (run,) = runs(bench.turn(bench.jobs(0, 3)))
    second, third = runs(did := bench.turn(done(run)))
    assert not delivered(did)
    assert (bench.core.next_wakeup() or 0.0) <= bench.now + OUTCOME_DELAY
    assert delivered(bench.turn(after=OUTCOME_DELAY)) == [(0, 1)]
    assert not delivered(bench.turn(done(second)))
    assert delivered(bench.turn(done(third))) == [(1, 2), (2, 3)]


# ---------------------------------------------------------------------------------------------- slots die


def test_a_slot_that_dies_costs_the_running_job_one_crash(bench: WorkerBench) -> None:
    """Its neighbours run again, and the outcome says crashed."""
    (run,) = runs(bench.turn(bench.jobs(0, 40)))
    (run,) = runs(bench.turn(done(run, each=0.001)))[:1]
    did = bench.turn(died(run, run.start + 1), SlotReady(0))
    sent = bench.turn(after=OUTCOME_DELAY)
    (head,) = [head for deliver in of(Deliver, sent) for head in deliver.records if head.start]
    assert (head.start, head.stop, head.state, head.crashed, head.final) == (
        run.start + 1,
        run.start + 2,
        JobState.DEAD,
        True,
        False,
    )
    assert runs(did)[0].start == run.start


def test_the_last_crash_is_final(bench: WorkerBench) -> None:
    """max_crashes times and it is dead."""
    (run,) = runs(bench.turn(bench.jobs(0, 1, spec=BatchSpec(max_crashes=1))))
    did = bench.turn(died(run, 0))
    assert [head.final for deliver in of(Deliver, did) for head in deliver.records] == [True]


def test_a_culprit_that_nobody_saw_is_found_one_job_at_a_time(bench: WorkerBench) -> None:
    """A slot that died somewhere in a piece: its lease goes on in pieces of one."""
    (run,) = runs(bench.turn(bench.jobs(0, 40)))
    (run,) = runs(bench.turn(done(run, each=0.001)))[:1]
    did = bench.turn(died(run, None), SlotReady(0))
    assert delivered(did) == []
    assert [(one.start, one.stop) for one in runs(did)] == [(run.start, run.start + 1)]


def test_what_had_ended_in_a_slot_that_dies_is_not_run_again(bench: WorkerBench) -> None:
    """It was said before; the job in which the slot died has its own outcome, the others are unstarted."""
    (run,) = runs(bench.turn(bench.jobs(0, 40)))
    (run,) = runs(bench.turn(done(run, each=0.001)))[:1]
    at = run.start + 3
    so_far = replace(done(run, stop=at), goes_on=True)
    did = bench.turn(so_far, died(run, at), SlotReady(0))
    assert [line.finished for line in bench.inventory] == [((0, at + 1),)]
    assert runs(did)[0].start == at + 1


def test_a_death_behind_all_that_had_begun_is_nobodys(bench: WorkerBench) -> None:
    """The job that the slot was in came back before."""
    (run,) = runs(bench.turn(bench.jobs(0, 40)))
    (run,) = runs(bench.turn(done(run, each=0.001)))[:1]
    did = bench.turn(replace(done(run, stop=run.start + 1), goes_on=True), died(run, run.start), SlotReady(0))
    assert [line.finished for line in bench.inventory] == [((0, run.start + 1),)]
    assert runs(did)[0].start == run.start + 1


def test_a_job_is_ended_without_its_neighbours(bench: WorkerBench) -> None:
    """The piece is cut at once, so that what is cancelled does not begin; the slot is ended if that one runs."""
    (run,) = runs(bench.turn(bench.jobs(0, 40)))
    (run,) = runs(bench.turn(done(run, each=0.001)))[:1]
    at = run.start + 4
    did = bench.turn(CancelSpan((BatchSpan(BATCH, at, at + 1),)))
    assert of(Cut, did) == [Cut(0, run.piece)]
    did = bench.turn(PieceCut(0, run.piece, at), replace(done(run, stop=at - 1), goes_on=True))
    assert at + 1 in {start for line in bench.inventory for start, _ in line.unstarted}
    assert at not in {
        index for line in bench.inventory for start, stop in line.unstarted for index in range(start, stop)
    }
    (end,) = of(EndSlot, bench.turn(after=0.1))
    assert end.spans == ((at, at + 1),)


def test_a_piece_that_was_taken_from_the_slot_is_not_finished_twice(bench: WorkerBench) -> None:
    """What a slot says of a piece it no longer has is void."""
    (run,) = runs(bench.turn(bench.jobs(0, 2)))
    bench.turn(died(run, 0))
    assert delivered(bench.turn(done(run))) == []


# ---------------------------------------------------------------------------------------------- slots fail


def test_broken_it_says_so_and_gives_back_what_it_holds(bench: WorkerBench) -> None:
    """The beat comes first: what is handed back is not to come again. What was on its way goes back, too."""
    (run,) = runs(bench.turn(bench.jobs(0, 5, spec=BatchSpec(max_crashes=1))))
    did = bench.turn(died(run, 0), SlotUnfit(0, "no room"))
    beat, back = (message for message in did if isinstance(message, Heartbeat | HandedBack))
    assert isinstance(beat, Heartbeat)
    assert isinstance(back, HandedBack)
    assert (beat.window, beat.broken) == (0, "no room")
    assert back.spans == (LeaseSpan(run.lease.number, 1, 5),)
    assert [log.event for log in bench.logged] == ["broken"]
    (back,) = of(HandedBack, bench.turn(bench.jobs(0, 2, lease=2)))
    assert back.spans == (LeaseSpan(bench.number(2), 0, 2),)
    hello = bench.greet(connection=2)
    assert (hello.window, hello.broken) == (0, "no room")


def test_healed_it_wants_jobs_again(bench: WorkerBench) -> None:
    """As soon as one of its slots has a process."""
    bench.turn(SlotUnfit(0, "no room"))
    (beat,) = of(Heartbeat, bench.turn(SlotReady(0)))
    assert (beat.window, beat.broken) == (module.WINDOW, "")
    assert len(runs(bench.turn(bench.jobs(0, 5)))) == 1


def test_a_job_that_hides_that_it_runs_does_not_run_for_ever(bench: WorkerBench) -> None:
    """It writes to its slot's page and ends the slot: nobody knows that it had begun, so it runs again, three times in
    all. What is behind it runs."""
    (run,) = runs(bench.turn(bench.jobs(0, 2, spec=BatchSpec(max_crashes=1))))
    for _ in range(UNBEGUN_DEATHS - 1):
        hidden = SlotDied(run.slot, None, None, JobState.DEAD, "killed by SIGKILL", 1.0, 0.0)
        (run,) = runs(bench.turn(hidden, SlotReady(0)))
        assert run.start == 0
    did = bench.turn(SlotDied(run.slot, None, None, JobState.DEAD, "killed by SIGKILL", 1.0, 0.0), SlotReady(0))
    assert [other.start for other in runs(did)] == [1]
    assert delivered(bench.turn(after=OUTCOME_DELAY)) == [(0, 1)]


# ---------------------------------------------------------------------------------------------- the way to the sink


def test_who_cannot_deliver_leaves_the_jobs_to_others(bench: WorkerBench) -> None:
    """The sink is heard by the ventilator and takes nothing from here: after UNDELIVERED_TIME that is said, what has
    not started is handed back, and nothing more is wanted, until something is taken."""
    (run,) = runs(bench.turn(bench.jobs(0, 1)))
    bench.turn(done(run), bench.jobs(1, 9, lease=2, inline=False, function=b"f" * 16))  # it waits for its function
    early = bench.pass_time(UNDELIVERED_TIME - 2 * BEAT, sink=True)
    assert of(HandedBack, early) == []
    late = bench.pass_time(4 * BEAT, sink=True)
    assert [span for back in of(HandedBack, late) for span in back.spans] == [LeaseSpan(bench.number(2), 1, 9)]
    beat = of(Heartbeat, late)[-1]
    assert (beat.window, OUTLET in beat.broken) == (0, True)
    assert [log.event for log in bench.logged if log.event.endswith(("delivered", "again"))] == ["undelivered"]
    bench.turn(Closed((RecordedSpan(BATCH, 0, 1, bench.inventory[0].stamp),)))
    beat = bench.beat()
    assert (beat.window, beat.broken) == (module.WINDOW, "")
    assert bench.logged[-1].event == "delivered_again"


def test_a_sink_that_nobody_hears_stops_no_worker(bench: WorkerBench) -> None:
    """While it is away for all, workers run on; and who loses the ventilator too does not say that all is well."""
    (run,) = runs(bench.turn(bench.jobs(0, 3)))
    bench.turn(done(run))
    did = bench.pass_time(3 * UNDELIVERED_TIME)
    assert of(HandedBack, did) == []
    assert of(Heartbeat, did)[-1].window == module.WINDOW
    bench.pass_time(UNDELIVERED_TIME + 2 * BEAT, sink=True)
    bench.pass_time(2 * LOST, answered=False)
    bench.join()
    assert "its outcomes do not reach" in bench.beat().broken


def test_a_slow_way_to_the_sink_is_a_way(bench: WorkerBench) -> None:
    """A large outcome of which parts arrive is on its way for as long as it takes."""
    (run,) = runs(bench.turn(bench.jobs(0, 3)))
    bench.turn(done(run))
    for _ in range(5):
        bench.pass_time(UNDELIVERED_TIME - 2 * BEAT, sink=True)
        bench.turn(PartsTaken(1, 1))
    assert not bench.beat().broken
