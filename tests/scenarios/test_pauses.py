"""Batches are paused and resumed on the virtual network, while stations and workers are killed.

What is promised: from the answer to a pause on no worker is given a job of it any more, whatever dies. A job that a
worker had before may start until the worker has handed it back: it is asked to at once, and again every RESEND seconds
as long as it is connected. So once nobody has died for GRACE nothing of what is paused starts.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.job.spec import BatchSpec, JobState
from penstock.ventilator.start_conditions import StartConditions
from penstock.ventilator.store import QueueStore
from penstock.wire.bounds import RESEND
from penstock.wire.desk_messages import Done, Pause, SetBatch
from penstock.wire.records import Bytes, Message
from support.sim.client import ClientNode
from support.sim.network import RECONNECT
from support.sim.world import World

SEEDS = range(5)
GRACE = RESEND + 2 * RECONNECT + 1.0
"""Seconds in which a request that was lost with its connection is made again, and answered."""
QUIET = 4.0
"""Seconds for which it is looked whether something starts all the same."""
HEAL = 400.0
BATCHES = tuple(name.ljust(16) for name in (b"one", b"two", b"three"))
ALL = b""


class OrderingClient(ClientNode):
    """Says an order again until it is answered."""

    open: dict[int, Pause | SetBatch]

    def order(self, order: Pause | SetBatch) -> None:
        """It is answered when `open` is empty."""
        self.open = {order.number: order}
        self.links.send("desk", order)

    def pause(self, batch: bytes, *, resumes: bool = False) -> None:
        """Ask for a pause, or its end."""
        self.order(Pause(next(self.numbers), batch, resumes))

    def ask_again(self) -> None:
        super().ask_again()
        for order in getattr(self, "open", {}).values():
            self.links.send("desk", order)

    def on_answer(self, message: Message, payload: Bytes) -> None:
        if isinstance(message, Done):
            self.open.pop(message.number, None)
        super().on_answer(message, payload)


class OrderingWorld(World):
    """With such a client."""

    client: OrderingClient
    client_type = OrderingClient


def kill_some(world: OrderingWorld, chance: random.Random) -> None:
    """The ventilator, at a random point of one of its next turns, or a worker; both come back."""
    node = chance.choice([world.ventilator, world.ventilator, *world.workers])
    if node is world.ventilator and chance.random() < 0.7:
        where = chance.choice(["before commit", "after commit", "after send"])
        node.crash_at = (node.turns + chance.randrange(1, 6), where)
    else:
        world.crash(node)
    world.run(world.now + chance.uniform(0.1, 0.6))
    world.crash(node)
    world.start(node)


def order(world: OrderingWorld, chance: random.Random, batch: bytes, *, resumes: bool = False) -> None:
    """A pause or its end, until that is answered; somebody dies meanwhile, and after it."""
    world.client.pause(batch, resumes=resumes)
    if chance.random() < 0.6:
        kill_some(world, chance)
    world.run_until(lambda: not world.client.open, HEAL)
    for _ in range(chance.randrange(3)):
        kill_some(world, chance)


def live(folder: Path, seed: int) -> tuple[list[tuple[bytes, float]], int]:
    """Three batches, each paused and resumed, as is the pipeline, in random order; then all of them end. Returns what
    started while it was paused and had to be quiet, and how many jobs of other batches started in these times."""
    chance = random.Random(seed)
    world = OrderingWorld(folder, seed, workers=3, slots=2)
    lasts = chance.choice([0.3, 2.5])
    world.fates = lambda *_: ("ok", lasts)
    wrong: list[tuple[bytes, float]] = []
    others = 0
    try:
        world.run(world.now + 1.0)
        for batch in BATCHES:
            world.client.submit(batch, BatchSpec(max_crashes=100), [chance.choice([1, 4])] * int(40 / lasts))
        world.run(world.now + 1.0)
        for what in chance.sample([*BATCHES, ALL], 4):
            order(world, chance, what)
            world.run(world.now + GRACE)
            begun = world.now
            world.run(begun + QUIET)
            for (batch, _), starts in world.starts.items():
                late = [(batch, at) for at, _, _ in starts if at > begun]
                if what in (batch, ALL):
                    wrong += late
                else:
                    others += len(late)
            order(world, chance, what, resumes=True)
        world.run_until(lambda: world.settled, HEAL)
        world.judge()
        assert {head.state for head in world.client.outcomes.values()} == {JobState.SUCCEEDED}
    finally:
        world.close()
    return wrong, others


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_of_what_is_paused_starts_and_all_of_it_ends_when_it_goes_on(tmp_path: Path, seed: int) -> None:
    """Whoever dies; other batches go on meanwhile."""
    wrong, others = live(tmp_path, seed)
    assert wrong == []
    assert others > 0


def without_a_pause(patch: pytest.MonkeyPatch) -> None:
    """Paused batches are given out."""
    patch.setattr(StartConditions, "_is_paused", lambda *_: False)


def without_asking_back(patch: pytest.MonkeyPatch) -> None:
    """Workers keep what they have not started."""
    patch.setattr(StartConditions, "_recall", lambda *_: None)


def without_asking_again(patch: pytest.MonkeyPatch) -> None:
    """They are asked once, and never heard of it if the connection was down."""
    recall = StartConditions._recall

    def once(self: StartConditions, batch: object, now: float) -> None:
        recall(self, batch, now)  # type: ignore[arg-type]
        self._not_to_begin.clear()

    patch.setattr(StartConditions, "_recall", once)


def without_saving(patch: pytest.MonkeyPatch) -> None:
    """A restart forgets it."""
    save = QueueStore.save
    forgets = ("SaveSpec", "SavePause")
    patch.setattr(
        QueueStore, "save", lambda self, saves: save(self, [one for one in saves if type(one).__name__ not in forgets])
    )


@pytest.mark.parametrize(
    ("control", "first"),
    [(without_a_pause, 0), (without_asking_back, 0), (without_asking_again, 13), (without_saving, 0)],
)
def test_without_one_rule_something_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, control: Callable[[pytest.MonkeyPatch], None], first: int
) -> None:
    """The controls: some schedule goes wrong; `first`: the one from which on they are tried."""
    control(monkeypatch)
    assert any(live(tmp_path / str(seed), seed)[0] for seed in range(first, first + 40))
