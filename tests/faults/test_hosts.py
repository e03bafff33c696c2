"""Hosts come and go: namespaces of this machine, with keys, the sink and the client on hosts of their own."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hosts_world import Network, needs_hosts
from key_world import make_keys
from penstock.keys import KeyFolder
from support import Stations, logs, until

pytestmark = needs_hosts

URL = "tcp://head:7555/store"
WORKERS = ("gpu1", "gpu2", "gpu3")
LEASE_TIME, HEARTBEAT_INTERVAL = 1.5, 0.3
"""Seconds: as in other fault tests, so that losing a worker takes no five."""


class World:
    """A head with the ventilator, a store with the sink, worker hosts, and a desk where the client sits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = Network(folder, "head", "store", "desk", "spare", *WORKERS)
        self.keys = make_keys(folder, URL)
        of_sink = self.network["store"].home / "keys"
        of_sink.mkdir(mode=0o700)
        for name in ("sink.key", "peers.json"):
            shutil.copy2(self.keys.path / name, of_sink)
        self._of_sink = KeyFolder(of_sink, lambda: ("", ""))
        self.stations = Stations(folder, URL, lease_time=LEASE_TIME, heartbeat_interval=HEARTBEAT_INTERVAL)
        self.ran = folder / "ran"
        self.ran.touch()
        self.start("ventilator", "head")
        self.start("sink", "store")
        for name in WORKERS:
            self.start(name, name)
        until(lambda: self.log("ventilator").count(b" worker_joined: ") == len(WORKERS))
        until(lambda: b" sink_joined: " in self.log("ventilator"))

    def start(self, station: str, host: str) -> None:
        """Start a station on a host; a worker has the host's name."""
        key = {"ventilator": self.keys.path, "sink": self._of_sink.path}.get(station, self.keys.path / "workers.key")
        argv = self.stations._argv(station, 2, URL, {"key": str(key)})
        self.network.daemons.append(self.network[host].start(self.stations.log(station), *argv))

    def log(self, station: str) -> bytes:
        """What a station said."""
        return self.stations.log(station).read_bytes()

    def penstock(self, *words: str) -> bytes:
        """The command line at the desk."""
        done = self.network["desk"].penstock(*words, "--key", self.keys.path / "alice.key")
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def submit(self, count: int, *options: str) -> None:
        """Jobs that write down where they ran, and take a moment."""
        script = f'echo "$(hostname) {{}}" >> {self.ran}; sleep 0.1'
        done = self.network["desk"].penstock(
            "submit", "--key", self.keys.path / "alice.key", *options, "--shell", script, ":::", *map(str, range(count))
        )
        assert done.returncode == 0, done.stderr.decode()

    def outcomes(self) -> list[dict[str, Any]]:
        """What the newest batch came to, when it has ended."""
        lines = self.penstock("results", "last", "--follow", "--json").splitlines()
        return [json.loads(line) for line in lines]

    def runs(self) -> list[tuple[str, str]]:
        """Host and argument of every start of a job."""
        return [(host, at) for host, at in (line.split() for line in self.ran.read_text().splitlines())]

    def all_once(self, count: int) -> list[dict[str, Any]]:
        """The outcomes of the newest batch: each of its jobs has succeeded, and has one."""
        outcomes = self.outcomes()
        assert sorted(one["index"] for one in outcomes) == list(range(count))
        assert {one["state"] for one in outcomes} == {"succeeded"}
        print("who ran what:", dict(Counter(one["worker"] for one in outcomes)))
        return outcomes


@pytest.fixture
def world(folder: Path) -> Iterator[World]:
    """All of it, with every station up."""
    made = World.__new__(World)
    try:
        made.__init__(folder)  # type: ignore[misc]
        yield made
    finally:
        if hasattr(made, "network"):
            made.network.close()
            print("\n".join(logs(folder)))


def test_a_host_is_cut_off_and_healed(world: World) -> None:
    """Nobody is told of a cut: its jobs run elsewhere after a lease time, and twice run only those that it had. Healed,
    it comes back by itself and is given work."""
    world.submit(240)
    until(lambda: Counter(host for host, _ in world.runs())["gpu2"] >= 4)
    world.network["gpu2"].cut()
    outcomes = world.all_once(240)
    assert {one["worker"] for one in outcomes} >= {"workers/gpu1", "workers/gpu3"}
    twice = {at for at, count in Counter(at for _, at in world.runs()).items() if count > 1}
    assert twice <= {at for host, at in world.runs() if host == "gpu2"}
    assert b" worker_lost: " in world.log("ventilator")
    world.network["gpu2"].heal()
    world.submit(4, "--worker", "gpu2")
    assert {one["worker"] for one in world.all_once(4)} == {"workers/gpu2"}


def test_every_connection_is_reset(world: World) -> None:
    """By the kernel, on worker hosts, the store and the head in turn, while jobs run: each has one outcome, and no
    worker is gone for good."""
    world.submit(240)
    for name in ("gpu1", "store", "head", "gpu3"):
        before = len(world.runs())
        until(lambda before=before: len(world.runs()) >= before + 20)  # type: ignore[misc]
        world.network[name].reset_connections()
    outcomes = world.all_once(240)
    assert {one["worker"] for one in outcomes} == {f"workers/{name}" for name in WORKERS}


def test_hosts_lose_their_power(world: World) -> None:
    """A worker's: it returns under its name. The head's: another host takes over its name and its data, and workers,
    sink and client find it there; what had run stays recorded."""
    world.submit(240)
    until(lambda: len(world.runs()) >= 40)
    gpu3 = world.network["gpu3"]
    gpu3.off()
    until(lambda: b" worker_lost: " in world.log("ventilator"))
    gpu3.on()
    world.network.plug("gpu3")
    world.start("gpu3", "gpu3")
    until(lambda: world.log("ventilator").count(b" worker_joined: ") == len(WORKERS) + 1)

    world.network["head"].off()
    world.network.move_name("head", to="spare")
    world.start("ventilator", "spare")
    until(lambda: world.log("ventilator").count(b" worker_joined: ") == 2 * len(WORKERS) + 1)
    outcomes = world.all_once(240)
    assert "workers/gpu3" in {one["worker"] for one in outcomes}
