"""The whole pipeline on the virtual network: random faults, every invariant after every turn, one outcome each.

A schedule is its seed: ``PENSTOCK_SEED=17 pytest tests/scenarios/test_schedules.py -k random`` replays number 17 alone;
PENSTOCK_SCHEDULES says how many are tried.
"""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from penstock.job.spec import BatchSpec
from penstock.ventilator import jobs_model
from penstock.wire import parts, streams
from penstock.wire.records import Part
from support.sim.network import Node
from support.sim.nodes import WorkerNode
from support.sim.world import World

SCHEDULES = int(os.environ.get("PENSTOCK_SCHEDULES", "40"))
SEED = os.environ.get("PENSTOCK_SEED")
SEEDS = [int(SEED)] if SEED else list(range(SCHEDULES))
STEP = 1 if SCHEDULES >= 100 else 3
"""Every third turn of a node is enough for every day."""
HEAL = 60.0
"""Virtual seconds within which everything is over once the faults have stopped."""


def mixed(batch: bytes, index: int, stamp: Any) -> tuple[str, float]:
    """Jobs of many lengths; some fail once, some crash once, some always crash, some fail until they are retried."""
    if index % 31 == 5:
        return ("fail" if stamp.generation == 0 else "ok", 0.01)
    if index % 41 == 7:
        return ("fail" if stamp.failures == 0 else "ok", 0.01)
    if index % 53 == 11:
        return ("crash" if stamp.crashes == 0 else "ok", 0.02)
    if index % 97 == 13:
        return ("crash", 0.02)
    if index % 61 == 3:
        return ("ok", 1.5)
    return ("ok", 0.002)


def disturb(world: World, chance: random.Random, seconds: float) -> None:
    """Random faults for a while, and retries."""
    end = world.now + seconds
    while world.now < end:
        world.run(world.now + chance.uniform(0.05, 1.0))
        node = chance.choice([world.ventilator, world.sink, *world.workers])
        match chance.choice(["crash", "turn", "pause", "cut", "one-way", "reset", "stop", "retry"]):
            case "retry":
                start = chance.choice([0, 0, chance.randrange(60)])
                stop = chance.choice([start + 1, 1 << 60])
                world.client.retry(chance.choice(sorted(world.specs)), start, stop)
            case "crash" if node.alive:
                world.crash(node)
                world.at(world.now + chance.uniform(0.1, 4.0), partial(world.start, node))
            case "turn" if node.alive and not isinstance(node, WorkerNode):
                where = chance.choice(["before commit", "after commit", "after send"])
                node.crash_at = (node.turns + chance.randrange(1, 20), where)
                world.at(world.now + chance.uniform(1.0, 4.0), partial(world.start, node))
            case "pause":
                world.pause(node, chance.choice([0.5, 2.0, 4.0, 8.0]))
            case "cut":
                world.cut(chance.choice(list(world.connections.values())), chance.choice([0.5, 1.0, 3.0, 8.0]))
            case "one-way":
                connection = chance.choice(list(world.connections.values()))
                one_way = chance.choice([connection.outer, connection.inner])
                world.cut(connection, chance.choice([0.5, 1.0, 3.0, 8.0]), one_way)
            case "reset":
                world.disconnect(chance.choice(list(world.connections.values())))
            case "stop" if node.alive and isinstance(node, WorkerNode):
                world.stop_worker(node)
                world.at(world.now + chance.uniform(1.0, 4.0), partial(world.start, node))
            case _:
                pass


def heal(world: World) -> None:
    """Everything is up again and stays so."""
    for node in world.nodes:
        node.crash_at = None
        world.start(node)
    world.run(world.now + 10.0)
    for node in world.nodes:
        world.start(node)


def is_settled(world: World) -> bool:
    """Every job has its outcome."""
    return world.settled


def is_over(world: World, node: Node) -> bool:
    """The node crashed, or everything ended before it could."""
    return not node.alive or world.settled


