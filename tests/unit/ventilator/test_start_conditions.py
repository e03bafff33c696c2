"""When a batch may begin, and when it may not any more."""

from __future__ import annotations

import pytest

from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.station.contract import FromClient
from penstock.ventilator.contract import WallClock
from penstock.ventilator.intake import HORIZON
from penstock.ventilator.jobs_model import Place
from penstock.ventilator.start_conditions import EXPIRED
from penstock.wire.bounds import RESEND
from penstock.wire.desk_messages import (
    AskBatches,
    BatchClose,
    BatchesInfo,
    Cancel,
    Cancelled,
    Delete,
    Forget,
    Refused,
    Submit,
)
from penstock.wire.messages import HandBack, HandedBack, Took, Verdicts
from penstock.wire.records import LeaseSpan, Message
from support.core_benches import BATCH, CLIENT, VentilatorBench, held, leases, of


def later(bench: VentilatorBench, seconds: float) -> BatchSpec:
    """Not before so many seconds from now."""
    return BatchSpec(not_before_time=bench.wall_time + seconds)


def expiring(bench: VentilatorBench, seconds: float, *, retries: int = 0) -> BatchSpec:
    """Expires so many seconds from now."""
    return BatchSpec(expires_time=bench.wall_time + seconds, retries=retries)


def verdicts(sent: list[tuple[bytes, Message]]) -> list[tuple[int, int, str]]:
    """What the ventilator decided itself: the jobs and the cause."""
    heads = [head for message in of(Verdicts, [one for _, one in sent]) for head in message.records]
    return [(head.start, head.stop, head.note.cause) for head in heads if head.note is not None]


def test_a_batch_is_delayed_until_its_time_and_wakes_the_loop_then(bench: VentilatorBench) -> None:
    """Nothing goes out before, and all at once when it has come; the loop need not look in between."""
    bench.worker("w", slots=4)
    assert leases(bench.submit(2, spec=later(bench, 0.5))) == []
    assert bench.places() == [(0, 2, Place.DELAYED)]
    assert bench.core.next_wakeup() == pytest.approx(bench.now + 0.5)
    assert leases(bench.turn(after=0.4)) == []
    assert [(lease.start, lease.stop) for lease in leases(bench.turn(after=0.2))] == [(0, 2)]


def test_the_wall_clock_decides_however_it_is_set(bench: VentilatorBench) -> None:
    """Set back, the time comes later; set forward, it has come; what has begun is not held again."""
    bench.submit(1, 1, spec=later(bench, 3600))
    bench.set_wall_clock(-7200)
    bench.turn(after=3700)
    assert bench.places() == [(0, 2, Place.DELAYED)]
    bench.set_wall_clock(+7200)
    assert bench.places() == [(0, 2, Place.QUEUED)]
    bench.set_wall_clock(-7200)
    bench.worker("w")
    assert [place for _, _, place in bench.places()] == [Place.LEASED, Place.LEASED]


def test_a_restart_forgets_no_instant(bench: VentilatorBench) -> None:
    """The time is in the file, as wall clock: a machine that was off for an hour is an hour later."""
    bench.submit(2, spec=later(bench, 3600))
    bench.restart()
    bench.recover()
    bench.worker("w")
    assert leases(bench.pass_time(1.0)) == []
    bench.wall_offset += 3600
    bench.restart()
    bench.recover()
    bench.worker("v")
    assert bench.places() == [(0, 2, Place.LEASED)]


