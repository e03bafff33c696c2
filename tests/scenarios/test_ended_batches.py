"""Batches that ended long ago, of which the ventilator has nothing in memory: they are sent again, retried, cancelled,
deleted and come after, while it dies at any point of a turn."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from penstock.job.spec import BatchSpec, JobState
from penstock.ventilator import ended_batches
from penstock.wire.desk_messages import Delete, Submit
from support.sim.world import World

SEEDS = range(8)
POINTS = ("before commit", "after commit", "after send")
HEAL = 60.0
LATER = 100.0
"""Seconds that pass after all has ended."""


def fates(_batch: bytes, index: int, stamp: object) -> tuple[str, float]:
    """Some fail until they are retried by hand."""
    generation: int = getattr(stamp, "generation", 0)
    return ("fail" if index % 5 == 0 and generation < 1 else "ok"), 0.02


def ended(folder: Path, seed: int) -> tuple[World, list[bytes], list[tuple[Submit, bytes]]]:
    """Some batches that have ended, and what their client had said for that."""
    world = World(folder, seed)
    world.fates = fates
    batches = [world.random.randbytes(16) for _ in range(6)]
    said: list[tuple[Submit, bytes]] = []
    for batch in batches:
        world.client.submit(batch, BatchSpec(), [3] * 4)
        said += world.client.unacked.values()
    world.run_until(lambda: world.settled, HEAL)
    world.run(world.now + LATER)
    assert not world.ventilator.core.ledger.backlog.batches
    return world, batches, said


def disturb(world: World, chance: random.Random) -> None:
    """The ventilator dies soon, and comes back."""
    world.ventilator.crash_at = (world.ventilator.turns + chance.randrange(1, 12), chance.choice(POINTS))
    world.run(world.now + chance.uniform(0.05, 0.6))
    world.crash(world.ventilator)
    world.run(world.now + 0.1)
    world.start(world.ventilator)


def live_again(folder: Path, seed: int) -> World:
    """Once more of all that can be said of them."""
    world, batches, said = ended(folder, seed)
    chance, client = random.Random(seed), world.client
    starts = {job: len(times) for job, times in world.starts.items()}
    new = [chance.randbytes(16) for _ in range(2)]
    for number in range(4):
        for submit, payload in chance.sample(said, 6):
            client.unacked[submit.number] = (submit, payload)  # as if it had never heard of it
            client.links.send("desk", submit, payload)
        client.retry(batches[number], 0, 1 << 60)
        client.cancel(batches[4], 0, 12)
        if number < 2:
            client.submit(new[number], BatchSpec(after=batches[4]), [2] * 2)
            world.cancelled |= {(new[number], index) for index in range(4)}  # for that has not succeeded
        disturb(world, chance)
    world.run(world.now + 5.0)
    world.run_until(lambda: world.settled, HEAL)
    again = {job[0] for job, times in world.starts.items() if len(times) > starts.get(job, 0) and job[0] not in new}
    assert again == set(batches[:4]), "what was retried ran, and nothing else did"
    world.judge()
    assert all(client.outcomes[batch, 0].state is JobState.CANCELLED for batch in new), "what they come after failed"
    return world


@pytest.mark.parametrize("seed", SEEDS)
def test_what_ended_long_ago_is_as_it_was(tmp_path: Path, seed: int) -> None:
    """What is sent again is not run again, what failed can be retried, and what comes after it learns how it ended; a
    while later nothing of it is in memory, and after its deletion nothing in the file."""
    world = live_again(tmp_path, seed)
    world.run(world.now + LATER)
    assert not world.ventilator.core.ledger.backlog.batches
    for batch in world.specs:
        world.client.links.send("desk", Delete(next(world.client.numbers), batch))
    world.run(world.now + HEAL)
    assert world.ventilator.store.batches() == []
    assert world.sink.store.recorded() == []


def test_without_a_look_at_the_file_it_would_not_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: nobody reads what a message names before it comes."""
    monkeypatch.setattr(ended_batches, "_named", lambda _: (set(), set()))
    with pytest.raises(AssertionError):
        live_again(tmp_path, 0)
