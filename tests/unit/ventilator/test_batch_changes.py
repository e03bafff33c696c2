"""What users change of a batch that is here: it is paused, and goes on; its priority and its limit."""

from __future__ import annotations

import pytest

from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.keys.roles import EVERYONE, Peer, Role
from penstock.station.contract import FromClient
from penstock.ventilator.contract import SaveEvent, SavePause, SaveSpec
from penstock.ventilator.hand_back_requests import UNAWAITED
from penstock.ventilator.jobs_model import Place
from penstock.ventilator.start_conditions import EXPIRED
from penstock.wire.bounds import RESEND
from penstock.wire.desk_messages import (
    Accepted,
    AskBatches,
    AskPipeline,
    AskWhy,
    BatchesInfo,
    Cancel,
    Cancelled,
    Delete,
    Done,
    Notice,
    Pause,
    PipelineInfo,
    Refused,
    SetBatch,
    Why,
)
from penstock.wire.messages import HandBack, HandedBack, Took
from penstock.wire.records import Lease, LeaseSpan, Message
from support.core_benches import BATCH, CLIENT, VentilatorBench, held, leases, of
from support.core_benches import Peer as Worker

ANN = Peer("ann", Role.SUBMIT, "her key")
OTHER = b"other".ljust(16)
SINCE = "1970-01-12 13:48:20 UTC"
"""When a bench begins, by its wall clock."""


def say(bench: VentilatorBench, message: Message, sender: Peer = EVERYONE) -> list[tuple[bytes, Message]]:
    """A client says this: all that is sent."""
    return bench.turn(FromClient(CLIENT, message, b"", 1.0, sender))


def give(bench: VentilatorBench, jobs: int, spec: BatchSpec | None = None) -> tuple[Worker, Lease]:
    """A batch of so many jobs at a worker that has said so."""
    peer = bench.worker("w")
    (lease,) = leases(bench.submit(jobs, spec=spec))
    bench.turn(Took(peer.id, (lease.number,), 2))
    return peer, lease


def why(bench: VentilatorBench) -> str:
    """What the first job of the batch waits for."""
    (answer,) = of(Why, bench.ask(AskWhy(90, BATCH, 0)))
    return answer.reason


def test_nothing_of_a_paused_batch_is_given_out_until_it_is_resumed(bench: VentilatorBench) -> None:
    """Neither what was queued nor what comes later; other batches go on. It is answered once it is saved, and twice
    said it is saved once."""
    bench.submit(2, close=False)
    assert bench.ask(Pause(7, BATCH)) == [Done(7)]
    assert bench.ask(Pause(7, BATCH)) == [Done(7)]
    assert [save.spec.paused_time for save in of(SaveSpec, bench.saved)] == [bench.wall_time]
    bench.submit(2, 3)
    bench.submit(1, batch=OTHER)
    bench.worker("w", slots=8, window=8)
    assert [lease.batch for lease in leases(bench.pass_time(1.0))] == []
    assert bench.places() == [(0, 5, Place.DELAYED)]
    assert bench.places(OTHER) == [(0, 1, Place.LEASED)]
    sent = say(bench, Pause(8, BATCH, resumes=True))
    assert (CLIENT, Done(8)) in sent
    assert [(lease.start, lease.stop) for lease in leases(sent)] == [(0, 2), (2, 5)]


def test_what_a_worker_has_not_started_is_asked_back(bench: VentilatorBench) -> None:
    """In the turn of the pause, again until it is back or has started; what runs goes on, and its end is recorded."""
    peer, lease = give(bench, 4)
    running = held(lease, unstarted=((1, 4),), running=((0, 1),))
    bench.turn(peer.beat(running))
    sent = say(bench, Pause(1, BATCH))
    (ask,) = of(HandBack, [message for receiver, message in sent if receiver == peer.id])
    assert ask.leases == (lease.number,)
    again = bench.pass_time(RESEND + 0.5, (peer, (running,)))
    assert of(HandBack, [message for _, message in again]) == [ask]
    bench.turn(HandedBack(peer.id, UNAWAITED, (LeaseSpan(lease.number, 1, 4),)))
    assert bench.places() == [(0, 1, Place.LEASED), (1, 4, Place.DELAYED)]
    rest = bench.pass_time(RESEND + 0.5, (peer, (held(lease, running=((0, 1),)),)))
    assert of(HandBack, [message for _, message in rest]) == []
    bench.turn(bench.record(0, 1, lease=lease.number, worker=peer.id))
    assert bench.counts() == {"succeeded": 1}


