"""Batches go: whose client is there, whose is away, and what is told to who waits for what is gone."""

from __future__ import annotations

import pytest

from penstock.job.spec import BatchSpec
from penstock.station.contract import FromClient
from penstock.ventilator.deletion import Deletion
from penstock.ventilator.jobs_model import Place
from penstock.wire.bounds import TRANSIENT_TIME
from penstock.wire.desk_messages import Alive, AskGone, Delete, Gone
from support.core_benches import BATCH, CLIENT, VentilatorBench

MAP = BatchSpec(transient=True)
OTHER = b"other".ljust(16)
LOST = b"lost".ljust(16)


def asked(bench: VentilatorBench, *batches: bytes) -> dict[bytes, tuple[str, str]]:
    """Those of some batches that are gone, each with the error and its words."""
    (gone,) = bench.ask(AskGone(7, batches))
    assert isinstance(gone, Gone)
    assert gone.number == 7
    return {line.batch: (line.kind, line.text) for line in gone.batches}


def test_a_client_that_says_nothing_is_alive_while_its_connection_is(bench: VentilatorBench) -> None:
    """What its program does meanwhile, or does not, counts for nothing; when the connection is gone the time runs."""
    bench.connected.add(CLIENT)
    bench.submit(2, spec=MAP)
    bench.pass_time(TRANSIENT_TIME * 5)
    assert bench.places() == [(0, 2, Place.QUEUED)]
    bench.connected.clear()
    bench.pass_time(TRANSIENT_TIME * 0.9)
    assert bench.places() == [(0, 2, Place.QUEUED)]
    bench.pass_time(TRANSIENT_TIME * 0.2)
    assert bench.places() == [(0, 2, Place.VERDICT)]


def test_who_spoke_of_a_map_last_is_its_client(bench: VentilatorBench) -> None:
    """A client has a new connection after each outage; the old one being gone means nothing then."""
    bench.submit(2, spec=MAP)
    bench.turn(FromClient(OTHER, Alive((BATCH,))))
    bench.connected.add(OTHER)
    bench.pass_time(TRANSIENT_TIME * 3)
    assert bench.places() == [(0, 2, Place.QUEUED)]


@pytest.mark.parametrize("forgives", [True, False])
def test_a_pause_of_its_own_is_forgiven_to_clients(
    bench: VentilatorBench, monkeypatch: pytest.MonkeyPatch, forgives: bool
) -> None:
    """A laptop that slept for a night; without the rule the map would be gone."""
    if not forgives:
        monkeypatch.setattr(Deletion, "forgive", lambda *_: None)
    bench.submit(2, spec=MAP)
    bench.turn(after=8 * 3600.0)
    assert bench.places() == [(0, 2, Place.QUEUED if forgives else Place.VERDICT)]
    bench.pass_time(TRANSIENT_TIME * 1.1)
    assert bench.places() == [(0, 2, Place.VERDICT)]


def test_a_client_has_its_time_after_a_restart(bench: VentilatorBench) -> None:
    """Until it has connected again nobody knows whose a map is."""
    bench.submit(2, spec=MAP)
    bench.restart()
    bench.recover()
    bench.pass_time(TRANSIENT_TIME * 0.8)
    assert bench.places() == [(0, 2, Place.QUEUED)]
    bench.turn(FromClient(CLIENT, Alive((BATCH,))))
    bench.connected.add(CLIENT)
    bench.pass_time(TRANSIENT_TIME * 2)
    assert bench.places() == [(0, 2, Place.QUEUED)]


def test_what_is_here_is_not_said_to_be_gone(bench: VentilatorBench) -> None:
    """Only what nobody can wait for any more is named."""
    bench.submit(2)
    assert asked(bench, BATCH) == {}
    assert bench.ask(AskGone(7, (BATCH, LOST))) == [], "it may be in a newer file than this one"
    bench.pass_time(bench.core.ledger.heartbeat_interval)
    bench.turn(bench.head())
    assert list(asked(bench, BATCH, LOST)) == [LOST]
    assert asked(bench, LOST)[LOST] == (
        "NoSuchBatch",
        f"batch {LOST.hex()} is gone: it was deleted, or never came to this pipeline",
    )


def test_whoever_comes_back_is_told_what_became_of_its_map(bench: VentilatorBench) -> None:
    """While it is being ended, and when nothing is left of it."""
    bench.submit(2, spec=MAP)
    bench.pass_time(TRANSIENT_TIME * 1.1)
    told = (
        "JobCancelled",
        f"batch {BATCH.hex()} is gone: it was cancelled, for its client was out of reach for 60 s",
    )
    assert asked(bench, BATCH) == {BATCH: told}
    bench.turn(FromClient(CLIENT, Alive((BATCH,))))
    bench.turn(bench.record(0, 2))
    assert BATCH not in bench.core.ledger.backlog.batches
    assert asked(bench, BATCH) == {BATCH: told}


def test_a_deletion_is_told_to_others(bench: VentilatorBench) -> None:
    """Whoever waits for the batch, not only who deleted it."""
    bench.submit(2)
    bench.turn(FromClient(OTHER, Delete(3, BATCH)))
    assert asked(bench, BATCH) == {BATCH: ("NoSuchBatch", f"batch {BATCH.hex()} is gone: it was deleted")}
    assert bench.ask(AskGone(8, ())) == [Gone(8, ())]
