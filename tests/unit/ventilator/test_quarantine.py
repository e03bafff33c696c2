"""Suspects are run alone before they are dead."""

from __future__ import annotations

from penstock.job.spec import BatchSpec, JobState
from penstock.ventilator.jobs_model import Place
from penstock.wire.bounds import RECONNECT_GRACE, UNREPORTED_TIME
from penstock.wire.messages import HandBack, HandedBack, Jobs, Verdicts
from penstock.wire.records import Held, LeaseSpan, Message
from support.core_benches import SINK, Peer, VentilatorBench, held, leases, of

SPEC = BatchSpec(max_crashes=2)
OTHER = b"other".ljust(16)


def lose(bench: VentilatorBench, peer: Peer) -> list[tuple[bytes, Message]]:
    """A worker dies, and what the sink has is known; what is sent then."""
    peer.disconnect()
    bench.turn(after=RECONNECT_GRACE * 1.1)
    return bench.turn(bench.head())


def given(sent: list[tuple[bytes, Message]], peer: Peer) -> list[tuple[int, int]]:
    """The spans that a worker was given by name."""
    jobs = of(Jobs, [message for receiver, message in sent if receiver == peer.id])
    return [(lease.start, lease.stop) for message in jobs for lease in message.leases]


def suspects(bench: VentilatorBench) -> None:
    """Two jobs that ran on a lost worker."""
    peer = bench.worker("w", slots=2, window=9)
    (lease,) = leases(bench.submit(2, spec=SPEC))
    bench.turn(peer.beat(held(lease, running=((0, 2),))))
    lose(bench, peer)
    assert [part.place for part in bench.parts()] == [Place.ALONE] * len(bench.parts())


def test_a_suspect_has_its_worker_for_itself(bench: VentilatorBench) -> None:
    """One after the other, on one worker; the others go on as ever."""
    suspects(bench)
    one, two = bench.worker("one", slots=2, window=9), bench.worker("two", slots=2, window=9)
    assert bench.places() == [(0, 1, Place.LEASED), (1, 2, Place.ALONE)]
    sent = bench.submit(2, batch=OTHER)
    assert (given(sent, one), given(sent, two)) == ([], [(0, 2)])
    sent = bench.turn(bench.record(0, 1, lease=bench.parts()[0].lease, worker=one.id))
    assert (given(sent, one), given(sent, two)) == ([(1, 2)], [])
    bench.turn(bench.record(1, 2, lease=bench.parts()[0].lease, worker=one.id))
    assert not bench.core.ledger.workers[one.id].kept


def test_who_takes_its_worker_along_alone_is_dead(bench: VentilatorBench) -> None:
    """The cause names the worker and the host; the other suspect lives."""
    suspects(bench)
    one = bench.worker("one", slots=2, window=9)
    sent = lose(bench, one)
    (verdicts,) = of(Verdicts, [message for receiver, message in sent if receiver == SINK])
    (head,) = verdicts.records
    assert (head.start, head.stop, head.state) == (0, 1, JobState.DEAD)
    assert head.note is not None
    assert head.note.cause == "worker one on host was lost while it ran or may have run, 2 of at most 2 times"
    assert bench.places() == [(0, 1, Place.VERDICT), (1, 2, Place.ALONE)]


def test_among_others_nobody_is_dead(bench: VentilatorBench) -> None:
    """A crash that would be the last one is not counted where it may have been another job's."""
    peer = bench.worker("w", slots=2, window=9)
    (lease,) = leases(bench.submit(2, spec=SPEC))
    bench.turn(peer.beat(held(lease, running=((0, 2),))))
    for part in bench.parts():
        part.stamp = part.stamp.after_crash()
    assert of(Verdicts, [message for _, message in lose(bench, peer)]) == []
    assert {part.place for part in bench.parts()} == {Place.ALONE}


def test_a_busy_worker_is_emptied_first(bench: VentilatorBench) -> None:
    """What it has not started goes back, what runs is let finish; then it gets the suspect."""
    suspects(bench)
    busy = bench.worker("busy", window=0)
    bench.submit(3, batch=OTHER)
    first = bench.core.ledger.leases.next_number - 1
    mine = Held(first, OTHER, bench.parts(OTHER)[0].stamp, ((1, 3),), ((0, 1),), ())
    bench.turn(busy.beat(mine))
    busy.window = 9
    (request,) = of(HandBack, bench.told(busy, busy.beat(mine)))
    assert request.jobs == 2
    bench.turn(HandedBack(busy.id, request.number, (LeaseSpan(first, 1, 3),)))
    assert bench.places(OTHER) == [(0, 1, Place.LEASED), (1, 3, Place.QUEUED)]
    sent = bench.turn(bench.record(0, 1, lease=first, worker=busy.id, batch=OTHER))
    assert given(sent, busy) == [(0, 1)]
    assert bench.places() == [(0, 1, Place.LEASED), (1, 2, Place.ALONE)]


def test_a_suspect_that_is_cancelled_keeps_no_worker(bench: VentilatorBench) -> None:
    """The worker is like any other again."""
    suspects(bench)
    busy = bench.worker("busy", window=0)
    for part in bench.parts():
        bench.core.ledger.cancel(part)
    busy.window = 9
    bench.turn(busy.beat())
    assert not bench.core.ledger.workers[busy.id].kept
    assert bench.core.ledger.alone == {}


def test_a_dealt_job_that_takes_its_worker_along_at_once_counts(bench: VentilatorBench) -> None:
    """Nobody has reported its lease: it was with the worker of its round that was lost."""
    one, two = bench.worker("one"), bench.worker("two")
    _, second = leases(bench.submit(1, 1))
    one.disconnect()
    two.window = 0
    bench.pass_time(UNREPORTED_TIME * 1.5, (two, (held(second, running=((1, 2),)),)))
    bench.turn(bench.head())
    part = bench.parts()[0]
    assert (part.start, part.place, part.crashed, part.lost) == (0, Place.QUEUED, True, "worker one on host")
