"""A link of 10 Mbit/s: what takes much longer on it than a heartbeat may be late arrives, once."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import Pipeline
from support.keyed_pipeline import make_keys
from support.slow_link import SlowLink
from support.stations import LIMIT, Stations, free_url, logs, until

SIZE = 4_000_000
RATE = 1_250_000
"""Bytes a second: a message takes more than twice as long as ZeroMQ waits for a heartbeat."""


class Far:
    """Stations of which the worker or the client is far away."""

    def __init__(self, folder: Path, *, keys: bool) -> None:
        url = free_url()
        self._key = str(make_keys(folder, url).path) if keys else ""
        self.stations = Stations(folder, url, key=self._key)
        self.link = SlowLink(url, RATE)
        self.stations.start("ventilator", "sink")

    def up(self, *, worker: bool) -> Pipeline:
        """A client and a worker; which of the two is far away."""
        far, near = self.link.url, self.stations.url
        self.stations.start("w1", url=far if worker else near)
        pipeline = Pipeline(near if worker else far, key=self._key or None)
        until(lambda: len(pipeline.workers()) == 1, what="the worker has joined")
        assert pipeline.submit(len, b"").result(LIMIT) == 0
        until(lambda: self._said("ventilator", "sink_joined"), what="the sink has joined")
        return pipeline

    def _said(self, name: str, event: str) -> bool:
        return event in self.stations.log(name).read_text()

    def check(self, connections: int) -> None:
        """It came once, over the connections that there were."""
        carried = self.link.carried
        assert SIZE <= carried.total() < 1.5 * SIZE, carried
        assert self.link.connections == connections
        assert not self._said("w1", "lost_touch")

    def close(self) -> None:
        """End all of it."""
        self.stations.close()
        self.link.close()


@pytest.fixture(params=[False, True], ids=["open", "keys"])
def far(folder: Path, request: pytest.FixtureRequest) -> Iterator[Far]:
    """Ventilator and sink are up, without keys or with them."""
    made = Far(folder, keys=request.param)
    yield made
    made.close()
    print("\n".join(logs(folder)))


def noise(seed: int) -> bytes:
    """Bytes that nothing makes fewer."""
    return random.Random(seed).randbytes(SIZE)


def digest(data: bytes) -> str:
    """By which they are known."""
    return hashlib.md5(data).hexdigest()


def test_to_a_worker(far: Far) -> None:
    """An argument that takes long."""
    with far.up(worker=True) as pipeline:
        connections = far.link.connections
        assert pipeline.submit(digest, noise(1)).result(LIMIT) == digest(noise(1))
        far.check(connections)


def test_a_function_to_a_worker(far: Far) -> None:
    """One that has much in it."""
    data = noise(2)
    with far.up(worker=True) as pipeline:
        connections = far.link.connections
        assert pipeline.submit(lambda: data[-3:]).result(LIMIT) == data[-3:]
        far.check(connections)


def test_from_a_worker(far: Far) -> None:
    """A value that takes long to be recorded."""
    with far.up(worker=True) as pipeline:
        connections = far.link.connections
        assert digest(pipeline.submit(noise, 3).result(LIMIT)) == digest(noise(3))
        far.check(connections)


def test_from_a_client(far: Far) -> None:
    """What it submits."""
    with far.up(worker=False) as pipeline:
        connections = far.link.connections
        assert pipeline.submit(digest, noise(4)).result(LIMIT) == digest(noise(4))
        far.check(connections)


def test_to_a_client(far: Far) -> None:
    """What it reads."""
    with far.up(worker=False) as pipeline:
        connections = far.link.connections
        assert digest(pipeline.submit(noise, 5).result(LIMIT)) == digest(noise(5))
        far.check(connections)
