"""A worker that lacks what a batch needs, on the virtual network: others run it, and later it is tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.job.spec import BatchSpec
from penstock.ventilator.start_failures import PAUSE, StartFailures
from support.sim.world import World

BATCH, SECOND = b"batch".ljust(16), b"second".ljust(16)
JOBS, PATIENCE = 240, 60.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Three workers of two slots, of which w0 and w1 cannot start what is in BATCH; jobs of 20 ms."""
    made = World(tmp_path, 7, workers=3, slots=2)
    made.fates = lambda *_: ("ok", 0.02)
    made.lacks = lambda name, batch: name != "w2" and batch == BATCH
    made.run(made.now + 1.0)
    return made


def counts(world: World, batch: bytes = BATCH) -> dict[str, int]:
    """How its jobs have ended, by the ventilator's ledger."""
    found: dict[str, int] = world.ventilator.core.ledger.backlog.batches[batch].counts
    return found


def where(world: World, since: float) -> set[str]:
    """Who has run jobs since then."""
    return {name for starts in world.starts.values() for at, name, _ in starts if at >= since}


def test_those_that_have_it_run_all_of_it(world: World) -> None:
    """Not one job fails, or is run twice; other batches run everywhere, and so does this one when it can."""
    try:
        world.client.submit(BATCH, BatchSpec(kind="command"), [4] * (JOBS // 4))
        world.run_until(lambda: world.settled, PATIENCE)
        assert counts(world) == {"succeeded": JOBS}
        assert where(world, 0.0) == {"w2"}
        begun = world.now
        world.client.submit(SECOND, BatchSpec(), [4] * (JOBS // 4))
        world.run_until(lambda: world.settled, PATIENCE)
        assert where(world, begun) == {"w0", "w1", "w2"}
        world.judge()
    finally:
        world.close()


def test_who_has_it_later_runs_some_of_it(world: World) -> None:
    """It is tried again after a while, also while the batch lasts."""
    world.fates = lambda *_: ("ok", 1.0)
    try:
        world.client.submit(BATCH, BatchSpec(kind="command"), [4] * (JOBS // 4))
        world.run(world.now + 5.0)
        mended_at, world.lacks = world.now, lambda *_: False
        world.run_until(lambda: world.settled, 3 * PAUSE + PATIENCE)
        assert where(world, 0.0) == {"w0", "w1", "w2"}
        assert min(at for starts in world.starts.values() for at, name, _ in starts if name != "w2") > mended_at
        assert counts(world) == {"succeeded": JOBS}
        world.judge()
    finally:
        world.close()


def test_without_the_rule_most_of_it_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: who fails at once is always free for the next."""
    monkeypatch.setattr(StartFailures, "may_go_elsewhere", lambda *_: False)
    try:
        world.client.submit(BATCH, BatchSpec(kind="command"), [4] * (JOBS // 4))
        world.run_until(lambda: world.settled, PATIENCE)
        assert counts(world)["failed"] > JOBS // 2
    finally:
        world.close()