@pytest.mark.parametrize("seed", SEEDS)
def test_random_faults_lose_nothing_and_record_once(tmp_path: Path, seed: int) -> None:
    """Whatever dies, pauses or is cut off, and whenever: every accepted job gets one outcome."""
    print(f"seed {seed}")
    random_faults(tmp_path, seed)


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly all that workers are told and tell the sink goes in parts, of which few are under way."""
    monkeypatch.setattr(parts, "WHOLE_BYTES", 40)
    monkeypatch.setattr(streams, "PART_BYTES_LEAST", 16)
    monkeypatch.setattr(streams, "WINDOW_FIRST", 64)
    monkeypatch.setattr(streams, "WINDOW_MOST", 256)


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("seed", SEEDS[:8])
def test_random_faults_while_all_goes_in_parts(tmp_path: Path, seed: int) -> None:
    """The same, with half of a message on its way at any time."""
    print(f"seed {seed}")
    counts = random_faults(tmp_path, seed)
    assert min(counts["<control"], counts["outcomes>"]) > 20, counts


def random_faults(folder: Path, seed: int) -> Counter[str]:
    """Faults of this seed, and every job has one outcome; returns how many parts were sent, by direction."""
    world = World(folder, seed)
    counts: Counter[str] = Counter()
    world.carried = lambda direction, message, size: counts.update(  # type: ignore[method-assign]
        [direction] * (isinstance(message, Part) and size > 0)
    )
    chance = random.Random(seed)
    world.fates = mixed
    spec = BatchSpec(retries=1, retry_delay=0.1)
    batches = [chance.randbytes(16) for _ in range(3)]
    for batch in batches:
        sizes = [chance.choice([1, 1, 7, 40]) for _ in range(chance.randrange(1, 12))]
        world.client.submit(batch, spec, sizes)
        disturb(world, chance, chance.uniform(1.0, 8.0))
    heal(world)
    world.run_until(lambda: world.settled, HEAL)
    for batch in batches:
        world.client.retry(batch, 0, 1 << 60)
    world.run_until(lambda: world.settled, HEAL)
    world.judge()
    world.close()
    return counts


POISON = {7, 20, 33}


def poisoned(world: World, chance: random.Random) -> None:
    """Some jobs kill the worker that runs them, among others that last."""
    seconds = [chance.uniform(0.001, 0.4 if index in POISON else 1.5) for index in range(42)]
    world.fates = lambda _, index, __: ("kill" if index in POISON else "ok", seconds[index])
    world.client.submit(chance.randbytes(16), BatchSpec(), [3] * 14)
    world.run_until(lambda: world.settled, 10 * HEAL)


def innocents(world: World) -> list[int]:
    """Those that were declared dead for what others did."""
    outcomes = world.client.outcomes.items()
    return sorted(index for (_, index), head in outcomes if head.state == "dead" and index not in POISON)


@pytest.mark.parametrize("seed", SEEDS[:12])
def test_nobody_is_dead_for_what_others_did(tmp_path: Path, seed: int) -> None:
    """Jobs that kill their worker are dead after max_crashes; who ran beside them three times is not."""
    world = World(tmp_path, seed)
    poisoned(world, random.Random(seed))
    world.judge()
    assert innocents(world) == []
    assert {index for (_, index), head in world.client.outcomes.items() if head.state == "dead"} == POISON
    world.close()


def cancel_request(world: World, chance: random.Random) -> None:
    """All that has not started is cancelled while messages are lost, the ventilator restarts and workers die."""
    world.fates = lambda _, index, stamp: ("fail" if index % 5 == 2 and stamp.failures == 0 else "ok", 0.7)
    batch = chance.randbytes(16)
    world.client.submit(batch, BatchSpec(retries=3, retry_delay=4.0), [3] * 12)
    world.run(world.now + chance.uniform(0.3, 2.0))
    world.loss = chance.choice([0.0, 0.2])
    for index in range(36):
        if chance.random() < 0.5:
            world.client.recall(batch, index, index + 1)
    world.client.recall(batch, 0, 36)
    world.run(world.now + chance.uniform(0.001, 1.0))
    node = chance.choice([world.ventilator, *world.workers])
    world.crash(node)
    world.start(node)
    world.run(world.now + 6.0)
    world.loss = 0.0


@pytest.mark.parametrize("seed", SEEDS[:20])
def test_what_is_cancelled_unstarted_never_starts(tmp_path: Path, seed: int) -> None:
    """Lost messages, restarts and lost workers: what the client was told is so, and nothing starts any more."""
    world = World(tmp_path, seed)
    cancel_request(world, random.Random(seed))
    heal(world)
    world.run_until(lambda: world.settled and not world.client.recalls, HEAL)
    world.judge()
    world.close()


def cut_off(world: World, chance: random.Random) -> None:
    """Workers stand still or are cut off while they run jobs, and the ventilator restarts, once or twice; then what has
    not started is cancelled, job by job."""
    world.fates = lambda *_: ("ok", chance.uniform(0.2, 6.0))
    batch = chance.randbytes(16)
    world.client.submit(batch, BatchSpec(retries=3, max_crashes=3), [3] * 12)
    for _ in range(chance.choice([1, 2])):
        world.run(world.now + chance.uniform(0.3, 2.0))
        for worker in chance.sample(world.workers, chance.randint(1, len(world.workers))):
            for connection in world.connections_of[worker]:
                world.cut(connection, chance.uniform(1.0, 25.0))
        world.run(world.now + chance.uniform(0.0, 7.0))
        world.crash(world.ventilator)
        world.start(world.ventilator)
    world.run(world.now + chance.uniform(1.0, 8.0))
    for index in range(36):
        world.client.recall(batch, index, index + 1)

    heal(world)
    world.run_until(lambda: world.settled and not world.client.recalls, HEAL)
    world.judge()
    world.close()


@pytest.mark.parametrize("seed", SEEDS[:20])
def test_what_a_worker_that_is_cut_off_may_have_started_is_not_called_cancelled(tmp_path: Path, seed: int) -> None:
    """Nor after a restart of the ventilator, which knows less."""
    cut_off(World(tmp_path, seed, workers=2), random.Random(seed))


def test_who_counts_only_what_failed_calls_cancelled_what_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: a ventilator that does not reckon with workers that it does not hear."""
    monkeypatch.setattr(jobs_model.Part, "is_untouched", property(lambda part: part.fresh))
    with pytest.raises(AssertionError, match="answered as cancelled before"):
        cut_off(World(tmp_path, 10, workers=2), random.Random(10))


