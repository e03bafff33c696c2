"""Giving out: rounds, by name, and taking back."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from penstock.job.spec import BatchSpec
from penstock.ventilator.contract import JobConnections
from penstock.ventilator.dispatch import LEASES_TO_COME, ROUND_BYTES
from penstock.ventilator.jobs_model import Place
from penstock.ventilator.known_worker import LOOK_AHEAD, MANY, look_interval
from penstock.wire.bounds import RESEND
from penstock.wire.messages import HandBack, HandedBack, Jobs, Took
from penstock.wire.records import LeaseSpan, Message
from support.core_benches import BATCH, VentilatorBench, held, leases, of

GPU = BatchSpec(needs=("gpu",))


def given_to(sent: Sequence[tuple[bytes, object]]) -> list[bytes]:
    """Who was sent jobs; b"" for each message of a round."""
    return [to for to, message in sent if isinstance(message, Jobs)]


def test_a_round_gives_each_exactly_one_message(bench: VentilatorBench) -> None:
    """While every worker has credit and every job connection is a present worker's."""
    for name in ("one", "two", "three"):
        bench.worker(name)
    assert given_to(bench.submit(1, 1, 1)) == [b"", b"", b""]


def test_everything_goes_by_name_while_a_job_connection_is_nobodys(bench: VentilatorBench) -> None:
    """Rule 3: a worker whose hello is not here yet would get a share of the round."""
    one, two = bench.worker("one"), bench.worker("two")
    bench.turn(JobConnections(3))
    assert set(given_to(bench.submit(1, 1))) == {one.id, two.id}


def test_nothing_is_given_beyond_credit(bench: VentilatorBench) -> None:
    """Rule 2: the window less the open leases, computed anew; what a round cost is counted until it is reported."""
    one, two = bench.worker("one", slots=2), bench.worker("two", slots=2)
    given = leases(bench.submit(*[1] * 9))
    assert len(given) == 4
    assert given_to(bench.turn(one.beat(), two.beat())) == []
    bench.turn(Took(one.id, (given[0].number, given[2].number), 3))
    assert len([part for part in bench.parts() if part.lease]) == 5


def test_an_idle_slot_is_served_before_one_that_looks_ahead(bench: VentilatorBench) -> None:
    """One job goes to the worker with nothing to do, whatever credit the busy one has."""
    bench.worker("busy", slots=2, window=9)
    bench.submit(1, 1, batch=b"1" * 16)
    idle = bench.worker("idle", window=1)
    assert given_to(bench.submit(1, batch=b"2" * 16)) == [idle.id]


def test_a_worker_that_is_away_is_given_nothing(bench: VentilatorBench) -> None:
    """Within the grace of a dropped connection."""
    peer = bench.worker("w")
    peer.disconnect()
    assert leases(bench.submit(1)) == []


def test_larger_priority_goes_first_and_batches_take_turns(bench: VentilatorBench) -> None:
    """A huge batch does not starve a small one."""
    big, small, urgent = b"1" * 16, b"2" * 16, b"3" * 16
    bench.submit(*[1] * 50, batch=big)
    bench.submit(*[1] * 2, batch=small)
    bench.submit(1, batch=urgent, spec=BatchSpec(priority=1))
    bench.worker("w", slots=3, window=5)
    parts = [part for batch in (big, small, urgent) for part in bench.parts(batch) if part.lease]
    order = [part.chunk.batch.id for part in sorted(parts, key=lambda part: part.lease)]
    assert order == [urgent, big, small, big, small]


