"""When, where and how many at once, on the virtual network: under random faults, and with the rules switched off.

A limit is kept whatever is killed, restarted or drained. What a worker that nobody can reach still runs is not counted:
its jobs may run elsewhere by then, so those faults are not among these.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pytest

from penstock.job.spec import BatchSpec
from penstock.ventilator.jobs_model import Batch
from penstock.ventilator.known_worker import Worker
from penstock.ventilator.open_leases import LimitGroups, OpenLeases
from penstock.ventilator.start_conditions import StartConditions
from penstock.wire.records import BatchHead, Lease
from penstock.worker.held_lease import HeldLease
from scenarios.test_schedules import HEAL, heal, is_settled
from support.sim.nodes import WorkerNode
from support.sim.world import World

SEEDS = range(8)
CONTROL_SEEDS = range(60)
"""Schedules that are tried until one goes wrong."""
VIEW = b"one view".ljust(16)
TAGS = (("gpu",), ("gpu", "big"), ())


def fate(batch: bytes, index: int, stamp: object) -> tuple[str, float]:
    """Jobs of many lengths."""
    return ("ok", (0.002, 0.03, 0.3)[(index * 7 + batch[0]) % 3])


def specs(world: World, chance: random.Random) -> list[BatchSpec]:
    """Batches with all kinds of terms, alone and together."""
    soon = world.now + chance.uniform(0.2, 4.0)
    return [
        BatchSpec(limit=chance.choice([1, 2, 3])),
        BatchSpec(limit=2, needs=("gpu",), priority=chance.choice([0, 1])),
        BatchSpec(needs=("gpu",), not_before_time=soon),
        BatchSpec(worker="w2", priority=chance.choice([-1, 0])),
        BatchSpec(needs=("big", "gpu"), max_crashes=1),
        BatchSpec(worker="host", limit=1, expires_time=soon),
        BatchSpec(),
        BatchSpec(limit=2, limit_group=VIEW),
        BatchSpec(limit=2, limit_group=VIEW, needs=("gpu",)),
        BatchSpec(limit=2, limit_group=VIEW, priority=1, max_crashes=1),
    ]


def disturb(world: World, chance: random.Random, seconds: float) -> None:
    """Processes die at any point of a turn and come back, connections drop, workers drain, stations stand still."""
    end = world.now + seconds
    while world.now < end:
        world.run(world.now + chance.uniform(0.05, 0.8))
        node = chance.choice([world.ventilator, world.sink, *world.workers])
        match chance.choice(["crash", "turn", "pause", "reset", "stop"]):
            case "crash" if node.alive:
                world.crash(node)
                world.at(world.now + chance.uniform(0.1, 3.0), partial(world.start, node))
            case "turn" if node.alive and not isinstance(node, WorkerNode):
                where = chance.choice(["before commit", "after commit", "after send"])
                node.crash_at = (node.turns + chance.randrange(1, 20), where)
                world.at(world.now + chance.uniform(1.0, 3.0), partial(world.start, node))
            case "pause" if node is world.sink:
                world.pause(node, chance.choice([0.5, 2.0, 4.0]))
            case "reset":
                world.disconnect(chance.choice(list(world.connections.values())))
            case "stop" if node.alive and isinstance(node, WorkerNode):
                world.stop_worker(node)
                world.at(world.now + chance.uniform(1.0, 3.0), partial(world.start, node))
            case _:
                pass


def trial(folder: Path, seed: int) -> World:
    """A schedule: batches with terms, faults, and the end of all of them; AssertionError if something is wrong."""
    world = World(folder, seed, tags=TAGS)
    chance = random.Random(seed)
    world.fates = fate
    try:
        for spec in specs(world, chance):
            world.client.submit(chance.randbytes(16), spec, [chance.choice([1, 7, 40]) for _ in range(3)])
            disturb(world, chance, chance.uniform(0.0, 1.5))
        heal(world)
        world.run_until(partial(is_settled, world), HEAL)
        world.judge()
        assert not world.exceeded, f"ran beyond the limit: {world.exceeded[:2]}"
    finally:
        world.close()
    return world


def trials(folder: Path, seeds: Iterable[int]) -> None:
    """Schedules, one after the other."""
    for seed in seeds:
        trial(folder / str(seed), seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_terms_are_kept_whatever_dies(tmp_path: Path, seed: int) -> None:
    """No more than the limit at once, nothing before its time, nothing where it may not; and all of it in the end."""
    trial(tmp_path, seed)


def no_gate(patch: pytest.MonkeyPatch) -> None:
    """Batches begin at once."""
    patch.setattr(StartConditions, "_look", lambda *_: None)


def no_place(patch: pytest.MonkeyPatch) -> None:
    """Every worker fits."""
    patch.setattr(Worker, "fits", lambda *_: True)


def no_lanes(patch: pytest.MonkeyPatch) -> None:
    """As many leases go out as there is credit for."""
    patch.setattr(OpenLeases, "is_full", property(lambda _: False))
    patch.setattr(OpenLeases, "is_last", property(lambda _: False))


def no_groups(patch: pytest.MonkeyPatch) -> None:
    """Each batch counts for itself, whatever else came through its view."""

    def join(_: LimitGroups[Batch], spec: BatchSpec, **__: bool) -> OpenLeases[Batch] | None:
        return None if spec.limit is None else OpenLeases(spec.limit)

    patch.setattr(LimitGroups, "join", join)
    patch.setattr(LimitGroups, "leave", lambda *_: None)


def wide_leases(patch: pytest.MonkeyPatch) -> None:
    """A worker runs as many jobs of a lease at once as it has slots."""

    def begin(self: HeldLease, lease: Lease, head: BatchHead) -> None:
        keep(self, lease, head)
        self.serial = False

    keep = HeldLease.__init__
    patch.setattr(HeldLease, "__init__", begin)


@pytest.mark.parametrize("rule_off", [no_gate, no_place, no_lanes, no_groups, wide_leases])
def test_without_the_rule_terms_are_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule_off: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """A bounded number of schedules shows that the rule is missing."""
    rule_off(monkeypatch)
    with pytest.raises(AssertionError, match=r"started|beyond the limit"):
        trials(tmp_path, CONTROL_SEEDS)
