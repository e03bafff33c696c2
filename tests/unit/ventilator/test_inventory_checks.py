"""What a worker says of leases is believed only as far as it was given them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from penstock.job.spec import BatchSpec, Stamp
from penstock.station.lease_tokens import Grant, LeaseTokens
from penstock.wire.bounds import UNREPORTED_TIME
from penstock.wire.messages import Drop, HandedBack, Left, Took, Welcome
from penstock.wire.records import Held, Lease, LeaseSpan
from support.core_benches import BATCH, Peer, VentilatorBench, held, leases, of

OTHER = b"x" * 16
PLACES = st.integers(0, 12)
SPANS = st.lists(st.tuples(PLACES, PLACES), max_size=3).map(tuple)
STAMPS = st.builds(Stamp, st.integers(0, 2), st.integers(0, 2), st.integers(0, 1))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_a_worker_says_the_books_stay_right(data: st.DataObject) -> None:
    """Lines of leases that are another's, of another batch, that never were or have ended, with spans that overlap, run
    backwards or over the end of a chunk, in heartbeats, hellos, receipts and hand-backs, also after a restart: the
    bench checks the invariants behind each turn."""
    with tempfile.TemporaryDirectory() as folder:
        bench = VentilatorBench(Path(folder))
        bench.sink()
        workers = [bench.worker(name, slots=2) for name in "ab"]
        bench.submit(4, 5, 3)
        if data.draw(st.booleans()):
            bench.restart()
            if data.draw(st.booleans()):
                bench.recover()
            workers = [bench.worker(name, slots=2) for name in "ab"]
        numbers = st.sampled_from(sorted(bench.core.ledger.leases.records) or [1]) | st.integers(0, 3)
        line = st.builds(Held, numbers, st.sampled_from([BATCH, OTHER]), STAMPS, SPANS, SPANS, SPANS)
        for _ in range(data.draw(st.integers(1, 6))):
            peer = data.draw(st.sampled_from(workers))
            lines = data.draw(st.lists(line, max_size=4))
            match data.draw(st.sampled_from(["heartbeat", "hello", "took", "handed back", "time"])):
                case "heartbeat":
                    bench.turn(peer.beat(*lines))
                case "hello":
                    bench.turn(peer.hello(peer.connect(), *lines))
                case "took":
                    bench.turn(Took(peer.id, tuple(data.draw(st.lists(numbers, max_size=3))), 4))
                case "handed back":
                    spans = tuple(LeaseSpan(data.draw(numbers), *span) for span in data.draw(SPANS))
                    bench.turn(HandedBack(peer.id, 0, spans))
                case "time":
                    bench.turn(after=1.0)
        bench.store.close()


def keyed(folder: Path) -> tuple[VentilatorBench, Peer, Peer]:
    """A pipeline with keys after a restart, before it has heard of anybody: who ran a job before, and a thief."""
    bench = VentilatorBench(folder, lease_tokens=LeaseTokens(b"shared by ventilator and sink"))
    bench.sink()
    honest, thief = bench.worker("honest"), bench.worker("thief", window=0)
    return bench, honest, thief


def test_nobody_takes_over_what_another_worker_runs(tmp_path: Path) -> None:
    """After a restart who says first that it holds a lease is believed only with the lease's token. Else the thief
    would hand the jobs back, as never started, and they would start twice."""
    bench, honest, thief = keyed(tmp_path)
    (lease,) = leases(bench.submit(2, spec=BatchSpec(max_crashes=1)))
    bench.turn(honest.beat(held(lease, running=((0, 1),), unstarted=((1, 2),))))
    bench.restart()
    bench.sink()
    other = replace(
        lease, number=lease.number, token=bench.core.ledger.lease_tokens.token(Grant(9, BATCH, 0, 2, Stamp()))
    )
    for forged in (replace(lease, token=b""), replace(lease, token=b"t" * 60), other):
        sent = bench.turn(thief.hello(thief.connect(), held(forged, running=((0, 2),))))
        (welcome,) = of(Welcome, [message for to, message in sent if to == thief.id])
        assert welcome.drop == (LeaseSpan(lease.number, 0, 2),)
    sent = bench.turn(honest.hello(honest.connect(), held(lease, running=((0, 1),), unstarted=((1, 2),))))
    (welcome,) = of(Welcome, [message for to, message in sent if to == honest.id])
    assert welcome.drop == ()
    bench.turn(HandedBack(thief.id, 0, (LeaseSpan(lease.number, 0, 2),)))
    assert bench.core.ledger.leases.records[lease.number].worker is bench.core.ledger.workers[honest.id]


def test_a_token_is_good_for_its_own_jobs(tmp_path: Path) -> None:
    """A worker that was given one job says nothing of others."""
    bench, _, thief = keyed(tmp_path)
    (lease,) = leases(bench.submit(1))
    bench.submit(4, batch=OTHER)
    bench.restart()
    bench.sink()
    for forged in (replace(lease, batch=OTHER), replace(lease, stamp=Stamp(attempt=2))):
        sent = bench.turn(thief.hello(thief.connect(), held(forged, running=((0, 1),))))
        (welcome,) = of(Welcome, [message for to, message in sent if to == thief.id])
        assert welcome.drop == (LeaseSpan(lease.number, 0, 1),)
    assert not bench.core.ledger.leases.records


def test_what_may_not_start_twice_is_given_by_name(bench: VentilatorBench) -> None:
    """Nobody knows who has what of a round until it is said, and whoever was in the round could say so. So such a
    lease belongs to its worker from the beginning: another one cannot hand it back."""
    workers = {peer.id: peer for peer in (bench.worker("a", slots=2), bench.worker("b", slots=2))}
    records = bench.core.ledger.leases.records
    assert [records[lease.number].worker for lease in leases(bench.submit(1, 1, batch=OTHER))] == [None, None]
    bench.turn(bench.record(0, 2, batch=OTHER))
    for lease in leases(bench.submit(1, 1, spec=BatchSpec(max_crashes=1))):
        owner = records[lease.number].worker
        assert owner is not None
        (other,) = set(workers) - {owner.id}
        bench.turn(HandedBack(other, 0, (LeaseSpan(lease.number, lease.start, lease.stop),)))
        assert records[lease.number].worker is owner


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[VentilatorBench]:
    """Where there are keys, and so tokens."""
    made = VentilatorBench(tmp_path, lease_tokens=LeaseTokens(b"key"))
    made.sink()
    yield made
    made.store.close()


def lies(thief: Peer, lease: Lease) -> list[Any]:
    """What the holder of a work key can say of a lease that was dealt, and not to it."""
    spans = (LeaseSpan(lease.number, lease.start, lease.stop),)
    return [
        Took(thief.id, (lease.number,), 1),
        thief.beat(),
        HandedBack(thief.id, 0, spans),
        HandedBack(thief.id, 0, spans, "no such program"),
        Took(thief.id, (lease.number,), 1, (lease.token[:-1] + b"x",)),
        thief.beat(held(replace(lease, token=b""), running=((lease.start, lease.stop),))),
        thief.beat(),
        Left(thief.id),
    ]


def test_a_dealt_lease_is_whose_token_is_shown(sealed: VentilatorBench) -> None:
    """Whatever another worker says of it: it stays out until its holder has reported it, and is the holder's then."""
    holder, thief = sealed.worker("holder", window=1), sealed.worker("thief", window=1)
    lease, _ = leases(sealed.submit(4, 4))
    for lie in lies(thief, lease):
        sealed.turn(lie)
        assert sealed.parts()[0].lease == lease.number, lie
    sealed.turn(Took(holder.id, (lease.number,), 1, (lease.token,)))
    assert sealed.core.ledger.leases.records[lease.number].worker is sealed.core.ledger.workers[holder.id]


