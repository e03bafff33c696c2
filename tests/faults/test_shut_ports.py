"""A firewall drops what goes to one of the six ports, or large packets vanish: for one worker, and nobody is told."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.namespace_hosts import Network, needs_hosts, up
from support.stations import logs, until

pytestmark = needs_hosts

PORTS = {"report": 7556, "jobs": 7557, "outcomes": 7558, "control": 7559}
"""That a worker connects to."""
JOBS = 60


class World:
    """A head with the stations, and two hosts for workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = Network(folder, "head", "gpu1", "gpu2")

    def up(self) -> None:
        """Start the stations."""
        self.key = up(self.network, self.folder)

    def start(self, name: str) -> None:
        """A worker of this name on the host of this name."""
        argv = (sys.executable, "-m", "penstock", "worker", "--slots", "1", "--name", name)
        self.network.daemons.append(
            self.network[name].start(self.folder / f"{name}.log", *argv, "--key", f"{self.key}/workers.key")
        )

    def log(self, name: str) -> str:
        """What a process said."""
        return (self.folder / f"{name}.log").read_text()

    def penstock(self, command: str, *words: str) -> str:
        """The command line on the head."""
        done = self.network["head"].penstock(command, "--key", f"{self.key}/admin.key", *words)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def doctor(self, name: str) -> str:
        """What `doctor` finds wrong on a worker's host."""
        return self.network[name].doctor("--key", f"{self.key}/workers.key")


@pytest.fixture
def world(folder: Path) -> Iterator[World]:
    """With the stations up, and no worker."""
    made = World(folder)
    try:
        made.up()
        yield made
    finally:
        made.network.close()
        print("\n".join(logs(folder)))


@pytest.mark.parametrize("name", PORTS)
def test_a_worker_joins_when_all_its_ports_are_open(world: World, name: str) -> None:
    """With one that is shut it does not join, and its log and `doctor` name the socket and the port; then it does."""
    host = world.network["gpu1"]
    host.shut(PORTS[name])
    world.start("gpu1")
    socket = f"tcp://head:{PORTS[name]} ({name})"
    until(lambda: f'down="{socket} at 10.' in world.log("gpu1"), what="it says which socket is down, and that alone")
    assert " joined: " not in world.log("gpu1")
    assert "gpu1" not in world.penstock("workers")
    assert f"head:{PORTS[name]} does not answer" in world.doctor("gpu1")
    host.open()
    until(lambda: " joined: " in world.log("gpu1"), what="it joins")


@pytest.mark.parametrize("name", ["report", "jobs"])
def test_a_port_that_is_shut_later_is_named(world: World, name: str) -> None:
    """In the worker's log, soon, and that it is open again; what is submitted then runs."""
    world.start("gpu1")
    until(lambda: " joined: " in world.log("gpu1"), what="it joins")
    world.network["gpu1"].shut(PORTS[name])
    until(lambda: f'down="tcp://head:{PORTS[name]} ({name}) at 10.' in world.log("gpu1"), what="it says so")
    world.network["gpu1"].open()
    until(lambda: re.search("connected_again: |joined: .*joined: ", world.log("gpu1"), re.DOTALL), what="it is well")
    world.penstock("run", "true", ":::", "a")


@pytest.mark.parametrize("fault", ["the port is shut", "large packets vanish"])
def test_a_worker_that_cannot_deliver(world: World, fault: str) -> None:
    """Its jobs that have not started run elsewhere, it is given no more, and its log, `workers`, `why` and `doctor` say
    why; healed, it delivers what it has, and nothing ran twice."""
    ran = world.folder / "ran"
    for name in ("gpu1", "gpu2"):
        world.start(name)
        until(lambda name=name: " joined: " in world.log(name), what="it joins")  # type: ignore[misc]
    script = f"echo {{}} >> {ran}; head -c 4000 /dev/zero | tr '\\0' x; sleep 0.3"
    world.penstock("submit", "--shell", script, ":::", *map(str, range(JOBS)))
    until(lambda: ran.exists() and len(ran.read_text().splitlines()) > 6, what="jobs run on both")
    if fault == "the port is shut":
        world.network["gpu1"].shut(PORTS["outcomes"])
    else:
        world.network.narrow("gpu1")
    until(lambda: " undelivered: " in world.log("gpu1"), what="it says that it cannot deliver")
    until(lambda: "its outcomes do not reach the sink at tcp://head:7558 (outcomes)" in world.penstock("workers"))
    said = until(lambda: _stuck(world), what="the others have ended")
    assert all("its outcome is not recorded yet: its outcomes do not reach" in one for one in said)
    assert ("head:7558 does not answer" if "port" in fault else "large ones vanish") in world.doctor("gpu1")
    if fault == "the port is shut":
        world.network["gpu1"].open()
    else:
        world.network.widen("gpu1")
    results = world.penstock("results", "last", "--follow", "--json").splitlines()
    assert len(results) == JOBS
    assert sorted(map(int, ran.read_text().split())) == list(range(JOBS))
    until(lambda: " delivered_again: " in world.log("gpu1"), what="all is well again")


def _stuck(world: World) -> list[str]:
    """What `why` says of the jobs whose outcomes cannot leave, once all others have ended."""
    if len((world.folder / "ran").read_text().splitlines()) < JOBS:
        return []
    listed = [json.loads(line) for line in world.penstock("jobs", "last", "--json").splitlines()]
    said = [world.penstock("why", f"last:{one['index']}") for one in listed if one["state"] != "succeeded"]
    return said if all("it has ended at worker workers/gpu1" in one for one in said) else []
