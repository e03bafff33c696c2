"""Presence and inventories: who holds what, who is lost, and what is queued again then."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.station.contract import FromClient
from penstock.ventilator import worker_reports
from penstock.ventilator.contract import JobConnections, PartsUnderWay
from penstock.ventilator.jobs_model import Place
from penstock.wire.bounds import LEASE_TIME, RECONNECT_GRACE, UNREPORTED_TIME
from penstock.wire.desk_messages import Cancel, DrainWorker, Refused
from penstock.wire.messages import (
    Beat,
    Closed,
    Drain,
    Drop,
    Greeting,
    HandedBack,
    Left,
    SinkBeat,
    Took,
    Verdicts,
    Welcome,
)
from penstock.wire.records import MAX_RECORDS, Held, Lease, LeaseSpan, RecordedSpan
from support.core_benches import BATCH, CLIENT, SINK, VentilatorBench, held, leases, of


def test_each_control_connection_is_greeted_and_only_its_own_hello_counts(bench: VentilatorBench) -> None:
    """Rule 7: greetings are numbered; the hello to an older one, or to a former life, is void."""
    peer = bench.worker("w")
    peer.disconnect()
    old = peer.connect()
    new = peer.connect()
    assert new.connection > old.connection
    assert bench.told(peer, peer.hello(old)) == []
    assert bench.told(peer, peer.hello(Greeting(new.life + 1, new.connection, 5.0, 1.0))) == []
    (welcome,) = bench.told(peer, peer.hello(new))
    assert isinstance(welcome, Welcome)


def test_a_hello_said_twice_is_answered_once(bench: VentilatorBench) -> None:
    """What was given after a hello is not void because the hello arrives again."""
    peer = bench.worker("w")
    peer.disconnect()
    hello = peer.hello(peer.connect())
    bench.turn(hello)
    (lease,) = leases(bench.submit(5))
    assert bench.turn(hello) == []
    assert [part.lease for part in bench.parts()] == [lease.number]


def test_an_unknown_speaker_is_asked_for_a_hello(bench: VentilatorBench) -> None:
    """Rule 7: whoever speaks and is subscribed but unknown is greeted; nothing else happens."""
    peer = bench.worker("w")
    bench.turn(Left(peer.id))
    (greeting,) = bench.told(peer, peer.beat())
    assert isinstance(greeting, Greeting)


def test_the_welcome_names_the_lowest_lease_that_still_holds(bench: VentilatorBench) -> None:
    """Rule 7: what was given before a hello that does not list it is queued again, and below the floor."""
    peer = bench.worker("w")
    (before,) = leases(bench.submit(5))
    sent = bench.turn(peer.hello(peer.connect()))
    (welcome,), (after,) = of(Welcome, [message for _, message in sent]), leases(sent)
    assert before.number < welcome.floor <= after.number
    assert (after.start, after.stop) == (0, 5)


def test_a_heartbeat_is_answered_with_its_number(bench: VentilatorBench) -> None:
    """Rule 6: liveness is an echo."""
    peer = bench.worker("w")
    beat = peer.beat()
    assert bench.told(peer, beat) == [Beat(beat.number, sink=True)]


def test_workers_are_told_whether_the_sink_records(bench: VentilatorBench) -> None:
    """It is heard, and it can; who cannot deliver to it then is alone with that."""
    peer = bench.worker("w")
    bench.turn(replace(bench.head(), trouble="no space left"))
    assert bench.told(peer, peer.beat()) == [Beat(2)]
    bench.turn(bench.head())
    assert bench.told(peer, peer.beat()) == [Beat(3, sink=True)]
    bench.now += LEASE_TIME
    assert bench.told(peer, peer.beat()) == [Beat(4)]


def test_of_many_workers_each_beats_less_often(bench: VentilatorBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is lost after a silence that is as much longer; a pace that was told once holds."""
    monkeypatch.setattr(worker_reports, "BEATS_PER_SECOND", 1.0)
    one, *others = [bench.worker(name) for name in ("one", "two", "three")]
    assert bench.told(one, one.beat()) == [Beat(2, 3.0, sink=True)]
    for other in others:
        bench.turn(Left(other.id))
    assert bench.told(one, one.beat()) == [Beat(3, 3.0, sink=True)]
    bench.pass_time(2.9 * LEASE_TIME)
    assert one.id in bench.core.ledger.workers
    bench.pass_time(0.2 * LEASE_TIME)
    assert of(Greeting, bench.told(one, one.beat()))


