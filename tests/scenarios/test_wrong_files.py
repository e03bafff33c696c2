"""A station is started on a file that does not go with the other's, for some seconds, and then on the right one again:
nothing is lost for it, nothing runs again. Each rule of the pairing is switched off, too, and something goes wrong."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.job.spec import BatchSpec
from penstock.sink.pairing import Pairing as SinkPairing
from penstock.ventilator.pairing import Pairing as VentilatorPairing
from penstock.wire.messages import Greeting
from penstock.worker.core import WorkerCore
from scenarios.test_controls import needless
from scenarios.test_schedules import is_settled
from support.sim.nodes import StationNode
from support.sim.world import World

HEAL = 60.0
WRONG_TIME = 6.0
"""Virtual seconds on the wrong file: longer than a lease."""
SEEDS = range(20)


def swapped(node: StationNode, own: Path, other: Path) -> None:
    """A life of the node on another folder in place of its own; it may end by itself."""
    world = node.world
    world.crash(node)
    aside = own.with_name("aside")
    own.rename(aside)
    if other.exists():
        shutil.copytree(other, own)
    world.start(node)
    world.run(world.now + WRONG_TIME)
    world.crash(node)
    shutil.rmtree(own)
    aside.rename(own)
    if node is world.sink:
        world.forget_lines_but(own)
    world.start(node)


def copied(node: StationNode, own: Path, to: Path) -> None:
    """The node's file as it is now."""
    node.world.crash(node)
    shutil.copytree(own, to)
    node.world.start(node)


def wrong(world: World, chance: random.Random, who: str, *, is_older: bool) -> str:
    """What goes wrong where the file of a station is another one for a while: a new one, or a copy of before."""
    node: StationNode = getattr(world, who)
    own, other = world.folder / {"sink": "results", "ventilator": "queue"}[who], world.folder / "other"
    world.fates = lambda *_: ("ok", 0.3)
    world.client.submit(chance.randbytes(16), BatchSpec(), [2] * 12)
    world.run(world.now + chance.uniform(0.5, 1.5))
    if is_older:
        copied(node, own, other)
    world.run(world.now + 3.0)
    world.client.submit(chance.randbytes(16), BatchSpec(), [2] * 60)
    world.run(world.now + chance.uniform(1.5, 3.0))
    try:
        swapped(node, own, other)
        world.run_until(partial(is_settled, world), HEAL)
        world.judge()
    except (AssertionError, LookupError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    agreed = [str(log) for log in world.logged if log.event == "sink_agreed"]
    return "; ".join([*needless(world), *agreed])


def trial(folder: Path, seed: int, who: str, *, is_older: bool) -> str:
    """The same in a world of its own."""
    world = World(folder / f"{who}-{is_older}-{seed}", seed)
    try:
        return wrong(world, random.Random(seed), who, is_older=is_older)
    finally:
        world.close()


CASES = [("sink", False), ("sink", True), ("ventilator", False), ("ventilator", True)]
NAMES = ["new results", "older results", "new queue", "older queue"]


@pytest.mark.parametrize(("who", "is_older"), CASES, ids=NAMES)
def test_a_wrong_file_costs_nothing(tmp_path: Path, who: str, *, is_older: bool) -> None:
    """No outcome, no start, no accepted job."""
    assert [found for seed in SEEDS[:4] if (found := trial(tmp_path, seed, who, is_older=is_older))] == []


def any_greeting(self: WorkerCore, greeting: Greeting, now: float) -> None:
    """Whoever's it is."""
    GREETED(self, replace(greeting, pipeline=b""), now)


GREETED = WorkerCore._on_greeting
Rule = tuple[type[Any], str, Callable[..., Any]]
ADMITS: Rule = VentilatorPairing, "admits", lambda *_: True
ADMITS_DIVERGENCE: Rule = VentilatorPairing, "admits_divergence", lambda *_: True
HEARS: Rule = SinkPairing, "take", lambda *_: (True, [])
GOES_TO_ANY: Rule = WorkerCore, "_on_greeting", any_greeting
CONTROLS = {
    "new results": [ADMITS, ADMITS_DIVERGENCE],
    "older results": [ADMITS, ADMITS_DIVERGENCE],
    "new queue": [ADMITS, HEARS, GOES_TO_ANY],
    "older queue": [HEARS],
}


@pytest.mark.parametrize("name", CONTROLS)
def test_without_the_rule_it_costs_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Jobs run again although their outcomes were recorded, or what was accepted is gone."""
    for rule in CONTROLS[name]:
        monkeypatch.setattr(*rule)
    who, is_older = CASES[NAMES.index(name)]
    found = next(filter(None, (trial(tmp_path, seed, who, is_older=is_older) for seed in SEEDS)), "")
    print(f"{name}: {found}")
    assert found
