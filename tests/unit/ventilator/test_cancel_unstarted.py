"""Cancelling what has not started: who is asked, what is answered, and what never starts again."""

from __future__ import annotations

from penstock.job.spec import BatchSpec, JobState
from penstock.station.contract import FromClient
from penstock.ventilator.jobs_model import Place
from penstock.wire.bounds import RECALL_PATIENCE, RESEND
from penstock.wire.desk_messages import BatchClose, BatchOpen, Cancel, Cancelled, ChunkHead, Submit
from penstock.wire.messages import HandedBack, Left, Recall, Took
from penstock.wire.records import Lease, LeaseSpan, Message
from support.core_benches import BATCH, CLIENT, FUNCTION, Peer, VentilatorBench, held, leases, of

ALL = 1 << 40


def ask(bench: VentilatorBench, number: int = 9, start: int = 0, stop: int = ALL) -> list[tuple[bytes, Message]]:
    """A client wants what has not started cancelled: all that is sent."""
    return list(bench.turn(FromClient(CLIENT, Cancel(number, BATCH, start, stop, True))))


def give(bench: VentilatorBench, *sizes: int, spec: BatchSpec | None = None) -> tuple[Peer, Lease]:
    """A batch, the first chunk of which is at a worker that has said so."""
    peer = bench.worker("w", window=1)
    (lease,) = leases(bench.submit(*sizes, spec=spec))
    bench.turn(Took(peer.id, (lease.number,), 1))
    return peer, lease


def answers(sent: list[tuple[bytes, Message]]) -> list[Message]:
    """What the client was told."""
    return [message for receiver, message in sent if receiver == CLIENT]


def recalled(sent: list[tuple[bytes, Message]], peer: Peer) -> Recall:
    """What the worker was asked for."""
    (recall,) = of(Recall, [message for receiver, message in sent if receiver == peer.id])
    return recall


def test_what_nobody_has_is_cancelled_at_once(bench: VentilatorBench) -> None:
    """And answered in the same turn."""
    bench.submit(4)
    assert (CLIENT, Cancelled(9, 4)) in ask(bench)
    assert bench.places() == [(0, 4, Place.VERDICT)]


def test_what_waits_at_a_worker_is_cancelled_when_it_comes_back(bench: VentilatorBench) -> None:
    """The answer counts what came back; the rest runs on."""
    peer, lease = give(bench, 3, 2)
    sent = ask(bench)
    assert answers(sent) == []
    recall = recalled(sent, peer)
    assert recall.spans == (LeaseSpan(lease.number, 0, 3),)
    back = HandedBack(peer.id, recall.number, (LeaseSpan(lease.number, 1, 3),))
    assert bench.told(CLIENT, back) == [Cancelled(9, 4)]
    assert bench.places() == [(0, 1, Place.LEASED), (1, 5, Place.VERDICT)]


def test_the_request_said_again_changes_nothing(bench: VentilatorBench) -> None:
    """A client asks again while it has no answer; it gets one."""
    peer, lease = give(bench, 1)
    recall = recalled(ask(bench), peer)
    assert ask(bench) == []
    assert bench.told(CLIENT, HandedBack(peer.id, recall.number, (LeaseSpan(lease.number, 0, 1),))) == [Cancelled(9, 1)]
    assert answers(ask(bench)) == [Cancelled(9, 1)]


def test_a_dealt_lease_is_asked_for_once_somebody_has_it(bench: VentilatorBench) -> None:
    """Whoever has not got it yet would answer for nothing, and start it then."""
    one, two = bench.worker("one"), bench.worker("two")
    dealt = leases(bench.submit(1, 1))
    assert len(dealt) == 2
    assert ask(bench) == []
    sent = bench.turn(Took(two.id, (dealt[0].number,), 1))
    assert recalled(list(sent), two).spans == (LeaseSpan(dealt[0].number, 0, 1),)
    sent = bench.turn(Took(one.id, (dealt[1].number,), 1))
    assert recalled(list(sent), one).spans == (LeaseSpan(dealt[1].number, 1, 2),)


