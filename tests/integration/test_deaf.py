"""Junk at control, from the holder of a key, at the moment somebody joins: libzmq takes one connection for another."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from penstock import Pipeline
from penstock.keys.files import KeyFile, KeyFolder
from penstock.keys.roles import EVERYONE, Peer
from penstock.url import endpoints
from penstock.wire import sockets
from penstock.wire.guard import Guard, Security
from penstock.wire.messages import Beat
from penstock.wire.socket_sets import ventilator_links
from penstock.wire.sockets import Links
from penstock.wire.subscriptions import Topics
from support.keyed_pipeline import key_of, make_keys
from support.stations import LIMIT, Stations, until

VICTIM, THIEF = b"v" * 16, b"t" * 16
LEASE_TIME, HEARTBEAT_INTERVAL = 1.0, 0.2


@contextlib.contextmanager
def thief(url: str, key: KeyFile) -> Iterator[zmq.Socket[bytes]]:
    """Connects to control as a worker would, and may say anything there."""
    with zmq.Context() as context, context.socket(zmq.XSUB) as socket:
        socket.set(zmq.LINGER, 0)
        Security(key).on_connect(socket, "control")
        socket.connect(endpoints(url).control)
        yield socket


class Scene:
    """A ventilator's sockets, a thief's, and those of a victim that joins."""

    def __init__(self, url: str, keys: KeyFolder, stolen: zmq.Socket[bytes]) -> None:
        self.station = ventilator_links(url, Security(key_of(keys, "ventilator"), keys.path))
        self.stolen = stolen
        self.victim = Links(Security(key_of(keys, "workers")))
        self.url = url
        self.came: list[bytes] = []

    def read(self) -> list[bytes]:
        """What a ventilator does with who comes: all topics so far."""
        self.station.poll(0.01)
        for came, topic, _ in self.station.subscriptions("control"):
            if came:
                self.station.admit("control", topic)
                self.came.append(topic)
        return self.came

    def join(self) -> None:
        """The thief says junk, the victim joins, the thief joins; nothing is read meanwhile."""
        self.stolen.send(b"junk")
        until(lambda: "control" in self.station.poll(0.01)[0])
        self.victim.connect("control", endpoints(self.url).control, subscribe=VICTIM)
        until(lambda: self.station.poll(0.01) and self.victim.poll(0) and self.victim.connections("control"))
        self.stolen.send(b"\x01" + THIEF)

    def is_heard(self) -> bool:
        """Whether the victim hears what is said to it."""
        self.read()
        self.station.send("control", Beat(1), peer=VICTIM)
        return "control" in self.victim.poll(0.05)[0] and bool(list(self.victim.receive("control")))

    def is_stolen(self) -> bool:
        """Whether the thief hears what is said to the victim."""
        self.is_heard()
        return bool(self.stolen.poll(20)) and self.stolen.recv().startswith(VICTIM)

    def close(self) -> None:
        self.victim.close()
        self.station.close()


@contextlib.contextmanager
def scene(url: str, keys: KeyFolder) -> Iterator[Scene]:
    """With everybody joined, somehow."""
    with thief(url, key_of(keys, "gpu")) as stolen:
        made = Scene(url, keys, stolen)
        try:
            made.join()
            yield made
        finally:
            made.close()


@pytest.fixture
def keys(folder: Path, url: str) -> KeyFolder:
    """The keys of a pipeline at `url`."""
    return make_keys(folder, url)


def test_nobody_is_taken_for_another(url: str, keys: KeyFolder) -> None:
    """Who joins beside junk may hear nothing, until it connects anew; nobody else hears it instead."""
    for _ in range(5):
        with scene(url, keys) as seen:
            for _ in range(5):
                assert not seen.is_stolen()
            if not seen.is_heard():
                seen.victim.renew("control", is_said=False)
            until(seen.is_heard)
            assert not seen.is_stolen()


def test_without_the_rule_the_thief_hears(url: str, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: who subscribes is admitted, whatever was said before."""

    def read_all(socket: zmq.Socket[bytes], guard: Guard | None, topics: Topics) -> Iterator[tuple[bool, bytes, Peer]]:
        with contextlib.suppress(zmq.Again):
            while True:
                data = socket.recv(zmq.NOBLOCK)
                if data[:1] == b"\x01":
                    yield True, data[1:], EVERYONE

    monkeypatch.setattr(sockets, "read_subscriptions", read_all)

    def attempt() -> bool:
        with scene(url, keys) as seen:
            until(lambda: seen.stolen.poll(0) or THIEF in seen.read())
            return seen.is_stolen()

    until(attempt, 4 * LIMIT)


def test_who_joins_under_a_flood_of_junk_comes_in_when_it_ends(folder: Path, url: str, keys: KeyFolder) -> None:
    """The sink and workers that were not let hear connect anew by themselves, and jobs run."""
    stations = Stations(folder, url, lease_time=LEASE_TIME, heartbeat_interval=HEARTBEAT_INTERVAL, key=str(keys.path))
    enough = threading.Event()

    def log(name: str) -> bytes:
        return stations.log(name).read_bytes()

    def flood() -> None:
        with thief(url, key_of(keys, "gpu")) as socket:
            while not enough.wait(0.0005):
                with contextlib.suppress(zmq.Again):
                    socket.send(b"junk", zmq.NOBLOCK)

    thread = threading.Thread(target=flood)
    try:
        stations.start("ventilator")
        thread.start()
        until(lambda: b" junk_at_control: " in log("ventilator"))
        stations.start("sink", "w1", "w2")
        for name, joined in (("sink", b"sink_joined"), ("w1", b"worker=workers/w1"), ("w2", b"worker=workers/w2")):
            until(lambda n=name, j=joined: b" connects_anew: " in log(n) or j in log("ventilator"))  # type: ignore[misc]
        enough.set()
        until(lambda: b" sink_joined: " in log("ventilator") and log("ventilator").count(b" worker_joined: ") >= 2)
        with Pipeline(key=keys.path / "alice.key") as pipeline:
            assert list(pipeline.map(abs, range(-100, 0))) == list(range(100, 0, -1))
    finally:
        enough.set()
        thread.join()
        stations.close()
