"""Fair shares and priorities on the virtual network, while all workers have as much of a huge batch as they look ahead.

What is measured is counted in durations of one job, and shown to be much more with the rule switched off.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.job.spec import BatchSpec
from penstock.ventilator.known_worker import Worker
from penstock.worker.fair_shares import Shares
from penstock.worker.held_lease import HeldLease
from support.sim.world import World

HUGE, SMALL = b"huge".ljust(16), b"small".ljust(16)
SECONDS = 2.0
"""That each job takes."""
JOBS = 4
"""Of the small batch: one for each slot."""
PATIENCE = 100 * SECONDS
MANY = 10
"""Durations after which it is not waited for any longer."""


def waited(folder: Path, spec: BatchSpec, *, small: list[int]) -> float:
    """How many job durations pass from the submission of a small batch until all of it has started."""
    world = World(folder, 7, workers=2, slots=2, checking=False)
    world.fates = lambda *_: ("ok", SECONDS)
    try:
        world.client.submit(HUGE, BatchSpec(), [200] * 12)
        world.run_until(lambda: len(world.starts) > 20, PATIENCE)
        since = world.now
        world.client.submit(SMALL, spec, small)
        while world.now < since + MANY * SECONDS and any((SMALL, index) not in world.starts for index in range(JOBS)):
            world.step()
        return (world.now - since) / SECONDS
    finally:
        world.close()


@pytest.mark.parametrize("small", [[JOBS], [1] * JOBS])
def test_a_small_batch_has_its_share_at_once(tmp_path: Path, small: list[int]) -> None:
    """Of four slots it has two, as soon as jobs that run have ended: two jobs, then two."""
    assert waited(tmp_path, BatchSpec(), small=small) < 2.1


@pytest.mark.parametrize("small", [[JOBS], [1] * JOBS])
def test_an_urgent_batch_has_all_slots_at_once(tmp_path: Path, small: list[int]) -> None:
    """It starts in each slot as soon as the job that runs there has ended."""
    assert waited(tmp_path, BatchSpec(priority=1), small=small) < 1.1


def nothing_owed(patch: pytest.MonkeyPatch) -> None:
    """Workers get no more than they want, whatever it is."""
    patch.setattr(Worker, "owes", lambda *_: False)


def oldest_first(patch: pytest.MonkeyPatch) -> None:
    """A worker starts what it got first."""

    def first(self: Shares) -> HeldLease | None:
        waiting = [share.leases[0] for share in self._shares.values() if share.leases]
        return min(waiting, key=lambda one: one[0])[1] if waiting else None

    patch.setattr(Shares, "first", first)


@pytest.mark.parametrize("spec", [BatchSpec(), BatchSpec(priority=1)])
@pytest.mark.parametrize("rule_off", [nothing_owed, oldest_first])
def test_without_the_rule_it_waits_for_whole_leases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule_off: Callable[[pytest.MonkeyPatch], None], spec: BatchSpec
) -> None:
    """Of two hundred jobs each."""
    rule_off(monkeypatch)
    monkeypatch.setattr(Shares, "drop", drop_anywhere)
    assert waited(tmp_path, spec, small=[JOBS]) >= MANY


def drop_anywhere(self: Shares, held: HeldLease) -> None:
    """As `drop`, also of a lease whose turn it is not."""
    self._share(held).leases.remove((held.lease.number, held))
    self.waiting -= 1
    self._forget(held)


def test_a_huge_batch_of_short_jobs_leaves_a_share_to_another(tmp_path: Path) -> None:
    """Pieces are in slots ahead of what runs: the other batch gets every second one."""
    world = World(tmp_path, 7, workers=1, slots=1)
    world.fates = lambda *_: ("ok", 0.01)
    try:
        world.client.submit(HUGE, BatchSpec(), [2000] * 4)
        world.run_until(lambda: len(world.starts) > 100, PATIENCE)
        before = len(world.starts)
        world.client.submit(SMALL, BatchSpec(), [50])
        world.run_until(lambda: (SMALL, 49) in world.starts, PATIENCE)
        assert len(world.starts) - before < 50 * 2 + 20
    finally:
        world.close()