def test_a_worker_that_does_not_answer_is_asked_again(bench: VentilatorBench) -> None:
    """And the client is told what is known after a while."""
    peer, lease = give(bench, 2)
    first = recalled(ask(bench), peer)
    seen = held(lease, unstarted=((0, 2),))
    sent = list(bench.pass_time(max(RESEND, RECALL_PATIENCE) + 1.0, (peer, (seen,))))
    assert answers(sent) == [Cancelled(9, 0)]
    again = recalled(sent, peer)
    assert again.number > first.number
    bench.turn(HandedBack(peer.id, again.number, (LeaseSpan(lease.number, 0, 2),)))
    assert bench.places() == [(0, 2, Place.VERDICT)]


def test_an_answer_that_is_lost_is_found_in_the_inventory(bench: VentilatorBench) -> None:
    """What a worker no longer holds comes back to be cancelled, not to be given out."""
    peer, lease = give(bench, 2)
    ask(bench)
    assert bench.told(CLIENT, peer.beat(held(lease, running=((0, 1),)))) == []
    assert bench.places() == [(0, 1, Place.LEASED), (1, 2, Place.VERDICT)]
    recall = of(Recall, bench.told(peer, after=RESEND))[0]
    assert recall.spans == (LeaseSpan(lease.number, 0, 1),)
    bench.turn(HandedBack(peer.id, recall.number, ()))


def test_what_runs_is_let_finish_and_never_started_again(bench: VentilatorBench) -> None:
    """Neither after a failure with retries left, nor after a restart and the loss of its worker."""
    peer, lease = give(bench, 2, spec=BatchSpec(retries=5))
    recall = recalled(ask(bench), peer)
    assert bench.told(CLIENT, HandedBack(peer.id, recall.number, ())) == [Cancelled(9, 0)]
    bench.turn(bench.record(0, 1, JobState.FAILED, lease=lease.number, worker=peer.id, final=False))
    assert bench.places() == [(0, 1, Place.VERDICT), (1, 2, Place.LEASED)]
    bench.restart()
    bench.recover()
    bench.turn(bench.head())
    assert bench.places() == [(0, 2, Place.VERDICT)]


def test_after_a_restart_it_waits_until_the_workers_have_spoken(bench: VentilatorBench) -> None:
    """What runs at one of them is not cancelled for want of a report."""
    peer, lease = give(bench, 2)
    bench.restart()
    assert ask(bench) == []
    bench.sink()
    bench.turn(peer.hello(peer.connect(), held(lease, running=((0, 1),), unstarted=((1, 2),))))
    sent = list(bench.pass_time(2.5, (peer, (held(lease, running=((0, 1),), unstarted=((1, 2),)),))))
    sent += list(bench.turn(bench.head()))
    recall = recalled(sent, peer)
    assert bench.told(CLIENT, HandedBack(peer.id, recall.number, (LeaseSpan(lease.number, 1, 2),))) == [Cancelled(9, 1)]


def test_a_retry_that_waits_is_cancelled_and_not_counted(bench: VentilatorBench) -> None:
    """It was started before: nothing more is, and True would be a lie."""
    peer, lease = give(bench, 1, spec=BatchSpec(retries=5, retry_delay=100.0))
    bench.turn(bench.record(0, 1, JobState.FAILED, lease=lease.number, worker=peer.id, final=False))
    assert bench.places() == [(0, 1, Place.DELAYED)]
    assert answers(ask(bench)) == [Cancelled(9, 0)]
    assert bench.places() == [(0, 1, Place.VERDICT)]
    assert answers(ask(bench, number=10)) == [Cancelled(10, 0)]


def test_what_a_lost_worker_may_have_started_is_not_counted(bench: VentilatorBench) -> None:
    """It may be cut off only, and run the job to its end: only what it never had is sure."""
    peer, lease = give(bench, 2, 3)
    bench.turn(peer.beat(held(lease, unstarted=((0, 2),))))
    bench.pass_time(10.0)
    bench.turn(bench.head())
    assert {place for _, _, place in bench.places()} == {Place.QUEUED}
    assert answers(ask(bench)) == [Cancelled(9, 3)]
    assert bench.places() == [(0, 5, Place.VERDICT)]