def test_the_fullest_is_asked_for_half_while_a_slot_idles(bench: VentilatorBench) -> None:
    """And what comes back goes to the idle one by name."""
    full = bench.worker("full")
    (lease,) = leases(bench.submit(101))
    mine = held(lease, running=((0, 1),), unstarted=((1, 101),))
    bench.turn(full.beat(mine))
    idle = bench.worker("idle")
    sent = bench.told(full, idle.beat(), after=0.1)
    assert of(HandBack, sent) == [HandBack(1, 50)]
    sent2 = bench.turn(HandedBack(full.id, 1, (LeaseSpan(lease.number, 51, 101),)))
    assert given_to(sent2) == [idle.id]
    assert [(one.start, one.stop) for one in leases(sent2)] == [(51, 101)]


def test_many_who_have_enough_are_looked_at_now_and_then(bench: VentilatorBench) -> None:
    """Not in every turn: a batch that they owe something waits for the next look, which wakes the ventilator."""
    for number in range(MANY):
        bench.worker(f"w{number}", window=9)
    bench.turn(JobConnections(0))
    bench.submit(*[1] * (LOOK_AHEAD * MANY + 1))
    assert given_to(bench.submit(1, batch=b"2" * 16)) == []
    wakeup = bench.core.next_wakeup()
    assert wakeup is not None
    assert wakeup <= bench.now + look_interval(MANY)
    assert len(given_to(bench.turn(after=look_interval(MANY)))) == 1


def test_as_many_are_asked_at_once_as_idle(bench: VentilatorBench) -> None:
    """The fullest: of many workers one after the other would take minutes, half of each ends in O(log n) rounds."""
    full = [bench.worker(name) for name in ("one", "two", "three")]
    given = leases(bench.submit(101, 61, 81))
    beats = []
    for lease, peer in zip(given, full, strict=True):
        mine = held(lease, running=((lease.start, lease.start + 1),), unstarted=((lease.start + 1, lease.stop),))
        beats += [Took(peer.id, (lease.number,), 1), peer.beat(mine)]
    bench.turn(*beats)
    idle = [bench.worker(name) for name in ("four", "five")]
    sent = bench.turn(*[peer.beat() for peer in idle], after=0.1)
    assert [(to, message.jobs) for to, message in sent if isinstance(message, HandBack)] == [
        (full[0].id, 50),
        (full[2].id, 40),
    ]


def test_an_unanswered_request_is_repeated(bench: VentilatorBench) -> None:
    """Rule 13: after RESEND, under a new number; one is open at a time."""
    full = bench.worker("full")
    (lease,) = leases(bench.submit(101))
    mine = held(lease, running=((0, 1),), unstarted=((1, 101),))
    bench.turn(full.beat(mine))
    idle = bench.worker("idle")
    asked = of(HandBack, bench.told(full, idle.beat(), after=0.1))
    asked += of(HandBack, [m for _, m in bench.pass_time(RESEND * 0.9, (full, (mine,)), (idle, ()))])
    assert [request.number for request in asked] == [1]
    asked = of(HandBack, [m for _, m in bench.pass_time(RESEND * 0.2, (full, (mine,)), (idle, ()))])
    assert [request.number for request in asked] == [2]


def test_what_must_not_be_started_twice_is_marked_before_it_leaves(bench: VentilatorBench) -> None:
    """max_crashes=1: in the transaction of the turn that gives it out."""
    bench.worker("w")
    bench.submit(1, spec=BatchSpec(max_crashes=1))
    chunk = bench.store.open_chunk_at(b"batch".ljust(16), 0)
    assert chunk is not None
    assert [part.given for part in chunk.parts] == [True]


# ---------------------------------------------------------------------------------------------- a limit


def spans(sent: Sequence[tuple[bytes, Message]]) -> list[tuple[int, int]]:
    """What was given out."""
    return [(lease.start, lease.stop) for lease in leases(list(sent))]


def test_no_more_leases_are_out_than_the_limit(bench: VentilatorBench) -> None:
    """Everywhere: whoever has slots. When one has ended, the next goes out."""
    one, _two = bench.worker("one", slots=4, window=99), bench.worker("two", slots=4, window=99)
    given = leases(bench.submit(*[1] * 9, spec=BatchSpec(limit=3)))
    assert len(given) == 3
    assert spans(bench.pass_time(1.0)) == []
    assert spans(bench.turn(bench.record(0, 1, lease=given[0].number, worker=one.id))) == [(3, 4)]


