"""What has happened is numbered without a gap, and read without one, whoever dies meanwhile."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

import pytest

from penstock.job.spec import BatchSpec
from penstock.ventilator.event_rows import EventRows
from penstock.wire.desk_messages import EventLine
from support.sim.world import World

SEEDS = range(5)
HEAL = 60.0
POINTS = ("before commit", "after commit", "after send")


def fates(_batch: bytes, index: int, stamp: object) -> tuple[str, float]:
    """Some fail for good, some kill their slot once."""
    crashes: int = getattr(stamp, "crashes", 0)
    return ("fail" if index % 5 == 0 else "crash" if index % 7 == 0 and not crashes else "ok"), 0.02


def lived(folder: Path, seed: int) -> tuple[set[bytes], list[EventLine]]:
    """Batches that have ended while stations died, and what a reader with a cursor has read meanwhile."""
    world, read = World(folder, seed), list[EventLine]()
    world.fates = fates
    chance = random.Random(seed)
    batches = {chance.randbytes(16) for _ in range(6)}

    def look() -> None:
        if world.ventilator.alive:
            read.extend(world.ventilator.store.event_rows.after(len(read), 7))

    for batch in sorted(batches):
        world.client.submit(batch, BatchSpec(name="one"), [3] * 4)
        for _ in range(3):
            world.run(world.now + chance.uniform(0.05, 0.5))
            look()
            node = chance.choice([world.ventilator, world.ventilator, world.sink])
            node.crash_at = (node.turns + chance.randrange(1, 12), chance.choice(POINTS))
            world.run(world.now + chance.uniform(0.05, 0.6))
            node.crash_at = None
            world.start(node)
    world.run_until(lambda: world.settled, HEAL)
    world.run(world.now + 5.0)
    for _ in range(100):
        look()
    world.judge()
    world.close()
    return batches, read


@pytest.mark.parametrize("seed", SEEDS)
def test_a_reader_with_a_cursor_misses_nothing(tmp_path: Path, seed: int) -> None:
    """Every number once and in order; each batch was submitted, then started, then failed for the first time, then
    ended: each of these once, for nobody has opened its jobs again."""
    print(f"seed {seed}")
    batches, read = lived(tmp_path, seed)
    assert [event.number for event in read] == list(range(1, len(read) + 1))
    assert told(read) == {batch: ["submitted", "started", "first_failure", "ended"] for batch in batches}


def told(read: list[EventLine]) -> dict[bytes, list[str]]:
    """What was said of each batch."""
    found = defaultdict(list)
    for event in read:
        if event.batch:
            found[event.batch].append(event.event)
    return found


def test_numbers_that_begin_anew_are_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: after a restart events are given numbers that others have."""
    monkeypatch.setattr(EventRows, "last", lambda _: 0)
    batches, read = lived(tmp_path, 1)
    assert told(read) != {batch: ["submitted", "started", "first_failure", "ended"] for batch in batches}
