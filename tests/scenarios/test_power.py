"""The whole pipeline on machines whose power is cut: what was not synced is lost with the process, sector by sector."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from penstock.errors import Refused, StoreError
from penstock.job.spec import BatchSpec
from penstock.sink.store import ResultStore
from penstock.station import data_folder, store_file
from penstock.ventilator.store import QueueStore
from scenarios.test_schedules import HEAL, heal, is_settled, mixed
from support.faulty_disk import Disk
from support.sim.world import World

SEEDS = range(5)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """Every store is on it; a checkpoint every few turns."""
    monkeypatch.setattr(store_file, "CHECKPOINT_PAGES", 40)
    monkeypatch.setattr(data_folder, "filesystem", lambda _: "ext4")
    made = Disk()
    monkeypatch.setattr(store_file, "sync_folder", made.sync_folder)
    yield made
    made.unregister()


def lose_power(disk: Disk, chance: random.Random, store: QueueStore | ResultStore) -> None:
    """The store's process is gone, and with it what had not reached the platter."""
    folder = store.path.parent
    left = folder.with_name("left")
    with disk.at_rest():
        disk.cut(folder, left, chance)
        store.close()
        disk.restore(left, folder)
        left.rmdir()


def power_cuts(folder: Path, disk: Disk, seed: int, *, durable: bool) -> World:
    """Ventilator and sink lose their power again and again, at every point of a turn, while jobs come in."""
    chance = random.Random(seed)
    world = World(folder, seed, durable=durable)
    world.leave = partial(lose_power, disk, chance)
    world.fates = mixed
    for _ in range(8):
        sizes = [chance.choice([1, 7, 40]) for _ in range(chance.randrange(1, 5))]
        world.client.submit(chance.randbytes(16), BatchSpec(retries=1, retry_delay=0.1, max_crashes=100), sizes)
        node = chance.choice([world.ventilator, world.sink])
        node.crash_at = (node.turns + chance.randrange(1, 12), chance.choice(["before commit", "after send"]))
        world.run(world.now + chance.uniform(0.05, 1.0))
        if node.alive:
            world.crash(node)
        world.start(node)
    heal(world)
    world.run_until(partial(is_settled, world), HEAL)
    world.judge()
    world.close()
    return world


@pytest.mark.parametrize("seed", SEEDS)
def test_power_cuts_lose_nothing_and_nothing_is_recorded_twice(tmp_path: Path, disk: Disk, seed: int) -> None:
    """Every accepted job has its one outcome, and none runs again whose outcome was recorded."""
    world = power_cuts(tmp_path, disk, seed, durable=True)
    assert world.needless == []


def test_without_syncs_jobs_are_lost(tmp_path: Path, disk: Disk) -> None:
    """The control: stores that are not durable. What was acknowledged is gone, or a station is refused for it."""
    for seed in SEEDS:
        try:
            if power_cuts(tmp_path / str(seed), disk, seed, durable=False).needless:
                return
        except (AssertionError, LookupError, StoreError, Refused) as error:
            print(f"seed {seed}: {error}")
            return
    pytest.fail("nothing went wrong")