def test_a_resumed_batch_is_asked_for_no_more(bench: VentilatorBench) -> None:
    """What its worker kept, because it never heard of the pause, it may start."""
    peer, lease = give(bench, 4)
    say(bench, Pause(1, BATCH))
    say(bench, Pause(2, BATCH, resumes=True))
    sent = bench.pass_time(2 * RESEND, (peer, (held(lease, unstarted=((0, 4),)),)))
    assert of(HandBack, [message for _, message in sent]) == []


def test_a_retry_of_a_paused_batch_waits(bench: VentilatorBench) -> None:
    """Its delay is over, and it is delayed all the same; it starts when the batch goes on. One that a worker has not
    started is asked back."""
    peer, lease = give(bench, 1, BatchSpec(retries=3, retry_delay=1.0))
    failed = bench.record(0, 1, JobState.FAILED, lease=lease.number, worker=peer.id, final=False)
    bench.turn(failed)
    say(bench, Pause(1, BATCH))
    assert leases(bench.pass_time(3.0, (peer, ()))) == []
    (again,) = leases(say(bench, Pause(2, BATCH, resumes=True)))
    assert again.stamp == Stamp(attempt=2)
    bench.turn(peer.beat(held(again, unstarted=((0, 1),))))
    assert of(HandBack, [message for _, message in say(bench, Pause(3, BATCH))]) != []


def test_the_whole_pipeline_is_paused(bench: VentilatorBench) -> None:
    """Also batches that come later; one that is paused itself stays so when the pipeline goes on."""
    peer, lease = give(bench, 2)
    sent = say(bench, Pause(1, b""))
    assert of(HandBack, [message for _, message in sent]) != []
    assert of(SavePause, bench.saved) == [SavePause(bench.wall_time, "")]
    bench.turn(HandedBack(peer.id, UNAWAITED, (LeaseSpan(lease.number, 0, 2),)))
    bench.submit(1, batch=OTHER)
    say(bench, Pause(2, OTHER))
    assert leases(bench.pass_time(1.0, (peer, ()))) == []
    assert [lease.batch for lease in leases(say(bench, Pause(3, b"", resumes=True)))] == [BATCH]
    assert leases(bench.pass_time(1.0, (peer, ()))) == []
    assert [lease.batch for lease in leases(say(bench, Pause(4, OTHER, resumes=True)))] == [OTHER]


def test_pauses_outlast_a_restart(bench: VentilatorBench) -> None:
    """What a worker holds then and has not started is asked back; the file said so before the answer did."""
    peer, lease = give(bench, 2)
    bench.submit(1, batch=OTHER)
    say(bench, Pause(1, OTHER))
    say(bench, Pause(2, b""))
    bench.restart()
    inventory = held(lease, unstarted=((1, 2),), running=((0, 1),))
    bench.turn(peer.hello(peer.connect(), inventory))
    bench.sink()
    sent = bench.pass_time(5.0, (peer, (inventory,))) + bench.turn(bench.head())
    assert of(HandBack, [message for _, message in sent]) != []
    bench.turn(HandedBack(peer.id, UNAWAITED, (LeaseSpan(lease.number, 1, 2),), tokens=(lease.token,)))
    assert bench.places() == [(0, 1, Place.LEASED), (1, 2, Place.DELAYED)]
    assert leases(sent) == []
    sent = say(bench, Pause(3, b"", resumes=True))
    assert [lease.batch for lease in leases(sent)] == [BATCH]


def test_who_has_paused_it_and_when_is_told(bench: VentilatorBench) -> None:
    """To whoever asks why a job waits, for the batch, or for the pipeline; not what a client says of itself."""
    bench.worker("w")
    spec = BatchSpec(paused_time=5.0, paused_by="nobody", not_before_time=bench.wall_time + 100)
    bench.submit(1, spec=spec, sender=ANN)
    assert "not begin before" in why(bench)
    say(bench, Pause(1, BATCH), ANN)
    said = f"the batch is paused by ann since {SINCE} (`penstock resume {BATCH.hex()}`)"
    assert why(bench) == said
    (info,) = of(BatchesInfo, bench.ask(AskBatches(2, "", 1)))
    assert (info.batches[0].waits, info.batches[0].spec.paused_by) == (said, "ann")
    say(bench, Pause(3, b""), Peer("root", Role.ADMIN, "its key"))
    assert why(bench) == f"the pipeline is paused by root since {SINCE} (`penstock resume`)"
    (told,) = of(PipelineInfo, bench.ask(AskPipeline(4)))
    assert told.paused == why(bench)
    say(bench, Pause(5, b"", resumes=True))
    say(bench, Pause(6, BATCH, resumes=True), ANN)
    assert "not begin before" in why(bench)
    assert of(PipelineInfo, bench.ask(AskPipeline(7)))[0].paused == ""