def test_an_older_heartbeat_is_ignored(bench: VentilatorBench) -> None:
    """Rule 5: a heartbeat that is not newer than the last one changes nothing and is not answered."""
    peer = bench.worker("w")
    old = peer.beat()
    (lease,) = leases(bench.submit(5))
    bench.turn(peer.beat(held(lease, unstarted=((0, 5),))))
    assert bench.turn(old) == []
    assert bench.places() == [(0, 5, Place.LEASED)]


def test_what_an_inventory_lacks_is_queued_again(bench: VentilatorBench) -> None:
    """Rule 5: a lease that was reported once and is not listed any more is given out again."""
    peer = bench.worker("w")
    (lease,) = leases(bench.submit(5))
    bench.turn(Took(peer.id, (lease.number,), 2))
    (again,) = leases(bench.turn(peer.beat(held(lease, running=((0, 2),)))))
    assert (again.start, again.stop) == (2, 5)
    assert again.number > lease.number


def test_a_heartbeat_may_say_what_has_changed(bench: VentilatorBench) -> None:
    """What it does not name is as it was; of what has gone, or has become less, the rest is queued again."""
    peer = bench.worker("w")
    first, second = leases(bench.submit(5, 5))
    peer.window = 0
    base = peer.beat(held(first, running=((0, 5),)), held(second, unstarted=((5, 10),)))
    bench.turn(base)
    bench.turn(replace(peer.beat(held(first, running=((0, 3),))), since=base.number))
    assert bench.places() == [(0, 3, Place.LEASED), (3, 5, Place.QUEUED), (5, 10, Place.LEASED)]
    bench.turn(replace(peer.beat(held(first, running=((1, 3),))), since=base.number, gone=(second.number,)))
    assert bench.places() == [(0, 1, Place.QUEUED), (1, 3, Place.LEASED), (3, 10, Place.QUEUED)]


