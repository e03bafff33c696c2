"""Hosts come and go: namespaces of this machine, with keys, the sink and the client on hosts of their own."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Show
from penstock.keys.files import KeyFolder
from support import delay_proxy
from support.keyed_pipeline import make_keys
from support.namespace_hosts import Network, needs_hosts
from support.stations import Stations, logs, until

pytestmark = needs_hosts

URL = "tcp://head:7555/store"
WORKERS = ("gpu1", "gpu2", "gpu3")
GATE_URL = "tcp://gate:7555"
SINK_SOCKETS = {7558, 7560}
"""Ports of the six."""
LEASE_TIME, HEARTBEAT_INTERVAL = 1.5, 0.3
"""Seconds: as in other fault tests, so that losing a worker takes no five."""
COLUMNS = 60
"""Of the picture."""
BULK_JOBS = 1_000_000
"""Of a map whose rate is shown: a second of it, so that its beginning and end count little."""
ONE_WAY_MILLIS = 10
"""So that there and back is 20 ms: two cities."""

BULK = """
import statistics, sys, time
from penstock import Pipeline

def elapsed(call, *args):
    start = time.monotonic()
    call(*args)
    return time.monotonic() - start

with Pipeline(sys.argv[1], key=sys.argv[2]) as pipeline:
    pipeline.submit(abs, -1).result(60)
    print(statistics.median(elapsed(pipeline.status) for _ in range(5)))
    count = int(sys.argv[3])
    for _ in range(2):
        took = elapsed(lambda: [None for _ in pipeline.map(abs, range(count))])
    print(count / took)
"""
"""What the newest of two equal maps came to, from the desk: how long a question takes in seconds, and jobs a second."""


def picture(outcomes: list[dict[str, Any]]) -> str:
    """Who ran what when: a line for each slot, in which each column is a digit of the number of the job it ran then."""
    begin = min(one["started"] for one in outcomes)
    end = max(one["started"] + one["elapsed"] for one in outcomes)
    column = max(end - begin, 1e-6) / COLUMNS
    lines: dict[tuple[str, int], list[str]] = {}
    for one in outcomes:
        line = lines.setdefault((one["worker"], one["slot"]), ["."] * COLUMNS)
        first = int((one["started"] - begin) / column)
        for at in range(first, min(COLUMNS, max(first + 1, round((one["started"] + one["elapsed"] - begin) / column)))):
            line[at] = str(one["index"] % 10)
    jobs = Counter((one["worker"], one["slot"]) for one in outcomes)
    texts = [f"{w:14} slot {s}  {''.join(line)}  {jobs[w, s]} jobs" for (w, s), line in sorted(lines.items())]
    return "\n".join([f"who ran what, {len(outcomes)} jobs in {end - begin:.2f} s", *texts])


class World:
    """A head with the ventilator, a store with the sink, worker hosts, and a desk where the client sits.

    `far`: all of them reach the head and the store through a gate, that lets things arrive later (see delay_proxy.py).
    """

    def __init__(self, folder: Path, *, far: bool = False) -> None:
        self.folder = folder
        self._url = GATE_URL if far else URL
        self.network = Network(folder, "head", "store", "desk", "spare", *(["gate"] if far else []), *WORKERS)
        if far:
            self.way = folder / "way"
            self.lengthen(0)
            routes = [f"{port}={'store' if port in SINK_SOCKETS else 'head'}:{port}" for port in range(7555, 7561)]
            start = self.network["gate"].start
            self.network.daemons.append(
                start(folder / "gate.log", sys.executable, delay_proxy.__file__, self.way, *routes)
            )
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
        sink = f"{self._url}/store" if self._url == GATE_URL else URL
        url = {"ventilator": URL, "sink": sink}.get(station, self._url)
        argv = self.stations.argv(station, 2, url, {"key": str(key)})
        self.network.daemons.append(self.network[host].start(self.stations.log(station), *argv))

    def lengthen(self, millis: int) -> None:
        """From now on each way takes so long."""
        new = self.way.with_suffix(".new")
        new.write_text(str(millis))
        new.rename(self.way)

    def bulk(self, count: int) -> tuple[float, float]:
        """Seconds of a question and its answer, and jobs a second of a map of so many."""
        desk = self.network["desk"]
        said = desk.must(sys.executable, "-c", BULK, self._url, self.keys.path / "alice.key", str(count))
        answered, rate = map(float, said.split())
        return answered, rate

    def log(self, station: str) -> bytes:
        """What a station said."""
        return self.stations.log(station).read_bytes()

    def penstock(self, *words: str) -> bytes:
        """The command line at the desk."""
        done = self.network["desk"].penstock(*words, "--url", self._url, "--key", self.keys.path / "alice.key")
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def submit(self, count: int, *options: str) -> None:
        """Jobs that write down where they ran, and take a moment."""
        script = f'echo "$(hostname) {{}}" >> {self.ran}; sleep 0.1'
        where = ("--url", self._url, "--key", str(self.keys.path / "alice.key"))
        done = self.network["desk"].penstock(
            "submit", *where, *options, "--shell", script, ":::", *map(str, range(count))
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
        print(picture(outcomes))
        return outcomes


@pytest.fixture
def far() -> bool:
    """Whether the hosts are far from each other; a test may say so."""
    return False


@pytest.fixture
def world(folder: Path, far: bool) -> Iterator[World]:
    """All of it, with every station up."""
    made = World.__new__(World)
    try:
        made.__init__(folder, far=far)  # type: ignore[misc]
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


@pytest.mark.parametrize("far", [True])
def test_hosts_are_far_away(world: World, show: Show) -> None:
    """20 ms there and back between all of them, the sink on a host of its own: all jobs once, also when connections are
    half open, reset and cut meanwhile. What a map loses by the delay is shown, and who ran what."""
    near = world.bulk(BULK_JOBS)
    world.lengthen(ONE_WAY_MILLIS)
    until(lambda: world.bulk(1)[0] >= 2 * ONE_WAY_MILLIS / 1000)
    away = world.bulk(BULK_JOBS)
    rates = [
        f"{name:20}  a question {answered * 1000:.1f} ms  a map {rate:,.0f} jobs/s"
        for name, (answered, rate) in (("without delay", near), ("20 ms there and back", away))
    ]
    world.submit(240)
    for break_it, name in (("half_open", "gpu1"), ("reset_connections", "gate"), ("half_open", "store")):
        before = len(world.runs())
        until(lambda before=before: len(world.runs()) >= before + 20)  # type: ignore[misc]
        getattr(world.network[name], break_it)()
    until(lambda: Counter(host for host, _ in world.runs())["gpu2"] >= 20)
    world.network["gpu2"].cut()
    outcomes = world.all_once(240)
    show("hosts on one machine", "\n".join([*rates, picture(outcomes)]))
    assert {one["worker"] for one in outcomes} == {f"workers/{name}" for name in WORKERS}