def test_who_submits_to_a_paused_pipeline_is_told_once(bench: VentilatorBench) -> None:
    """In one line for people, behind the answer; a program that waits would wonder."""
    say(bench, Pause(1, b""))
    told = [message for receiver, message in bench.submit(1) if receiver == CLIENT]
    assert [type(message) for message in told] == [Accepted, Notice]
    assert of(Notice, told)[0].text.startswith("the pipeline is paused since")
    assert of(Notice, [message for _, message in bench.submit(1, batch=OTHER)]) == []


def test_a_paused_batch_can_be_cancelled_deleted_and_expires(bench: VentilatorBench) -> None:
    """As any other."""
    bench.submit(2)
    say(bench, Pause(1, BATCH))
    assert bench.ask(Cancel(2, BATCH, 0, 1 << 40, False)) == [Cancelled(2, 2)]
    bench.submit(1, batch=OTHER, spec=BatchSpec(expires_time=bench.wall_time + 5))
    say(bench, Pause(3, OTHER))
    bench.turn(after=6.0)
    assert [part.verdict for part in bench.parts(OTHER)] == [(JobState.CANCELLED, EXPIRED)]
    bench.turn(bench.record(0, 1, JobState.CANCELLED, batch=OTHER))
    assert bench.ask(Delete(4, OTHER)) == [Done(4)]


def test_a_batch_that_comes_after_a_paused_one_waits_for_it(bench: VentilatorBench) -> None:
    """And begins when that has succeeded."""
    bench.worker("w")
    bench.submit(1)
    bench.submit(1, batch=OTHER, spec=BatchSpec(after=BATCH))
    say(bench, Pause(1, OTHER))
    (lease,) = [part.lease for part in bench.parts()]
    bench.turn(bench.record(0, 1, lease=lease))
    assert leases(bench.pass_time(1.0)) == []
    assert [lease.batch for lease in leases(say(bench, Pause(2, OTHER, resumes=True)))] == [OTHER]