def test_a_chunk_is_cut_for_as_many_as_may_run(bench: VentilatorBench) -> None:
    """A limit of three fills three open_leases out of one chunk; where there are fewer slots, no more than these."""
    bench.worker("w", slots=8, window=99)
    assert spans(bench.submit(10, spec=BatchSpec(limit=3))) == [(0, 4), (4, 7), (7, 10)]
    assert len(spans(bench.submit(100, spec=BatchSpec(limit=1000), batch=b"2" * 16))) <= 16


def test_what_waits_behind_one_job_at_a_time_fills_no_slots(bench: VentilatorBench) -> None:
    """A worker with one lease of a hundred jobs that run one by one has seven slots for others."""
    bench.worker("w", slots=8, window=99)
    assert spans(bench.submit(100, spec=BatchSpec(limit=1))) == [(0, 100)]
    assert len(spans(bench.submit(*[1] * 7, batch=b"2" * 16))) == 7


def test_a_batch_at_its_limit_holds_up_nobody_and_takes_its_turn(bench: VentilatorBench) -> None:
    """Of one priority: while it may have one lease only, others take turns as ever."""
    limited, other, third = b"1" * 16, b"2" * 16, b"3" * 16
    for batch, spec in ((limited, BatchSpec(limit=1)), (other, BatchSpec()), (third, BatchSpec(needs=("gpu",)))):
        bench.submit(*[1] * 5, batch=batch, spec=spec)
    bench.worker("w", slots=3, window=6, tags=("gpu",))
    parts = [part for batch in (limited, other, third) for part in bench.parts(batch) if part.lease]
    order = [part.chunk.batch.id for part in sorted(parts, key=lambda part: part.lease)]
    assert order == [limited, other, third, other, third, other]


def test_a_lane_that_is_free_takes_over_half_of_another(bench: VentilatorBench) -> None:
    """While all open_leases are taken nobody is asked; once one is free, half of the rest is."""
    peer = bench.worker("w", slots=4, window=99)
    one, two = leases(bench.submit(200, spec=BatchSpec(limit=2)))
    mine = [
        held(one, running=((0, 1),), unstarted=((1, 100),)),
        held(two, running=((100, 101),), unstarted=((101, 200),)),
    ]
    assert of(HandBack, [m for _, m in bench.pass_time(3.0, (peer, tuple(mine)))]) == []
    done = held(two, finished=((100, 200),))
    sent = bench.turn(peer.beat(mine[0], done), bench.record(100, 200, lease=two.number, worker=peer.id))
    (ask,) = of(HandBack, [m for _, m in sent])
    assert ask.jobs == 50
    assert spans(bench.turn(HandedBack(peer.id, ask.number, (LeaseSpan(one.number, 50, 100),)))) == [(50, 100)]


def test_after_a_restart_a_limit_waits_until_it_is_known_what_is_out(bench: VentilatorBench) -> None:
    """What one worker hands back is not given out again while another one may still come that runs some of it."""
    one, two = bench.worker("one", window=99), bench.worker("two", window=99)
    spec = BatchSpec(limit=2)
    first, second = leases(bench.submit(10, 10, spec=spec))
    bench.restart()
    back = LeaseSpan(first.number, 5, 10)
    bench.turn(JobConnections(2))
    bench.turn(one.hello(one.connect(), held(first, running=((0, 1),), unstarted=((1, 10),))))
    assert leases(bench.turn(HandedBack(one.id, 0, (back,)))) == []
    bench.turn(two.hello(two.connect(), held(second, running=((10, 11),), unstarted=((11, 20),))))
    bench.sink()
    holdings = (
        (one, (held(first, running=((0, 1),), unstarted=((1, 5),)),)),
        (two, (held(second, running=((10, 11),), unstarted=((11, 20),)),)),
    )
    assert leases(bench.pass_time(3.0, *holdings)) == []
    assert leases(bench.turn(bench.head())) == []
    line = bench.record(10, 20, lease=second.number, worker=two.id)
    assert spans(bench.turn(line)) == [(5, 10)]


