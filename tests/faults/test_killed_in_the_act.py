"""Stations that are killed at the very system call by which they save or speak: before, while, and after."""

from __future__ import annotations

import pytest

from jobs.fault import nap
from support.fault_pipeline import World
from support.stations import until

JOBS = 60
"""Enough to be there at every death: the calls that only work brings come first."""


@pytest.mark.parametrize("who", ["ventilator", "sink"])
def test_a_station(world: World, ptrace: None, who: str) -> None:
    """While it writes a commit, syncs it, tells of it, or takes in: every job has its one outcome and ran once."""
    world.up("w1", "w2")
    batch = world.batch(nap, JOBS)
    for call, number in (("pwrite64", 1), ("fdatasync", 1), ("fdatasync", 2), ("sendto", 1), ("recvfrom", 2)):
        with world.dying_at(who, call, number):
            pass
    world.check(batch, JOBS)
    assert set(world.times().values()) == {1}


def test_a_worker(world: World, ptrace: None) -> None:
    """While it reports, delivers, or takes jobs: what ran at the other one ran once."""
    world.up("w1", "w2")
    batch = world.batch(nap, JOBS, max_crashes=100)
    for call, number in (("sendto", 1), ("recvfrom", 1), ("sendto", 3)):
        with world.dying_at("w1", call, number):
            pass
        until(lambda: len(world.clients[0].workers()) == 2)
    world.check(batch, JOBS)
    again = {index for index, times in world.times().items() if times > 1}
    first = {index: worker for index, _, worker in reversed(world.starts())}
    assert all(first[index] == "w1" for index in again)
