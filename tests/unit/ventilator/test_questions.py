"""How things stand, as clients are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from penstock.keys.roles import Peer, Role
from penstock.station.contract import FromClient
from penstock.station.lease_tokens import LeaseTokens
from penstock.wire.desk_messages import AskBatches, AskGone, AskPipeline, BatchesInfo, Notice, PipelineInfo
from support.core_benches import BATCH, CLIENT, VentilatorBench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[VentilatorBench]:
    """A ventilator with a sink and a worker."""
    made = VentilatorBench(tmp_path)
    made.sink()
    made.worker()
    yield made
    made.core.check()


def stand(bench: VentilatorBench) -> PipelineInfo:
    """The answer."""
    (info,) = bench.ask(AskPipeline(1))
    assert isinstance(info, PipelineInfo)
    return info


def test_jobs_and_batches_are_counted_while_they_are_open(bench: VentilatorBench) -> None:
    """What has ended is neither waiting nor open."""
    bench.submit(2)
    info = stand(bench)
    assert (info.queued + info.leased, info.batches) == (2, 1)
    bench.turn(bench.record(0, 2))
    info = stand(bench)
    assert (info.queued, info.leased, info.batches, len(info.workers)) == (0, 0, 0, 1)


def test_trouble_is_told_of_until_it_is_over(bench: VentilatorBench) -> None:
    """A full disk at either station is told of as long as that station says so, the worst first."""
    assert not stand(bench).trouble
    bench.core.questions.trouble = "q: the disk is full"
    bench.turn(replace(bench.head(), trouble="r: the disk is full"))
    assert stand(bench).trouble == (
        "the ventilator takes nothing in: q: the disk is full; the sink records nothing: r: the disk is full"
    )
    bench.now += bench.lease_time + 1
    assert stand(bench).sink_present, "it hears nobody meanwhile, which is not the sink's fault"
    bench.core.questions.trouble = ""
    bench.turn(bench.head())
    assert not stand(bench).trouble


def test_who_says_something_is_told_once_that_the_sink_records_nothing(bench: VentilatorBench) -> None:
    """A client that submits, or waits, would see nothing of it; each is told, and again when it comes back."""
    other = b"other"
    told = [("the sink records nothing: r: the disk is full", client) for client in (CLIENT, other)]

    def notices() -> list[tuple[str, bytes]]:
        sent = [bench.turn(FromClient(client, AskGone(3, (BATCH,)))) for client in (CLIENT, other, CLIENT)]
        return [(one.text, client) for turn in sent for client, one in turn if isinstance(one, Notice)]

    assert notices() == []
    for _ in range(2):
        bench.turn(replace(bench.head(), trouble="r: the disk is full"))
        assert notices() == told
        bench.turn(bench.head())
        assert notices() == []


def test_a_sink_that_is_missing_is_told_of(tmp_path: Path) -> None:
    """While it is not heard."""
    bench = VentilatorBench(tmp_path)
    assert stand(bench).trouble == "the sink is not connected: nothing is recorded until it is"
    bench.sink()
    assert not stand(bench).trouble
    bench.submit(2)
    assert not stand(bench).trouble
    bench.turn(after=bench.lease_time)
    assert stand(bench).trouble.startswith("the sink is not connected")


def test_who_submitted_a_batch_and_an_admin_may_claim_its_outcomes(tmp_path: Path) -> None:
    """The answer brings the token that the sink asks for; others find the batch, and are given none."""
    tokens = LeaseTokens(b"shared by ventilator and sink")
    bench = VentilatorBench(tmp_path, lease_tokens=tokens)
    bench.submit(2, sender=Peer("alice", Role.SUBMIT, "its key"))
    (batch,) = bench.core.ledger.backlog.batches
    given = {}
    for name, role in (("alice", Role.SUBMIT), ("bob", Role.SUBMIT), ("watch", Role.OBSERVE), ("root", Role.ADMIN)):
        (info,) = bench.told(b"c", FromClient(b"c", AskBatches(1, "", 9), b"", 1.0, Peer(name, role, "its key")))
        assert isinstance(info, BatchesInfo)
        given[name] = tokens.may_claim(info.batches[0].claim, batch, name)
    assert given == {"alice": True, "bob": False, "watch": False, "root": True}


def test_what_grows_is_told_of(bench: VentilatorBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """At either station, and the batches that nobody deletes."""
    monkeypatch.setattr("penstock.ventilator.questions.KEPT_BATCHES", 1)
    assert stand(bench).growth == ()
    bench.core.questions.growth = ("q grows",)
    bench.turn(replace(bench.head(), growth=("r grows",)))
    for batch in (b"1" * 16, b"2" * 16):
        bench.submit(1, batch=batch)
        bench.turn(bench.record(0, 1, batch=batch))
    bench.core.questions.ended = bench.store.batch_rows.ended(bench.now)
    *files, kept = stand(bench).growth
    assert files == ["q grows", "r grows"]
    assert kept.startswith("2 batches that have ended are kept, the first since ")


def test_a_clock_that_is_wrong_is_seen_when_its_worker_joins(bench: VentilatorBench) -> None:
    """Its jobs' times are by that clock."""
    peer = bench.worker("late")
    bench.turn(replace(peer.hello(peer.connect()), wall_time=bench.wall_time + 90.0))
    ahead = {worker.name: round(worker.clock_ahead) for worker in stand(bench).workers}
    assert ahead == {"w": 0, "late": 90}
