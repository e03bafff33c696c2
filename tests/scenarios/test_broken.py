"""A worker that can run nothing, on the virtual network: its jobs run elsewhere, and it heals."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.job.spec import BatchSpec
from penstock.worker.fitness import Fitness
from support.sim.nodes import WorkerNode
from support.sim.world import World

BATCH = b"batch".ljust(16)
JOBS, PATIENCE = 240, 60.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two workers of two slots; jobs of 20 ms."""
    made = World(tmp_path, 7, workers=2, slots=2)
    made.fates = lambda *_: ("ok", 0.02)
    made.run(made.now + 1.0)
    return made


def held(world: World, worker: WorkerNode) -> int:
    """Jobs that it has not ended, by the ventilator's ledger."""
    jobs: int = world.ventilator.core.ledger.workers[worker.id].jobs
    return jobs


def since(world: World, instant: float) -> set[str]:
    """Who has started jobs since then."""
    return {name for starts in world.starts.values() for at, name, _ in starts if at > instant}


def test_its_jobs_run_elsewhere_and_it_heals(world: World) -> None:
    """Also those that it held; healed it takes its share again."""
    broken, other = world.workers
    try:
        world.client.submit(BATCH, BatchSpec(), [4] * (JOBS // 4))
        world.run(world.now + 0.3)
        broken.slots.fail("no room")
        failed_at = world.now
        world.run(world.now + 0.7)
        assert held(world, broken) == 0
        assert since(world, failed_at) == {other.name}
        broken.slots.mend()
        mended_at = world.now
        world.run_until(lambda: world.settled, PATIENCE)
        world.judge()
        assert since(world, mended_at) == {broken.name, other.name}
    finally:
        world.close()


def test_if_it_did_not_say_so_it_would_be_given_jobs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which wait there, for as long as it lasts, while others are busy."""
    monkeypatch.setattr(Fitness, "unfit", lambda *_: [])
    broken, _ = world.workers
    try:
        world.client.submit(BATCH, BatchSpec(), [4] * (JOBS // 4))
        world.run(world.now + 0.3)
        broken.slots.fail("no room")
        world.run(world.now + 0.7)
        assert held(world, broken) > 0
    finally:
        world.close()