def test_what_was_on_disk_stays_there(bench: VentilatorBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A paused batch takes no more memory than it had, and what of it is on disk is given out when it goes on."""
    monkeypatch.setattr("penstock.ventilator.intake.WINDOW_CHUNKS", 2)
    bench.submit(*[1] * 9)
    say(bench, Pause(1, BATCH))
    bench.restart()
    bench.recover()
    assert bench.parts() == []
    say(bench, Pause(2, BATCH, resumes=True))
    bench.turn()
    assert bench.places() == [(0, 9, Place.QUEUED)]


def test_a_batch_that_is_not_here_cannot_be_paused(bench: VentilatorBench) -> None:
    """And whose batch it is decides who may; the pipeline is an admin's business."""
    assert bench.ask(Pause(1, BATCH)) == [Refused(1, "NoSuchBatch", f"no batch {BATCH.hex()}")]
    bench.submit(1, sender=ANN)
    bob = Peer("bob", Role.SUBMIT, "his key")
    for sender, batch in ((bob, BATCH), (ANN, b"")):
        (refused,) = bench.told(CLIENT, FromClient(CLIENT, Pause(2, batch), b"", 1.0, sender))
        assert isinstance(refused, Refused)
    assert bench.places() == [(0, 1, Place.QUEUED)]


# ------------------------------------------------------------------------------------------ priority and limit


def order_of(sent: list[tuple[bytes, Message]]) -> list[bytes]:
    """The batches of what was given out, in order."""
    return [lease.batch for lease in leases(sent)]


def test_a_batch_of_another_priority_is_given_out_by_that(bench: VentilatorBench) -> None:
    """From the next job on, and after a restart: it is saved before it is answered."""
    bench.submit(1, 1)
    bench.submit(1, 1, batch=OTHER)
    assert bench.ask(SetBatch(1, OTHER, priority=5)) == [Done(1)]
    bench.restart()
    bench.recover()
    peer = bench.worker("w", window=1)
    found = [lease for part in bench.parts(OTHER) if (lease := part.lease)]
    assert len(found) == 1
    bench.turn(Took(peer.id, (found[0],), 1))
    sent = bench.turn(bench.record(0, 1, lease=found[0], worker=peer.id, batch=OTHER))
    assert order_of(sent + bench.pass_time(0.5, (peer, ()))) == [OTHER]


def test_what_waits_at_a_worker_is_given_out_anew(bench: VentilatorBench) -> None:
    """It was given to it by the old priority. It is asked for until it is back or has started, and what was given out
    since is not."""
    peer, lease = give(bench, 4)
    running = held(lease, unstarted=((1, 4),), running=((0, 1),))
    bench.turn(peer.beat(running))
    sent = say(bench, SetBatch(1, BATCH, priority=-3))
    assert [ask.leases for ask in of(HandBack, [message for _, message in sent])] == [(lease.number,)]
    again = bench.pass_time(RESEND + 0.5, (peer, (running,)))
    assert len(of(HandBack, [message for _, message in again])) == 1
    (new,) = leases(bench.turn(HandedBack(peer.id, UNAWAITED, (LeaseSpan(lease.number, 1, 4),))))
    inventory = (held(lease, running=((0, 1),)), held(new, unstarted=((1, 4),)))
    rest = bench.pass_time(2 * RESEND, (peer, inventory))
    assert of(HandBack, [message for _, message in rest]) == []


def test_a_limit_holds_from_now_on_and_what_runs_goes_on(bench: VentilatorBench) -> None:
    """A lease that was given out without a limit counts as many as can run of it, until they have ended."""
    peer = bench.worker("w", slots=4, window=9)
    one, two = leases(bench.submit(4, 4))
    bench.turn(peer.beat(held(one, unstarted=((3, 4),), running=((0, 3),)), held(two, unstarted=((4, 8),))))
    say(bench, SetBatch(1, BATCH, limit=2))
    back = HandedBack(peer.id, UNAWAITED, (LeaseSpan(one.number, 3, 4), LeaseSpan(two.number, 4, 8)))
    assert leases(bench.turn(back)) == []
    ended = [bench.record(at, at + 1, lease=one.number, worker=peer.id) for at in range(3)]
    assert leases(bench.turn(ended[0])) == []
    assert [lease.stop - lease.start for lease in leases(bench.turn(ended[1]))] == [1]
    assert len(leases(bench.turn(ended[2]))) == 1
    assert sum(part.place is Place.LEASED for part in bench.parts()) == 2


def test_a_larger_limit_lets_more_run_and_is_its_own(bench: VentilatorBench) -> None:
    """Those who shared the old one go on by that."""
    view = BatchSpec(limit=1, limit_group=b"view".ljust(16))
    bench.worker("w", slots=4, window=9)
    bench.submit(1, 1, 1, spec=view)
    assert order_of(bench.submit(1, 1, batch=OTHER, spec=view)) == []
    sent = say(bench, SetBatch(1, BATCH, limit=2))
    assert sorted(order_of(sent)) == [BATCH, OTHER]
    assert order_of(say(bench, SetBatch(2, OTHER, limit=1))) == []
    assert order_of(say(bench, SetBatch(3, OTHER, limit=2))) == [OTHER]


def test_what_is_not_here_cannot_be_set(bench: VentilatorBench) -> None:
    """And nothing is saved where nothing changes."""
    assert bench.ask(SetBatch(1, BATCH, limit=3)) == [Refused(1, "NoSuchBatch", f"no batch {BATCH.hex()}")]
    bench.submit(1)
    assert bench.ask(SetBatch(2, BATCH, priority=0)) == [Done(2)]
    assert of(SaveSpec, bench.saved) == []


def test_who_has_paused_what_is_an_event(bench: VentilatorBench) -> None:
    """With the name of the key; of a pause of the whole pipeline, that it is of all batches."""
    admin = Peer("ann", Role.ADMIN, "her key")
    bench.submit(1)
    bench.saved.clear()
    say(bench, Pause(7, BATCH), admin)
    say(bench, Pause(8, b""), admin)
    events = [save for save in bench.saved if isinstance(save, SaveEvent)]
    assert [(save.event, save.batch, save.fields) for save in events] == [
        ("pause_asked", BATCH, {"key": "ann"}),
        ("pause_asked", b"", {"batch": "all", "key": "ann"}),
    ]