def test_without_tokens_a_job_would_be_given_out_beside_its_holder(
    sealed: VentilatorBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: who says that it took something is believed, and soon hands it back."""
    monkeypatch.setattr(LeaseTokens, "shown", lambda *_: lambda _number: True)
    _, thief = sealed.worker("holder", window=1), sealed.worker("thief", window=1)
    lease, _ = leases(sealed.submit(4, 4))
    for lie in lies(thief, lease)[:3]:
        sealed.turn(lie)
    assert sealed.parts()[0].lease != lease.number


def test_a_worker_of_an_earlier_release_shows_no_tokens(sealed: VentilatorBench) -> None:
    """What it says it took is its own when nobody has shown the token for a while; until then it goes on with it."""
    old, other = sealed.worker("old", window=1), sealed.worker("other", window=1)
    lease, _ = leases(sealed.submit(4, 4))
    sealed.turn(Took(old.id, (lease.number,), 1))
    line = held(replace(lease, token=b""), running=((0, 4),))
    assert of(Drop, sealed.told(old, old.beat(line))) == []
    sealed.pass_time(UNREPORTED_TIME + 1, (old, (line,)), (other, ()))
    assert sealed.core.ledger.leases.records[lease.number].worker is sealed.core.ledger.workers[old.id]
    assert of(Drop, sealed.told(old, old.beat(held(replace(lease, token=b""), running=((0, 3),))))) == []
    assert sealed.parts()[0].stop == 3