def test_what_changes_say_together_is_no_more_than_one_report_can_have(bench: VentilatorBench) -> None:
    """Whoever says what no worker holds, bit by bit, is asked for all of it in one hello, and fills no memory."""
    peer = bench.worker("w")
    (lease,) = leases(bench.submit(5))
    spans = tuple((2 * index, 2 * index + 1) for index in range(MAX_RECORDS // 2))
    half = Held(lease.number, BATCH, Stamp(), (), (), spans)
    assert of(Greeting, bench.told(peer, replace(peer.beat(half), since=1))) == []
    more = replace(peer.beat(replace(half, lease=1)), since=1)
    assert len(of(Greeting, bench.told(peer, more))) == 1


def test_what_was_not_reported_yet_is_not_missed_by_a_heartbeat(bench: VentilatorBench) -> None:
    """A heartbeat may have left before the lease came: only a hello voids what it does not list."""
    peer = bench.worker("w")
    bench.submit(5)
    assert leases(bench.turn(peer.beat())) == []


def test_a_missed_job_was_never_started(bench: VentilatorBench) -> None:
    """What a worker of the same life says it does not hold is queued again even if it must not be started twice."""
    peer = bench.worker("w")
    bench.submit(1, spec=BatchSpec(max_crashes=1))
    sent = bench.turn(peer.hello(peer.connect()))
    (lease,) = leases(sent)
    bench.turn(Took(peer.id, (lease.number,), 2))
    assert len(leases(bench.turn(peer.beat()))) == 1


def test_a_worker_is_told_to_drop_what_is_not_its_own(bench: VentilatorBench) -> None:
    """Rule 1: what is under another lease stays there, what awaits its verdict too; both are answered with a drop."""
    one, two = bench.worker("one"), bench.worker("two", window=0)
    (old,) = leases(bench.submit(4))
    (new,) = leases(bench.turn(one.hello(one.connect())))  # it holds nothing: the job is given out again
    assert bench.told(two, two.beat(held(old, unstarted=((0, 4),)))) == [
        Drop((LeaseSpan(old.number, 0, 4),)),
        Beat(2, sink=True),
    ]
    assert [part.lease for part in bench.parts()] == [new.number]
    bench.ask(Cancel(1, BATCH, 0, 4, False))
    assert bench.told(two, two.beat(held(old, unstarted=((0, 4),)))) == [
        Drop((LeaseSpan(old.number, 0, 4),)),
        Beat(3, sink=True),
    ]
    assert bench.places() == [(0, 4, Place.VERDICT)]


def test_finished_and_recorded_is_closed_again(bench: VentilatorBench) -> None:
    """Rule 11: an inventory that lists as finished what is recorded is answered with Closed, each time."""
    peer = bench.worker("w")
    (lease,) = leases(bench.submit(4, close=False))
    bench.turn(bench.record(0, 3, lease=lease.number, worker=peer.id))
    for _ in range(2):
        sent = bench.told(peer, peer.beat(held(lease, running=((3, 4),), finished=((0, 3),))))
        assert of(Closed, sent) == [Closed((RecordedSpan(BATCH, 0, 3, Stamp()),))]


def test_finished_is_never_dropped(bench: VentilatorBench) -> None:
    """Rule 10: an outcome of a job that somebody else has by now is left to the sink to decide."""
    one, two = bench.worker("one"), bench.worker("two", window=0)
    (lease,) = leases(bench.submit(4))
    stray = held(lease, finished=((0, 4),))
    moved = bench.turn(one.hello(one.connect()))  # it holds nothing: the job is given out again
    assert len(leases(moved)) == 1
    assert bench.told(two, two.beat(stray)) == [Beat(2, sink=True)]


def test_a_queued_job_is_adopted(bench: VentilatorBench) -> None:
    """Rule 5: a job that was queued again and is not given out yet stays with the worker that says it has it."""
    one = bench.worker("one")
    (lease,) = leases(bench.submit(4))
    one.window = 0
    bench.turn(one.hello(one.connect()))
    assert bench.places() == [(0, 4, Place.QUEUED)]
    bench.turn(one.beat(held(lease, unstarted=((0, 4),))))
    assert bench.places() == [(0, 4, Place.LEASED)]


def test_handed_back_jobs_are_queued_again(bench: VentilatorBench) -> None:
    """At once, also if the round that brought them was never reported: who hands a lease back had it."""
    one, _ = bench.worker("one"), bench.worker("two")
    first, second = leases(bench.submit(4, 4))
    (again,) = leases(bench.turn(HandedBack(one.id, 0, (LeaseSpan(first.number, 0, 4),))))
    assert (again.start, again.stop) == (0, 4)
    assert again.number > second.number


def test_somebody_elses_jobs_cannot_be_handed_back(bench: VentilatorBench) -> None:
    """A lease that another worker holds stays where it is."""
    one, two = bench.worker("one", window=1), bench.worker("two", window=1)
    first, _ = leases(bench.submit(4, 4))
    bench.turn(Took(one.id, (first.number,), 1))
    assert leases(bench.turn(HandedBack(two.id, 0, (LeaseSpan(first.number, 0, 4),)))) == []
    assert bench.parts()[0].lease == first.number


# ---------------------------------------------------------------------------------------------- loss


def test_a_dropped_connection_may_come_back(bench: VentilatorBench) -> None:
    """Rule 8: within the grace nothing is queued again, and the worker keeps what it has."""
    peer = bench.worker("w")
    (lease,) = leases(bench.submit(4))
    bench.turn(Took(peer.id, (lease.number,), 2))
    peer.disconnect()
    bench.turn(after=RECONNECT_GRACE * 0.9)
    bench.turn(peer.hello(peer.connect(), held(lease, running=((0, 4),))))
    assert [part.lease for part in bench.parts()] == [lease.number]


def test_a_lost_workers_jobs_wait_for_the_sink(bench: VentilatorBench) -> None:
    """Rule 8: they are in unconfirmed until the sink has echoed a beat that was sent after the loss."""
    peer = bench.worker("w")
    bench.submit(4)
    peer.disconnect()
    (beat,) = of(SinkBeat, bench.told(SINK, after=RECONNECT_GRACE * 1.1))
    assert bench.places() == [(0, 4, Place.UNCONFIRMED)]
    bench.turn(bench.head(echo=beat.number - 1))
    assert bench.places() == [(0, 4, Place.UNCONFIRMED)]
    bench.turn(bench.head(echo=beat.number))
    assert bench.places() == [(0, 4, Place.QUEUED)]


def test_the_first_job_of_a_lost_worker_may_have_taken_it_along(bench: VentilatorBench) -> None:
    """For each slot of which no inventory told what it ran, the first job under its leases counts as crashed."""
    peer = bench.worker("w", slots=2)
    bench.submit(4)
    peer.disconnect()
    (beat,) = of(SinkBeat, bench.told(SINK, after=RECONNECT_GRACE * 1.1))
    bench.turn(bench.head(echo=beat.number))
    assert [(part.start, part.stop, part.crashed) for part in bench.parts()] == [(0, 2, True), (2, 4, False)]


def test_of_several_batches_the_first_jobs_of_each_may_have_taken_a_worker_along(bench: VentilatorBench) -> None:
    """As a worker shares its slots: larger priority first, then batch by batch; what an inventory told counts."""
    peer = bench.worker("w", slots=4, window=9)
    given = leases(bench.submit(9, batch=b"a" * 16))
    given += leases(bench.submit(1, batch=b"b" * 16, spec=BatchSpec(priority=1)))
    given += leases(bench.submit(9, batch=b"c" * 16))
    assert len(given) == 3
    bench.turn(peer.beat(held(given[0], unstarted=((1, 9),), running=((0, 1),)), *map(waiting, given[1:])))
    peer.disconnect()
    bench.turn(after=RECONNECT_GRACE * 1.1)
    crashed = {name: [(p.start, p.stop) for p in bench.parts(name * 16) if p.crashed] for name in (b"a", b"b", b"c")}
    assert crashed == {b"a": [(0, 1), (1, 2)], b"b": [(0, 1)], b"c": [(0, 1)]}


def waiting(lease: Lease) -> Held:
    """Nothing of it has started."""
    return held(lease, unstarted=((lease.start, lease.stop),))


def test_of_what_runs_one_by_one_only_the_first_may_have_taken_a_worker_along(bench: VentilatorBench) -> None:
    """Two leases of a batch with a limit, four slots: one job of each ran."""
    peer = bench.worker("w", slots=4)
    bench.submit(4, spec=BatchSpec(limit=2))
    peer.disconnect()
    bench.turn(after=1.1)
    crashed = [(part.start, part.stop, part.crashed) for part in bench.parts()]
    assert crashed == [(0, 1, True), (1, 2, False), (2, 3, True), (3, 4, False)]


def test_a_worker_that_left_has_crashed_nothing(bench: VentilatorBench) -> None:
    """What it held when it said goodbye is queued as it was."""
    peer = bench.worker("w")
    bench.submit(4)
    bench.turn(Left(peer.id))
    assert [(part.start, part.stop, part.crashed) for part in bench.parts()] == [(0, 4, False)]


def test_the_echo_counts_only_when_the_log_is_applied(bench: VentilatorBench) -> None:
    """Rule 8: an echo with lines that are not applied yet releases nothing; what they say is done is not run again."""
    peer = bench.worker("w")
    (lease,) = leases(bench.submit(4, close=False))
    peer.disconnect()
    bench.turn(after=RECONNECT_GRACE * 1.1)
    line = bench.record(0, 3, lease=lease.number, worker=peer.id)
    bench.turn(bench.head())
    assert bench.places() == [(0, 4, Place.UNCONFIRMED)]
    bench.turn(line)
    bench.turn(bench.head())
    assert bench.places() == [(3, 4, Place.QUEUED)]


def test_a_silent_worker_is_lost_after_a_lease_time(bench: VentilatorBench) -> None:
    """Leases are the worker's liveness: silence loses it, however short or long its jobs are."""
    peer, other = bench.worker("w"), bench.worker("other", window=0)
    (lease,) = leases(bench.submit(1))
    mine = held(lease, running=((0, 1),))
    bench.pass_time(60.0, (peer, (mine,)), (other, ()))
    assert [part.lease for part in bench.parts()] == [lease.number]
    bench.pass_time(5.6, (other, ()))
    bench.turn(bench.head())
    assert bench.places() == [(0, 1, Place.QUEUED)]


def test_what_ran_when_its_worker_was_lost_has_crashed_once(bench: VentilatorBench) -> None:
    """One loss counts one crash for each job that ran, none for the others, however the lease is cut up."""
    peer = bench.worker("w", slots=2)
    (lease,) = leases(bench.submit(10, close=False))
    bench.turn(peer.beat(held(lease, running=((1, 2), (6, 7)), unstarted=((0, 1), (2, 6), (7, 10)))))
    bench.turn(peer.beat(held(lease, running=((1, 3), (6, 9)), unstarted=((0, 1), (3, 6), (9, 10)))))
    bench.turn(bench.record(4, 5, lease=lease.number, worker=peer.id))
    peer.disconnect()
    bench.turn(after=RECONNECT_GRACE * 1.1)
    bench.turn(bench.head())
    bench.worker("other", window=99)
    assert {part.place for part in bench.parts()} == {Place.LEASED}
    crashes = {index: part.stamp.crashes for part in bench.parts() for index in range(part.start, part.stop)}
    assert crashes == {0: 0, 1: 1, 2: 1, 3: 0, 5: 0, 6: 1, 7: 1, 8: 1, 9: 0}


def test_a_loss_moves_nothing_but_the_lost_workers_jobs(bench: VentilatorBench) -> None:
    """Rule 1: a part of the same chunk that waits for its retry goes on waiting."""
    peer = bench.worker("w")
    (lease,) = leases(bench.submit(4, spec=BatchSpec(retries=3, retry_delay=60.0), close=False))
    bench.turn(peer.beat(held(lease, running=((0, 1), (3, 4)), unstarted=((1, 3),))))
    bench.turn(bench.record(1, 2, JobState.FAILED, final=False, lease=lease.number, worker=peer.id))
    peer.disconnect()
    bench.turn(after=RECONNECT_GRACE * 1.1)
    assert [part.place for part in bench.parts() if part.start == 1] == [Place.DELAYED]


def test_a_lost_worker_that_comes_back_keeps_what_nobody_else_has(bench: VentilatorBench) -> None:
    """Rule 5: also the job that ran, although its loss would have counted as a crash, and at the stamp it has."""
    peer = bench.worker("w")
    (lease,) = leases(bench.submit(2))
    mine = held(lease, running=((0, 1),), unstarted=((1, 2),))
    bench.turn(peer.beat(mine))
    peer.disconnect()
    bench.turn(after=RECONNECT_GRACE * 1.1)
    bench.turn(bench.head())
    assert bench.places() == [(0, 2, Place.QUEUED)]
    sent = bench.told(peer, peer.hello(peer.connect(), mine))
    assert of(Welcome, sent)[0].drop == ()
    assert [(part.lease, part.stamp) for part in bench.parts()] == [(lease.number, Stamp())] * 2


def test_an_outcome_held_by_a_lost_worker_is_not_closed_before_it_is_recorded(bench: VentilatorBench) -> None:
    """Rule 11: Closed says recorded; a job that ran to its end while its worker was cut off is not run again."""
    peer = bench.worker("w")
    (lease,) = leases(bench.submit(1))
    bench.turn(peer.beat(held(lease, running=((0, 1),))))
    peer.disconnect()
    bench.turn(after=RECONNECT_GRACE * 1.1)
    bench.turn(bench.head())
    sent = bench.told(peer, peer.hello(peer.connect(), held(lease, finished=((0, 1),))))
    assert of(Closed, sent) == []
    assert bench.places() == [(0, 1, Place.LEASED)]


def test_a_job_that_loses_its_workers_too_often_is_dead(bench: VentilatorBench) -> None:
    """max_crashes counts deaths of processes under the job, also of whole workers; the sink records the verdict."""
    bench.submit(1, spec=BatchSpec(max_crashes=2), close=False)
    for round_ in range(2):
        peer = bench.worker(f"w{round_}")
        (part,) = bench.parts()
        bench.turn(peer.beat(Held(part.lease, BATCH, part.stamp, (), ((0, 1),), ())))
        peer.disconnect()
        bench.turn(after=RECONNECT_GRACE * 1.1)
        sent = bench.told(SINK, bench.head())
    (verdicts,) = of(Verdicts, sent)
    assert [(one.start, one.stop, one.state, one.final) for one in verdicts.records] == [(0, 1, JobState.DEAD, True)]
    assert bench.places() == [(0, 1, Place.VERDICT)]


@pytest.mark.parametrize("leaving", [True, False])
def test_a_worker_that_is_killed_while_it_leaves_has_crashed_nothing(bench: VentilatorBench, leaving: bool) -> None:
    """As `docker stop` does it, again and again, under a job that lasts; the control is one that does not leave."""
    bench.submit(1, spec=BatchSpec(max_crashes=2), close=False)
    for round_ in range(3):
        peer = bench.worker(f"w{round_}")
        (part,) = bench.parts()
        bench.turn(replace(peer.beat(Held(part.lease, BATCH, part.stamp, (), ((0, 1),), ())), leaving=leaving))
        peer.disconnect()
        bench.turn(after=RECONNECT_GRACE * 1.1)
        bench.turn(bench.head())
    (part,) = bench.parts()
    assert (part.place, part.stamp.crashes) == ((Place.QUEUED, 0) if leaving else (Place.VERDICT, 1))


def test_a_job_that_may_be_started_once_is_dead_when_its_worker_is_lost(bench: VentilatorBench) -> None:
    """max_crashes=1: what may have been started is never started again."""
    peer = bench.worker("w")
    bench.submit(1, spec=BatchSpec(max_crashes=1))
    peer.disconnect()
    bench.turn(after=RECONNECT_GRACE * 1.1)
    assert of(Verdicts, bench.told(SINK, bench.head()))
    assert bench.places() == [(0, 1, Place.VERDICT)]


def test_a_worker_that_left_holds_nothing(bench: VentilatorBench) -> None:
    """Left queues again what the ledger still have of it, and counts no crash."""
    peer = bench.worker("w")
    (lease,) = leases(bench.submit(4))
    bench.turn(peer.beat(held(lease, running=((0, 1),), unstarted=((1, 4),))))
    bench.turn(Left(peer.id))
    bench.turn(bench.head())
    assert [(part.place, part.stamp) for part in bench.parts()] == [(Place.QUEUED, Stamp())] * len(bench.parts())


def test_the_ventilators_own_pause_expires_nobody(bench: VentilatorBench) -> None:
    """Rule 9: after it stood still all clocks start again; a worker that is dead by then is lost a lease time later."""
    peer = bench.worker("w")
    (lease,) = leases(bench.submit(1))
    bench.turn(Took(peer.id, (lease.number,), 2))
    bench.turn(after=3600.0)
    assert bench.places() == [(0, 1, Place.LEASED)]
    bench.pass_time(5.6)
    assert bench.places() == [(0, 1, Place.UNCONFIRMED)]


def test_a_message_in_the_turn_after_a_pause_is_heard_now(bench: VentilatorBench) -> None:
    """Rule 9: what was heard after the pause is not put into the future: a worker that falls silent is lost in time."""
    peer = bench.worker("w")
    (lease,) = leases(bench.submit(1))
    mine = held(lease, running=((0, 1),))
    bench.turn(peer.beat(mine), after=3600.0)
    bench.pass_time(5.6)
    assert bench.places() == [(0, 1, Place.UNCONFIRMED)]


# ---------------------------------------------------------------------------------------------- fuse


def test_a_dealt_lease_that_nobody_reported_is_queued_again(bench: VentilatorBench) -> None:
    """Rule 4: after the fuse, although nobody left; what was reported stays."""
    one, two = bench.worker("one"), bench.worker("two")
    first, _ = leases(bench.submit(2, 2))
    bench.turn(Took(one.id, (first.number,), 0))
    one.window = two.window = 0
    mine = held(first, unstarted=((0, 2),))
    bench.pass_time(UNREPORTED_TIME * 1.1, (one, (mine,)), (two, ()))
    assert bench.places() == [(0, 2, Place.LEASED), (2, 4, Place.QUEUED)]


def test_the_fuse_waits_for_who_was_not_heard_since(bench: VentilatorBench) -> None:
    """Rule 4: a worker of the round that is silent may hold it; it is queued again only when that one is lost."""
    one, two = bench.worker("one"), bench.worker("two")
    first, _ = leases(bench.submit(2, 2))
    bench.turn(Took(one.id, (first.number,), 0))
    one.window = 0
    mine = held(first, unstarted=((0, 2),))
    bench.pass_time(UNREPORTED_TIME * 1.5, (one, (mine,)))
    assert bench.places() == [(0, 2, Place.LEASED), (2, 4, Place.LEASED)]
    bench.pass_time(5.0, (one, (mine,)))
    bench.turn(bench.head())
    assert bench.places() == [(0, 2, Place.LEASED), (2, 4, Place.QUEUED)]
    assert two.id in bench.core.ledger.workers, "it is subscribed still"


def test_a_hello_ends_the_wait_for_earlier_rounds(bench: VentilatorBench) -> None:
    """Rules 2 and 7: what was dealt before a hello is below its floor, so the worker is charged for it no longer."""
    one, _ = bench.worker("one"), bench.worker("two")
    bench.submit(2, 2)
    ledger = bench.core.ledger
    assert ledger.workers[one.id].charged_leases == 1
    bench.turn(one.hello(one.connect()))
    assert ledger.workers[one.id].charged_leases == 0


# ---------------------------------------------------------------------------------------------- restart


def test_after_a_restart_nothing_is_given_out_before_it_is_known_who_holds_what(tmp_path: Path) -> None:
    """Not before the grace is over and the sink's log is applied; then the rest is queued."""
    bench = VentilatorBench(tmp_path)
    bench.submit(2, 2)
    bench.restart()
    peer = bench.worker("w", window=4)
    assert leases(bench.pass_time(3.0, (peer, ()))) == []
    bench.sink()
    bench.pass_time(1.0, (peer, ()))
    assert [(lease.start, lease.stop) for lease in leases(bench.turn(bench.head()))] == [(0, 2), (2, 4)]


def test_after_a_restart_a_worker_keeps_what_it_holds(tmp_path: Path) -> None:
    """A claim on a chunk that is on disk only is heard when it is loaded; it is adopted under its old number."""
    bench = VentilatorBench(tmp_path)
    bench.worker("w", window=1)
    (lease,) = leases(bench.submit(4, 4))
    bench.restart()
    bench.peers.clear()
    peer = bench.worker("w", window=1)
    mine = held(lease, running=((0, 1),), unstarted=((2, 4),))
    bench.turn(peer.beat(mine))
    assert [(part.start, part.stop, part.lease) for part in bench.parts() if part.lease] == [
        (0, 1, lease.number),
        (2, 4, lease.number),
    ]
    bench.sink()
    bench.pass_time(3.0, (peer, (mine,)))
    bench.turn(bench.head())
    assert bench.places() == [
        (0, 1, Place.LEASED),
        (1, 2, Place.QUEUED),
        (2, 4, Place.LEASED),
        (4, 8, Place.QUEUED),
    ]


def test_an_echo_from_a_former_life_is_none(tmp_path: Path) -> None:
    """Rule 8: beats are numbered on across restarts, so that no old echo passes for a new one."""
    bench = VentilatorBench(tmp_path)
    bench.sink()
    bench.pass_time(9.0)
    old = bench.core.ledger.beats.number
    bench.submit(2)
    bench.restart()
    bench.sink()
    bench.pass_time(3.0)
    bench.turn(bench.head(echo=old))
    assert not bench.core.intake.recovered


def test_recovery_needs_an_echo_not_the_newest(tmp_path: Path) -> None:
    """A sink that answers more slowly than it is asked still ends the recovery."""
    bench = VentilatorBench(tmp_path)
    bench.submit(2)
    bench.restart()
    bench.sink()
    bench.pass_time(4.0)
    echo = bench.core.ledger.beats.number
    bench.pass_time(2.0)
    assert bench.core.ledger.beats.number > echo
    bench.turn(bench.head(echo=echo))
    assert bench.core.intake.recovered


def test_after_a_restart_a_job_that_may_have_been_started_is_not_started_again(tmp_path: Path) -> None:
    """max_crashes=1: what was given out before and nobody claims is dead; the rest is queued."""
    bench = VentilatorBench(tmp_path)
    bench.worker("w", window=1)
    bench.submit(1, 1, spec=BatchSpec(max_crashes=1))
    bench.restart()
    bench.recover()
    bench.turn(bench.head())
    assert bench.places() == [(0, 1, Place.VERDICT), (1, 2, Place.QUEUED)]


def test_what_is_on_its_way_to_a_worker_is_not_queued_again(bench: VentilatorBench) -> None:
    """However long its parts take: a lease that was given by name ends unreported only when nothing is on its way to
    its worker any more, and then it does."""
    peer = bench.worker("w")
    bench.turn(JobConnections(2))
    bench.submit(1)
    peer.window = 0
    for _ in range(20):
        bench.pass_time(UNREPORTED_TIME / 2, (peer, ()))
        bench.turn(PartsUnderWay((peer.id,)))
    assert bench.places() == [(0, 1, Place.LEASED)]
    bench.pass_time(UNREPORTED_TIME * 1.5, (peer, ()))
    assert bench.places() == [(0, 1, Place.QUEUED)]


def test_drain_takes_a_name_an_id_or_a_host(bench: VentilatorBench) -> None:
    """A name comes first. What fits several drains none of them, and says the ids of all."""
    one, two, other = (bench.worker(name) for name in ("one", "two", "other"))
    for peer in (one, two):  # two slots of a host
        bench.turn(replace(peer.hello(peer.connect()), host="gpu"))
    bench.turn(replace(other.hello(other.connect()), host="host-other"))

    def drained(text: str) -> list[bytes]:
        """Who is told to leave."""
        sent = bench.turn(FromClient(CLIENT, DrainWorker(1, text)))
        return [to for to, message in sent if isinstance(message, Drain)]

    (refused,) = bench.ask(DrainWorker(1, "gpu"))
    assert isinstance(refused, Refused)
    assert refused.kind == "NoSuchWorker"
    assert all(f"{peer.id.hex()} ({peer.name} on gpu)" in refused.text for peer in (one, two))
    assert drained("gpu") == drained("nobody") == drained(one.id.hex()[:4]) == []
    assert drained("other") == drained("host-other") == [other.id]
    assert drained(one.id.hex()) == drained(one.id.hex()[:8].upper()) == [one.id]
    assert drained("two") == [two.id]