# ---------------------------------------------------------------------------------------------- a place


def test_what_is_less_urgent_waits_behind_what_a_worker_may_run(bench: VentilatorBench) -> None:
    """Though it has nothing of that batch yet; where the urgent one may not run, it is given."""
    bench.worker("one", window=99)
    bench.submit(*[1] * 9)
    bench.submit(1, batch=b"2" * 16, spec=BatchSpec(priority=-1))
    assert bench.places(b"2" * 16) == [(0, 1, Place.QUEUED)]
    bench.submit(1, batch=b"3" * 16)
    assert bench.places(b"3" * 16) == [(0, 1, Place.LEASED)]
    bench.submit(9, batch=b"4" * 16, spec=BatchSpec(priority=9, needs=("gpu",)))
    bench.submit(1, batch=b"5" * 16)
    assert bench.places(b"5" * 16) == [(0, 1, Place.LEASED)]


def test_jobs_go_to_the_worker_or_host_they_name(bench: VentilatorBench) -> None:
    """By name, over control; never in a round, although both have room."""
    one, two = bench.worker("one", window=9), bench.worker("two", window=9)
    assert given_to(bench.submit(*[1] * 2, spec=BatchSpec(worker="two"))) == [two.id]
    assert set(given_to(bench.submit(*[1] * 2, spec=BatchSpec(worker="host"), batch=b"2" * 16))) <= {one.id, two.id}
    assert bench.places(b"2" * 16)[0][2] is Place.LEASED


def test_jobs_go_to_workers_with_all_of_their_tags(bench: VentilatorBench) -> None:
    """One that lacks a tag gets nothing; they wait until somebody comes who has all."""
    bench.worker("plain", window=9)
    bench.worker("half", window=9, tags=("gpu",))
    assert leases(bench.submit(2, spec=BatchSpec(needs=("big", "gpu")))) == []
    assert leases(bench.pass_time(1.0)) == []
    bench.worker("full", tags=("gpu", "ssd", "big"))
    (part,) = bench.parts()
    lease = bench.core.ledger.leases.records[part.lease]
    assert lease.worker is not None
    assert lease.worker.hello is not None
    assert lease.worker.hello.name == "full"


def test_a_batch_that_nobody_may_run_disturbs_no_round(bench: VentilatorBench) -> None:
    """Though its priority is higher: the others are dealt as if it were not there."""
    bench.submit(1, spec=BatchSpec(needs=("gpu",), priority=9))
    for name in ("one", "two", "three"):
        bench.worker(name)
    assert given_to(bench.submit(1, 1, 1, batch=b"2" * 16)) == [b"", b"", b""]


def test_only_what_the_idle_may_run_is_taken_back(bench: VentilatorBench) -> None:
    """A worker that has the tag, and jobs for it beside others, is asked for the others."""
    full = bench.worker("full", window=9, slots=2, tags=("gpu",))
    (gpu,) = leases(bench.submit(50, spec=GPU))
    (other,) = leases(bench.submit(50, batch=b"2" * 16))
    mine = (held(gpu, running=((0, 1),), unstarted=((1, 50),)), held(other, running=((0, 1),), unstarted=((1, 50),)))
    bench.turn(full.beat(*mine))
    idle = bench.worker("idle")
    (ask,) = of(HandBack, bench.told(full, idle.beat(), after=0.1))
    assert (ask.leases, ask.jobs) == ((other.number,), 25)
    back = HandedBack(full.id, ask.number, (LeaseSpan(other.number, 25, 50),))
    assert given_to(bench.turn(back)) == [idle.id]
    bench.turn(bench.record(0, 50, lease=other.number, batch=b"2" * 16, worker=full.id))
    assert of(HandBack, [m for _, m in bench.pass_time(1.0, (full, mine[:1]), (idle, ()))]) == []


