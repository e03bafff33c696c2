"""Who is of another version is told which side to upgrade, once, and the ventilator's log has who it is."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from penstock.job.spec import BatchSpec
from penstock.station.contract import FromClient
from penstock.ventilator.contract import Subscribed
from penstock.wire.desk_messages import BatchOpen, Notice, Program, Submit
from penstock.wire.frames import encode
from penstock.wire.messages import Upgrade
from support.core_benches import BATCH, CLIENT, FUNCTION, SINK, Peer, VentilatorBench, of

HERE = "0.3.0"
LOGGED_BYTES = 64
"""Of a message that 0.2 does not know."""


@pytest.fixture
def bench(folder: Path) -> VentilatorBench:
    """A ventilator that knows its version."""
    return VentilatorBench(folder, version=HERE)


def logged(bench: VentilatorBench) -> list[str]:
    """Who was said to be of another version, and what to do."""
    return [line.fields.strip() for line in bench.logged if line.event == "other_version"]


@pytest.mark.parametrize(
    ("version", "advice"),
    [("0.2.9", "upgrade the worker to penstock 0.3.0"), ("0.10.0", "upgrade the ventilator to penstock 0.10.0")],
)
def test_a_worker_is_told_which_side_to_upgrade(bench: VentilatorBench, version: str, advice: str) -> None:
    """When it joins, by a message of which all stands in the log of a release that does not know it; the ventilator's
    names it and its host."""
    peer = Peer(bench, "w", 1, 1)
    told = bench.told(peer, msgspec.structs.replace(peer.hello(peer.connect()), version=version))
    assert of(Upgrade, told) == [Upgrade(advice)]
    assert encode(Upgrade(advice))[:LOGGED_BYTES].endswith(advice.encode())
    assert logged(bench) == [f'worker=w host=host version={version} here=0.3.0 advice="{advice}"']


@pytest.mark.parametrize("version", ["0.3.7", ""])
def test_who_goes_together_is_told_nothing(bench: VentilatorBench, version: str) -> None:
    """And who says no version is no penstock."""
    peer = Peer(bench, "w", 1, 1)
    told = bench.told(peer, msgspec.structs.replace(peer.hello(peer.connect()), version=version))
    assert of(Upgrade, told) == []
    assert logged(bench) == []


def test_a_sink_is_told(bench: VentilatorBench) -> None:
    """One of before 0.3 does not say its version."""
    bench.turn(Subscribed(SINK))
    head = bench.head()
    assert of(Upgrade, bench.told(SINK, head)) == [Upgrade("upgrade the sink to penstock 0.3.0")]
    assert of(Upgrade, bench.told(SINK, head)) == []
    assert of(Upgrade, bench.told(SINK, msgspec.structs.replace(head, boot=8, version="0.3.1"))) == []


def submit(bench: VentilatorBench, number: int, program: Program | None, client: bytes = CLIENT) -> list[Notice]:
    """A client opens a batch; what it is told beside the answer."""
    opens = (BatchOpen(BATCH[:-1] + bytes([number]), BatchSpec(), FUNCTION, 1),)
    event = FromClient(client, Submit(number, opens, (), (), program), b"f", 1.0, address="10.1.2.3")
    return of(Notice, bench.told(client, event))


def test_a_client_is_told_once(bench: VentilatorBench) -> None:
    """Over what 0.2 knows, too. Its host and process are in the ventilator's log, or where it came from."""
    (notice,) = submit(bench, 1, None)
    assert notice.text == (
        "this client has penstock older than 0.3, and the ventilator 0.3.0: upgrade the client to penstock 0.3.0"
    )
    assert submit(bench, 2, None) == []
    (notice,) = submit(bench, 3, Program("0.4.0", "laptop", 77), b"other")
    assert notice.text.endswith("upgrade the ventilator to penstock 0.4.0")
    assert submit(bench, 4, Program("0.3.2", "laptop", 78), b"third") == []
    first, second = logged(bench)
    assert first.startswith("client=10.1.2.3 batch=")
    assert second.startswith('client="laptop (process 77)" batch=')
