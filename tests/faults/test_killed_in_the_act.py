"""Stations that are killed at the very system call by which they save or speak: before, while, and after."""

from __future__ import annotations

import signal
import subprocess

import pytest

from jobs.fault import nap
from support.fault_pipeline import World
from support.stations import LIMIT, until

JOBS = 60
"""Enough to be there at every death: the calls that only work brings come first."""


def kill_at(world: World, name: str, call: str, number: int) -> None:
    """Let a station run into its death, and start it again."""
    process = world.stations.processes[name]
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    command += ["-e", f"inject={call}:signal=KILL:when={number}", "-p", str(process.pid)]
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert process.wait(LIMIT) == -signal.SIGKILL
    tracer.wait(LIMIT)
    world.stations.processes.pop(name)
    world.start(name)


@pytest.mark.parametrize("who", ["ventilator", "sink"])
def test_a_station(world: World, ptrace: None, who: str) -> None:
    """While it writes a commit, syncs it, tells of it, or takes in: every job has its one outcome and ran once."""
    world.up("w1", "w2")
    batch = world.batch(nap, JOBS)
    for call, number in (("pwrite64", 1), ("fdatasync", 1), ("fdatasync", 2), ("sendto", 1), ("recvfrom", 2)):
        kill_at(world, who, call, number)
    world.check(batch, JOBS)
    assert set(world.times().values()) == {1}


def test_a_worker(world: World, ptrace: None) -> None:
    """While it reports, delivers, or takes jobs: what ran at the other one ran once."""
    world.up("w1", "w2")
    batch = world.batch(nap, JOBS, max_crashes=100)
    for call, number in (("sendto", 1), ("recvfrom", 1), ("sendto", 3)):
        kill_at(world, "w1", call, number)
        until(lambda: len(world.clients[0].workers()) == 2)
    world.check(batch, JOBS)
    again = {index for index, times in world.times().items() if times > 1}
    first = {index: worker for index, _, worker in reversed(world.starts())}
    assert all(first[index] == "w1" for index in again)