@pytest.mark.parametrize("name", ["sink", "w0"])
def test_who_is_not_let_hear_connects_anew(tmp_path: Path, name: str) -> None:
    """Its control connection comes up, and nothing is said to it: after a lease time it makes another one."""
    world = World(tmp_path, 1, workers=1)
    world.run(world.now + 1.0)
    node = next(node for node in world.nodes if node.name == name)
    world.crash(node)
    world.deafness = 1.0
    world.start(node)
    world.run(world.now + 1.0)
    assert world.faults["deaf"] == 1
    world.deafness = 0.0
    world.client.submit(b"b" * 16, BatchSpec(), [3] * 6)
    world.run_until(lambda: world.settled and not world.connections["control", name].deaf, HEAL)
    world.judge()
    world.close()


def test_without_faults_every_job_runs_once(tmp_path: Path) -> None:
    """No fault, no second start."""
    world = World(tmp_path, 1)
    batch = b"b" * 16
    world.client.submit(batch, BatchSpec(), [100] * 5)
    world.run_until(lambda: world.settled, HEAL)
    world.judge()
    assert {len(starts) for starts in world.starts.values()} == {1}
    world.close()


@pytest.mark.usefixtures("in_parts")
def test_without_faults_every_job_runs_once_in_parts(tmp_path: Path) -> None:
    """And nothing is given or delivered twice meanwhile."""
    test_without_faults_every_job_runs_once(tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_lost_and_repeated_messages_change_nothing(tmp_path: Path, seed: int) -> None:
    """One message in twenty lost, one in twenty twice: every job still gets one outcome."""
    world = World(tmp_path, seed)
    world.loss = world.duplication = 0.05
    world.fates = mixed
    world.client.submit(b"b" * 16, BatchSpec(retries=1, retry_delay=0.1), [30] * 8)
    world.run(world.now + 20)
    world.loss = world.duplication = 0.0
    world.run_until(lambda: world.settled, HEAL)
    world.judge()
    world.close()


def crash_at(folder: Path, who: str, turn: int, where: str) -> World:
    """A run in which a node crashes in that turn, and comes back half a second later."""
    world = World(folder, turn)
    node = next(node for node in world.nodes if node.name == who)
    node.crash_at = (turn, where)
    world.client.submit(b"b" * 16, BatchSpec(), [3] * 6)
    world.run_until(partial(is_over, world, node), HEAL)
    world.run(world.now + 0.5)
    world.start(node)
    world.run_until(partial(is_settled, world), HEAL)
    world.judge()
    world.close()
    return world


WHERE = ["before commit", "after commit", "after send"]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("who", ["ventilator", "sink"])
def test_a_station_that_crashes_at_any_turn_repeats_no_work(tmp_path: Path, who: str, where: str) -> None:
    """A ventilator or sink that is killed at its k-th turn, for each k: every job has its outcome and started once."""
    for turn in range(1, 40, STEP):
        world = crash_at(tmp_path / str(turn), who, turn, where)
        assert {len(starts) for starts in world.starts.values()} == {1}, turn


@pytest.mark.parametrize("where", WHERE)
def test_a_worker_that_crashes_at_any_turn_costs_only_what_it_ran(tmp_path: Path, where: str) -> None:
    """A worker that is killed at its k-th turn, for each k: what was recorded, or ran elsewhere, runs once."""
    for turn in range(1, 40, STEP):
        world = crash_at(tmp_path / str(turn), "w0", turn, where)
        assert world.needless == [], turn
        again = [starts for starts in world.starts.values() if len(starts) > 1]
        assert all(len(starts) == 2 and starts[0][1] == "w0" for starts in again), turn


def outcomes_with_crashes(folder: Path, every: int) -> dict[Any, Any]:
    """The same jobs whatever happens: what each came to. Ventilator, sink and a worker crash five times each, after
    that many turns (0: never), in turn before the commit, after it, after the first send."""
    world = World(folder, 7)
    world.fates = mixed
    wheres = itertools.cycle(WHERE)
    left = Counter(dict.fromkeys((world.ventilator, world.sink, world.workers[0]), 5 if every else 0))

    def arm() -> None:
        for node in left:
            world.start(node)
            if node.crash_at is None and left[node]:
                left[node] -= 1
                node.crash_at = (node.turns + every, next(wheres))
        world.at(world.now + 0.3, arm)

    for batch in (b"a", b"b", b"c"):
        spec = BatchSpec(retries=1, retry_delay=0.1, max_crashes=20)  # more than the workers' own deaths
        world.client.submit(batch * 16, spec, [1, 7, 40] * 2)
    arm()
    world.run_until(partial(is_settled, world), 10 * HEAL)
    world.judge()
    world.close()
    values = world.client.values
    return {job: (head.state, values.get(job)) for job, head in world.client.outcomes.items()}


def test_a_crash_at_every_kth_turn_changes_no_outcome(tmp_path: Path) -> None:
    """The same job list comes to the same outcomes, job by job, however often all stations crash."""
    expected = outcomes_with_crashes(tmp_path / "undisturbed", 0)
    assert len({state for state, _ in expected.values()}) > 1
    for every in (1, 2, 3, 5, 7, 11, 17, 29):
        assert outcomes_with_crashes(tmp_path / str(every), every) == expected, every
