"""The sink dies, or stands still: workers keep what they have, and deliver it to the next one."""

from __future__ import annotations

import threading

from jobs.fault import nap, wait
from support.fault_pipeline import World, harm
from support.stations import until


@harm
def test_while_jobs_run(world: World, how: str) -> None:
    """Nobody notices but the log: each job is started once and recorded once."""
    world.up("w1", "w2")
    batch = world.batch(wait, 6)
    world.started(2)
    world.harm("sink", how)
    world.open_gate()
    world.check(batch, 6)
    assert set(world.times().values()) == {1}


def test_before_outcomes_are_recorded(world: World) -> None:
    """Jobs that end while there is no sink are recorded by the next one, and not run again."""
    world.up("w1", "w2")
    batch = world.batch(wait, 4)
    world.started(2)
    world.end("sink", 9)
    world.open_gate()
    world.started(4)
    world.start("sink")
    world.check(batch, 4)
    assert set(world.times().values()) == {1}


def test_while_a_reader_follows(world: World) -> None:
    """Who follows a batch over deaths of the sink sees every outcome once."""
    world.up("w1", "w2")
    batch = world.batch(nap, 50)
    found: list[int] = []
    reader = threading.Thread(target=lambda: found.extend(outcome.index for outcome in batch.follow()))
    reader.start()
    for count in (5, 25):
        until(lambda count=count: len(found) >= count)  # type: ignore[misc]
        world.harm("sink", "SIGKILL")
    reader.join(60)
    assert sorted(found) == list(range(50))
    assert set(world.times().values()) == {1}
