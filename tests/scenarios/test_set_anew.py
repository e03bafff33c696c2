"""Batches are given other limits and priorities on the virtual network, while they run and workers and stations die.

What is promised: once nobody has died for GRACE since the answer, a job starts only while fewer run than the limit.
What runs by then goes on. (If the ventilator dies before it has back what workers had from before there was a limit, it
counts each of those leases for one job.)
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from penstock.job.spec import BatchSpec, JobState
from penstock.ventilator.start_conditions import StartConditions
from penstock.wire.desk_messages import SetBatch
from scenarios.test_pauses import GRACE, HEAL, OrderingWorld, kill_some

SEEDS = range(3)
VIEW = b"view".ljust(16)
BATCHES = tuple(name.ljust(16) for name in (b"one", b"two", b"three", b"four"))


def live(folder: Path, seed: int) -> list[tuple[float, set[tuple[str, bytes, int]]]]:
    """Four batches, two of which share a limit, are changed again and again; then all of them end. Returns when more of
    a batch ran than its limit by then, and which."""
    chance = random.Random(seed)
    world = OrderingWorld(folder, seed, workers=3, slots=3)
    lasts = chance.choice([0.4, 1.0])
    world.fates = lambda *_: ("ok", lasts)
    shared = BatchSpec(max_crashes=100, limit=2, limit_group=VIEW)
    found: list[tuple[float, set[tuple[str, bytes, int]]]] = []
    try:
        world.run(world.now + 1.0)
        for place, batch in enumerate(BATCHES):
            spec = shared if place < 2 else BatchSpec(max_crashes=100)
            world.client.submit(batch, spec, [chance.choice([1, 6])] * int(16 / lasts))
        world.run(world.now + 1.0)
        for _ in range(5):
            batch = chance.choice(BATCHES)
            limit, priority = chance.choice([None, 1, 2, 4]), chance.choice([None, 0, 1])
            world.client.order(SetBatch(next(world.client.numbers), batch, priority, limit))
            world.run_until(lambda: not world.client.open, HEAL)
            if limit is not None:
                world.specs[batch] = replace(world.specs[batch], limit=limit, limit_group=b"")
                running = world.running[VIEW]
                world.running[batch] |= {one for one in running if one[1] == batch}
                running -= world.running[batch]
            world.run(world.now + GRACE)
            world.exceeded.clear()
            world.run(world.now + 2.0)
            kill_some(world, chance)
            world.run(world.now + GRACE)
            found += world.exceeded
        world.run_until(lambda: world.settled, HEAL)
        world.judge()
        assert {head.state for head in world.client.outcomes.values()} == {JobState.SUCCEEDED}
    finally:
        world.close()
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_no_more_than_the_newest_limit_start_and_all_of_it_ends(tmp_path: Path, seed: int) -> None:
    """Whoever dies; the ventilator's own counts are right in each turn."""
    assert live(tmp_path, seed) == []


def test_without_giving_anew_more_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: workers keep what they were given without a limit, and run several jobs of it at once."""
    monkeypatch.setattr(StartConditions, "give_anew", lambda *_: None)
    assert any(live(tmp_path / str(seed), seed) for seed in range(20))