def test_a_held_batch_stays_on_disk(bench: VentilatorBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten million jobs for tomorrow take no memory today."""
    monkeypatch.setattr("penstock.ventilator.intake.WINDOW_CHUNKS", 2)
    bench.submit(*[1] * 9, spec=later(bench, 5))
    bench.turn(after=1)
    assert len(bench.parts()) == 2
    bench.turn(after=5)
    assert bench.places() == [(0, 9, Place.QUEUED)]


def test_a_held_batch_can_be_cancelled(bench: VentilatorBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, also what of it is on disk only."""
    monkeypatch.setattr("penstock.ventilator.intake.WINDOW_CHUNKS", 2)
    bench.submit(*[1] * 9, spec=later(bench, 3600))
    assert bench.ask(Cancel(1, BATCH, 0, 1 << 40, False)) == [Cancelled(1, 9)]
    bench.turn()
    assert bench.places() == [(0, 9, Place.VERDICT)]


def test_what_has_not_started_expires(bench: VentilatorBench) -> None:
    """Queued jobs are cancelled with that cause; the sink has the last word, as for every outcome."""
    sent = bench.submit(2, 3, spec=expiring(bench, 5))
    assert verdicts(sent) == []
    assert verdicts(bench.turn(after=5.1)) == [(0, 2, EXPIRED), (2, 5, EXPIRED)]
    bench.turn(bench.record(0, 2, JobState.CANCELLED), bench.record(2, 5, JobState.CANCELLED))
    assert bench.counts() == {"cancelled": 5}


def test_a_job_that_arrives_too_late_expires_at_once(bench: VentilatorBench) -> None:
    """A Submit that was on its way while the time ran out."""
    bench.worker("w")
    sent = bench.submit(2, spec=expiring(bench, -1))
    assert leases(sent) == []
    assert verdicts(sent) + verdicts(bench.turn()) == [(0, 2, EXPIRED)]


def test_what_a_worker_has_not_started_is_asked_back_and_expires(bench: VentilatorBench) -> None:
    """Of a lease one job runs and stays; the rest comes back and is cancelled. Asked again until that is known."""
    peer = bench.worker("w")
    (lease,) = leases(bench.submit(4, spec=expiring(bench, 3)))
    bench.turn(Took(peer.id, (lease.number,), 2))
    inventory = held(lease, unstarted=((1, 4),), running=((0, 1),))
    sent = bench.pass_time(3.2, (peer, (inventory,)))
    (ask,) = of(HandBack, [message for _, message in sent])
    assert ask.leases == (lease.number,)
    again = bench.pass_time(RESEND + 0.5, (peer, (inventory,)))
    assert of(HandBack, [message for _, message in again]) == [ask]
    sent = bench.turn(HandedBack(peer.id, 0, (LeaseSpan(lease.number, 1, 4),)))
    assert verdicts(sent) + verdicts(bench.turn()) == [(1, 4, EXPIRED)]
    assert bench.places() == [(0, 1, Place.LEASED), (1, 4, Place.VERDICT)]
    rest = bench.pass_time(RESEND + 0.5, (peer, (held(lease, running=((0, 1),)),)))
    assert of(HandBack, [message for _, message in rest]) == []


def test_a_retry_of_what_had_started_does_not_expire(bench: VentilatorBench) -> None:
    """It started in time; what comes after is its own affair."""
    peer = bench.worker("w")
    (lease,) = leases(bench.submit(1, spec=expiring(bench, 3, retries=1)))
    bench.turn(Took(peer.id, (lease.number,), 2))
    bench.pass_time(4.0, (peer, (held(lease, running=((0, 1),)),)))
    bench.turn(bench.record(0, 1, JobState.FAILED, lease=lease.number, worker=peer.id, final=False))
    (again,) = leases(bench.pass_time(2.0, (peer, ())))
    assert again.stamp == Stamp(attempt=2)


# ---------------------------------------------------------------------------------------------- after another batch

FIRST, THEN = b"first".ljust(16), b"then".ljust(16)
AFTER = BatchSpec(after=FIRST)


def test_a_batch_begins_when_the_one_before_it_has_succeeded(bench: VentilatorBench) -> None:
    """All of its jobs; not earlier, and not later than that is known."""
    bench.worker("w", slots=4, window=9)
    bench.submit(2, batch=FIRST)
    assert leases(bench.submit(3, batch=THEN, spec=AFTER)) == []
    assert leases(bench.turn(bench.record(0, 1, batch=FIRST))) == []
    assert [(one.batch, one.stop) for one in leases(bench.turn(bench.record(1, 2, batch=FIRST)))] == [(THEN, 3)]


def test_a_batch_waits_for_one_that_still_takes_in_jobs(bench: VentilatorBench) -> None:
    """All that it has so far has succeeded, but more may come."""
    bench.worker("w", window=9)
    bench.submit(1, batch=FIRST, close=False)
    bench.submit(1, batch=THEN, spec=AFTER)
    bench.turn(bench.record(0, 1, batch=FIRST))
    assert bench.places(THEN) == [(0, 1, Place.DELAYED)]
    bench.turn(FromClient(CLIENT, Submit(9, (), (), (BatchClose(FIRST, 1),)), b"", 1.0))
    assert bench.places(THEN) == [(0, 1, Place.LEASED)]


def test_a_batch_is_dropped_with_the_reason_when_the_one_before_it_did_not_succeed(bench: VentilatorBench) -> None:
    """One failed job is enough; who comes after the dropped one is dropped as well."""
    bench.submit(3, batch=FIRST)
    bench.submit(2, batch=THEN, spec=AFTER)
    last = b"last".ljust(16)
    bench.submit(1, batch=last, spec=BatchSpec(after=THEN))
    bench.turn(bench.record(0, 2, batch=FIRST))
    sent = bench.turn(bench.record(2, 3, JobState.FAILED, batch=FIRST))
    cause = f"batch {FIRST.hex()} did not succeed: 1 failed of 3 jobs"
    assert verdicts(sent) + verdicts(bench.turn()) == [(0, 2, cause)]
    sent = bench.turn(bench.record(0, 2, JobState.CANCELLED, batch=THEN))
    cause = f"batch {THEN.hex()} did not succeed: 2 cancelled of 2 jobs"
    assert verdicts(sent) + verdicts(bench.turn()) == [(0, 1, cause)]


def test_a_batch_after_one_that_is_not_here_is_refused(bench: VentilatorBench) -> None:
    """And one after itself: every chain has a first batch, so there is no circle."""
    words = "jobs can only come after a batch that is here"
    sent = bench.submit(1, batch=THEN, spec=AFTER)
    assert sent == [(CLIENT, Refused(1, "NoSuchBatch", f"no batch {FIRST.hex()}: {words}"))]
    sent = bench.submit(1, batch=THEN, spec=BatchSpec(after=THEN))
    assert sent == [(CLIENT, Refused(2, "NoSuchBatch", f"no batch {THEN.hex()}: {words}"))]
    assert bench.store.batches() == []


def test_a_restart_forgets_no_order(bench: VentilatorBench) -> None:
    """Whether the first has ended is in the file, and once it has succeeded, that it did."""
    bench.submit(1, batch=FIRST)
    bench.submit(1, batch=THEN, spec=AFTER)
    bench.restart()
    bench.recover()
    assert bench.core.ledger.backlog.batches[THEN].held
    bench.turn(bench.record(0, 1, batch=FIRST), FromClient(CLIENT, Forget(FIRST)))
    assert FIRST not in bench.core.ledger.backlog.batches
    bench.restart()
    bench.recover()
    assert bench.places(THEN) == [(0, 1, Place.QUEUED)]


@pytest.mark.parametrize("not_before", [0.0, 3600.0])
def test_a_batch_that_waits_for_another_holds_nothing(bench: VentilatorBench, not_before: float) -> None:
    """Anybody's batch may come after mine. Mine is deleted when I ask for that, at once where it has ended; what waits
    for it to succeed is cancelled with the cause, and what waits only for its time goes on to wait, also after a
    restart."""
    bench.submit(1, batch=FIRST)
    bench.submit(1, batch=THEN, spec=BatchSpec(after=FIRST, not_before_time=bench.wall_time + not_before))
    if not_before:
        bench.turn(bench.record(0, 1, batch=FIRST))
    bench.turn(FromClient(CLIENT, Delete(7, FIRST)))
    sent = bench.turn() if not_before else bench.turn(bench.record(0, 1, JobState.CANCELLED, batch=FIRST))
    causes = verdicts(sent) + verdicts(bench.turn())
    assert FIRST not in bench.core.ledger.backlog.batches
    if not_before:
        bench.restart()
        bench.recover()
        assert bench.core.ledger.backlog.batches[THEN].held
        bench.turn(after=not_before)
        assert bench.places(THEN) == [(0, 1, Place.QUEUED)]
    else:
        text = f"batch {FIRST.hex()} was deleted before it had succeeded: 1 cancelled of 1 jobs"
        assert causes == [(0, 1, text)]


def test_a_client_cannot_say_that_another_batch_has_succeeded(bench: VentilatorBench) -> None:
    """Only the ventilator knows."""
    bench.submit(1, batch=FIRST)
    bench.submit(1, batch=THEN, spec=BatchSpec(after=FIRST, after_met=True))
    assert bench.places(THEN) == [(0, 1, Place.DELAYED)]


def test_nobody_waits_for_ever(bench: VentilatorBench) -> None:
    """An instant beyond any plan is refused, with what can be had."""
    sent = bench.submit(1, spec=later(bench, HORIZON + 10))
    assert sent == [(CLIENT, Refused(1, "Refused", "not_before is too far away: a batch may wait 10 years at most"))]
    assert bench.store.batches() == []


def test_who_asks_is_told_what_a_held_batch_waits_for(bench: VentilatorBench) -> None:
    """Its time, the batch before it and how far that is, or that it takes in jobs."""

    def waits(batch: bytes) -> str:
        (info,) = of(BatchesInfo, bench.ask(AskBatches(1, batch.hex(), 1)))
        return info.batches[0].waits

    bench.wall_offset = -bench.now
    bench.turn(WallClock(0.0))
    bench.submit(1, spec=BatchSpec(not_before_time=3600.0))
    assert waits(BATCH) == "it may not begin before 1970-01-01 01:00:00 UTC"
    bench.submit(2, batch=FIRST, close=False)
    bench.submit(1, batch=THEN, spec=AFTER)
    assert waits(THEN) == f"it comes after batch {FIRST.hex()}, which still takes in jobs"
    bench.turn(
        bench.record(0, 1, batch=FIRST), FromClient(CLIENT, Submit(9, (), (), (BatchClose(FIRST, 2),)), b"", 1.0)
    )
    assert waits(THEN) == f"it comes after batch {FIRST.hex()}: 1 of 2 jobs have ended"
    assert waits(FIRST) == ""
