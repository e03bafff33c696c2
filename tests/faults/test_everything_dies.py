"""Several processes die at the same moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.fault import nap, wait
from penstock.exit_codes import UNDELIVERED
from support.fault_pipeline import World
from support.stations import Stations


def test_ventilator_and_sink(world: World) -> None:
    """Workers hold what they have for both; nothing is lost and nothing runs again."""
    world.up("w1", "w2")
    batch = world.batch(wait, 6)
    world.started(2)
    for name in ("ventilator", "sink"):
        world.end(name, 9)
    world.open_gate()
    world.start("sink", "ventilator")
    world.check(batch, 6)
    assert set(world.times().values()) == {1}


@pytest.mark.parametrize("order", [("ventilator", "sink", "w1", "w2"), ("w2", "w1", "sink", "ventilator")])
def test_the_whole_machine(world: World, order: tuple[str, ...]) -> None:
    """Started again in any order on the same files, every job comes to its one outcome; what was recorded is not
    run again, and only what was running or not delivered is."""
    world.up("w1", "w2")
    batch = world.batch(nap, 30)
    recorded = [outcome.index for outcome, _ in zip(batch.follow(), range(10), strict=False)]
    for name in ("ventilator", "sink", "w1", "w2"):
        world.stations.processes[name].kill()
    for name in ("ventilator", "sink", "w1", "w2"):
        world.end(name, 9)
    world.start(*order)
    world.check(batch, 30)
    times = world.times()
    assert {times[index] for index in recorded} == {1}
    assert set(times.values()) <= {1, 2}


def test_again_and_again(world: World) -> None:
    """A pipeline that is killed again and again still gets through its jobs."""
    world.up("w1", "w2")
    batch = world.batch(nap, 40, max_crashes=100)
    follow = batch.follow()
    for _ in range(2):
        for _ in range(8):
            next(follow)
        for name in ("ventilator", "sink", "w1", "w2"):
            world.stations.processes[name].kill()
        for name in ("ventilator", "sink", "w1", "w2"):
            world.end(name, 9)
        world.start("ventilator", "sink", "w1", "w2")
    world.check(batch, 40)


def test_a_worker_that_drains_does_not_wait_for_ever(world: World, folder: Path, url: str) -> None:
    """Both stations are gone: it lets finish what runs, says what nobody has taken and leaves with exit code 75; when
    the stations are back another worker runs that job again."""
    world.stations = Stations(folder, url, lease_time=0.5, heartbeat_interval=0.1)
    world.start, world.end = world.stations.start, world.stations.end
    world.up("w1")
    batch = world.batch(wait, 1)
    world.started(1)
    for name in ("ventilator", "sink"):
        world.end(name, 9)
    world.open_gate()
    assert world.end("w1") == UNDELIVERED
    assert "left_undelivered" in world.stations.log("w1").read_text()
    world.start("ventilator", "sink", "w2")
    world.check(batch, 1)
    assert world.times() == {0: 2}