def test_what_comes_back_from_a_worker_goes_only_where_it_may(bench: VentilatorBench) -> None:
    """It drains: its placed jobs wait for another that fits, whoever else has time."""
    peer = bench.worker("gpu", tags=("gpu",))
    bench.worker("plain")
    (lease,) = leases(bench.submit(3, spec=GPU))
    bench.turn(Took(peer.id, (lease.number,), 0))
    peer.window = 0
    sent = bench.turn(HandedBack(peer.id, 0, (LeaseSpan(lease.number, 0, 3),)))
    assert leases(sent) == []
    assert bench.places(BATCH) == [(0, 3, Place.QUEUED)]


def test_leases_become_short_towards_the_end(bench: VentilatorBench) -> None:
    """The rest of a batch is so many for each slot; where nothing is known of its jobs, or they are short, a chunk is
    one lease."""
    for batch, elapsed, size in ((b"1" * 16, 1e-6, 10_000), (b"2" * 16, 1.0, 10_000 // (2 * LEASES_TO_COME))):
        peer = bench.worker(f"w{elapsed}", slots=2, window=1)
        (first,) = leases(bench.submit(1, 10_000, batch=batch))
        done = bench.record(0, 1, lease=first.number, batch=batch, worker=peer.id, elapsed=elapsed)
        (lease,) = leases(bench.turn(done))
        assert lease.stop - lease.start == size
        peer.disconnect()


def test_who_hands_back_unasked_gets_nothing_until_a_job_has_ended(bench: VentilatorBench) -> None:
    """What waited behind jobs that last goes to others."""
    stuck = bench.worker("stuck", window=9)
    (lease,) = leases(bench.submit(10))
    other = bench.worker("other", window=9)
    (again,) = leases(bench.turn(HandedBack(stuck.id, 0, (LeaseSpan(lease.number, 1, 10),))))
    assert (again.start, again.stop) == (1, 10)
    assert given_to(bench.submit(5, batch=b"2" * 16)) == [other.id]
    bench.turn(bench.record(0, 1, lease=lease.number, worker=stuck.id))
    assert given_to(bench.submit(5, batch=b"3" * 16)) == [stuck.id]


@pytest.mark.parametrize(("elapsed", "messages"), [(1e-6, 1), (0.1, 2)])
def test_what_is_not_worth_a_message_travels_with_more(bench: VentilatorBench, elapsed: float, messages: int) -> None:
    """Where jobs are short, one of two workers gets all that is left; where they are long, both have some."""
    first = bench.worker("first", window=1)
    (lease,) = leases(bench.submit(1, 10, 10, 10))
    first.window = 0
    bench.turn(first.beat(), bench.record(0, 1, lease=lease.number, worker=first.id, elapsed=elapsed))
    peers = [bench.worker(name, window=0) for name in ("one", "two")]
    for peer in peers:
        peer.window = 9
    assert len(given_to(bench.turn(*[peer.beat() for peer in peers]))) == messages


def test_large_payloads_of_a_round_go_by_name(bench: VentilatorBench) -> None:
    """Their parts must all reach the same worker; each gets as much as of a round, and small ones are dealt."""
    one, two = bench.worker("one"), bench.worker("two")
    assert given_to(bench.submit(1, 1, batch=b"1" * 16, each=ROUND_BYTES)) == [b"", b""]
    bench.turn(*(bench.record(at, at + 1, batch=b"1" * 16) for at in (0, 1)))
    assert sorted(given_to(bench.submit(1, 1, batch=b"2" * 16, each=ROUND_BYTES + 1))) == sorted([one.id, two.id])