def test_what_a_former_life_may_have_given_out_is_not_counted(bench: VentilatorBench) -> None:
    """Nobody says that he has it; he may be cut off, and run it to its end. What came since is sure."""
    bench.worker("w", window=1)
    bench.submit(2, 3, close=False)
    bench.restart()
    bench.recover()
    bench.turn(bench.head())
    submit = Submit(99, (), (ChunkHead(BATCH, 5, 4, 4),), (BatchClose(BATCH, 9),))
    bench.turn(FromClient(CLIENT, submit, b"args", 1.0))
    assert answers(ask(bench)) == [Cancelled(9, 4)]
    assert bench.places() == [(0, 9, Place.VERDICT)]


def test_what_was_lost_before_a_restart_is_not_counted_after_it(bench: VentilatorBench) -> None:
    """Its new worker has not started it, but the one that is cut off may have."""
    lost = bench.worker("lost", window=2)
    first, second = leases(bench.submit(1, 1))
    bench.turn(lost.beat(held(first, running=((0, 1),)), held(second, unstarted=((1, 2),))))
    peer = bench.worker("other", window=1)
    bench.pass_time(10.0, (peer, ()))
    assert bench.core.ledger.workers[lost.id].hello is None
    bench.turn(bench.record(0, 1, lease=first.number, worker=lost.id))
    (lease,) = leases(bench.turn(bench.head(), peer.beat()))
    assert (lease.start, lease.stop) == (1, 2)
    assert lease.number > second.number
    seen = held(lease, unstarted=((1, 2),))
    bench.turn(peer.beat(seen))
    bench.restart()
    ask(bench, start=1)
    bench.sink()
    bench.turn(peer.hello(peer.connect(), seen))
    sent = list(bench.pass_time(2.5, (peer, (seen,))))
    sent += list(bench.turn(bench.head()))
    back = HandedBack(peer.id, recalled(sent, peer).number, (LeaseSpan(lease.number, 1, 2),))
    assert bench.told(CLIENT, back) == [Cancelled(9, 0)]


def test_what_a_worker_that_has_left_had_is_counted(bench: VentilatorBench) -> None:
    """It says good-bye only when it has started nothing that it holds."""
    peer, _ = give(bench, 2)
    bench.turn(Left(peer.id))
    bench.turn(bench.head())
    assert answers(ask(bench)) == [Cancelled(9, 2)]


def test_what_a_dealt_lease_may_bring_to_a_worker_yet_is_not_counted(bench: VentilatorBench) -> None:
    """All were heard and nobody reported it; it may arrive later than they are heard."""
    peer = bench.worker("w", window=1)
    assert len(leases(bench.submit(1))) == 1
    sent = list(bench.pass_time(5.0, (peer, ())))
    assert len(leases(sent)) == 1
    assert answers(ask(bench)) == []
    (again,) = leases(sent)
    recall = recalled(list(bench.turn(Took(peer.id, (again.number,), 1))), peer)
    back = HandedBack(peer.id, recall.number, (LeaseSpan(again.number, 0, 1),))
    assert bench.told(CLIENT, back) == [Cancelled(9, 0)]


def test_jobs_cancelled_before_they_came_are_never_given_out(bench: VentilatorBench) -> None:
    """Their client has taken them back while it was about to send them; they have their outcome all the same."""
    bench.worker("w", window=4)
    opens = (BatchOpen(BATCH, BatchSpec(), FUNCTION, 1),)
    chunks = (ChunkHead(BATCH, 0, 4, 4, cancelled=((1, 3), (3, 99))), ChunkHead(BATCH, 4, 1, 4))
    submit = Submit(1, opens, chunks, (BatchClose(BATCH, 5),))
    sent = list(bench.turn(FromClient(CLIENT, submit, b"fargsargs", 1.0)))
    assert {(lease.start, lease.stop) for lease in leases(sent)} <= {(0, 1), (4, 5)}
    assert [(start, stop) for start, stop, place in bench.places() if place is Place.VERDICT] == [(1, 4)]
    assert list(bench.core.ledger.backlog.batches[BATCH].cancelled) == [(1, 4)]
