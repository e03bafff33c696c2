"""The ventilator dies, or stands still: nothing is lost, and nothing that a worker holds runs again."""

from __future__ import annotations

import threading

from jobs.fault import nap, wait
from support.fault_pipeline import World, harm
from support.stations import until


@harm
def test_while_jobs_run(world: World, how: str) -> None:
    """What runs goes on, what waits is dealt by the next life; no job is started twice."""
    world.up("w1", "w2")
    batch = world.batch(wait, 6)
    world.started(2)
    world.harm("ventilator", how)
    world.open_gate()
    world.check(batch, 6)
    assert set(world.times().values()) == {1}


def test_while_outcomes_are_recorded(world: World) -> None:
    """What ends while it is away is recorded by the sink, learnt from its log, and not run again."""
    world.up("w1", "w2")
    batch = world.batch(wait, 2)
    world.started(2)
    world.end("ventilator", 9)
    world.open_gate()
    assert len(list(batch.follow())) == 2
    world.start("ventilator")
    world.check(batch, 2)
    assert batch.status().leased == 0
    assert world.times() == {0: 1, 1: 1}


def test_while_it_accepts(world: World) -> None:
    """What it had not acknowledged is submitted again and accepted once: a map over its deaths is complete."""
    pipeline = world.up("w1", "w2")
    values = pipeline.map(nap, [str(world.folder)] * 50, range(50), chunksize=1, buffersize=20)
    found: list[int] = []
    reader = threading.Thread(target=lambda: found.extend(values))
    reader.start()
    for count in (5, 25):
        until(lambda count=count: len(found) >= count)  # type: ignore[misc]
        world.harm("ventilator", "SIGKILL")
    reader.join(60)
    assert found == list(range(50))
    assert set(world.times().values()) == {1}


def test_with_a_worker_at_the_same_moment(world: World) -> None:
    """The next life finds out whose jobs nobody has any more."""
    world.up("w1", "w2")
    batch = world.batch(wait, 4)
    lost = {index for index, _, worker in world.started(2) if worker == "w1"}
    for name in ("ventilator", "w1"):
        world.end(name, 9)
    world.start("ventilator")
    world.open_gate()
    world.check(batch, 4)
    assert {index for index, times in world.times().items() if times > 1} <= lost
