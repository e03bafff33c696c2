"""One bit of a store is flipped while the stations are down: every job comes to an outcome all the same.

As a program: ``PYTHONPATH=tests python tests/scenarios/test_flipped_bits.py COUNT SEED``.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import Refused, StoreError
from penstock.job.spec import BatchSpec, JobState
from penstock.sink.contract import ReadLines, ReadRows
from penstock.station import loop
from penstock.wire.records import Completion
from support.damage_sweep import repaired
from support.sim.client import CLIENT
from support.sim.world import World

HEAL = 60.0
SEEDS = range(16)


def fates(_batch: bytes, index: int, stamp: Any) -> tuple[str, float]:
    """Some fail until they are retried, some crash once."""
    if index % 7 == 3:
        return ("fail" if stamp.generation == 0 else "ok", 0.01)
    if index % 11 == 5:
        return ("crash" if stamp.crashes == 0 else "ok", 0.01)
    return ("ok", 0.02)


def at_work(folder: Path, seed: int) -> World:
    """Batches are under way, one of them was retried, one is deleted; then both stations are down."""
    chance = random.Random(seed)
    world = World(folder, seed)
    world.fates = fates
    batches = [chance.randbytes(16) for _ in range(3)]
    for batch in batches:
        world.client.submit(batch, BatchSpec(retries=chance.randrange(2), retry_delay=0.1), [10] * 6)
    world.run(world.now + chance.uniform(0.1, 1.5))
    world.client.retry(batches[0], 0, 1 << 60)
    world.client.cancel(batches[1], 50, 60)
    world.run(world.now + chance.uniform(0.1, 1.0))
    world.crash(world.ventilator)
    world.crash(world.sink)
    return world


def flip(path: Path, chance: random.Random) -> str:
    """One bit, somewhere; where."""
    content = bytearray(path.read_bytes())
    at, bit = chance.randrange(len(content)), chance.randrange(8)
    content[at] ^= 1 << bit
    path.write_bytes(content)
    return f"{path.name} {at}.{bit}"


def heal(world: World) -> str:
    """Start both, as their operator does: what a station says is done. What came of it."""
    said = "contained"
    for node, name in ((world.sink, "results.db"), (world.ventilator, "queue.db")):
        try:
            world.start(node)
        except StoreError:
            node.alive = False
            repaired(world.folder / name.removesuffix(".db"), name)
            said = "repaired"
            world.accepts_older = True
            world.start(node)
    return said


def lines_of(sink: Any, batches: Iterable[bytes]) -> tuple[Completion, ...]:
    """The sound lines of its log: what is damaged, also in their values, is contained as for whoever reads it."""
    lost: list[Any] = []
    for batch in batches:
        lost += sink.perform(ReadRows(CLIENT, batch, 0, 1 << 30))
        *found, _ = sink.read_rows()
        lost += found
    *found, read = sink.perform(ReadLines(0, 1 << 30))
    list(loop.turn(sink, lost + found))
    lines: tuple[Completion, ...] = read.records
    return lines


def settled(world: World) -> bool:
    """Every job has its outcome, and ledger and log are of one mind."""
    ledger, store = world.ventilator.core.ledger, world.sink.store
    return world.settled and (ledger.applied, ledger.chain) == store.head()


def one(folder: Path, seed: int) -> str:
    """A whole story; what came of it."""
    world = at_work(folder, seed)
    chance = random.Random(seed)
    name = chance.choice(("queue.db", "results.db"))
    where = flip(world.folder / name.removesuffix(".db") / name, chance)
    try:
        said = heal(world)
        world.read_anew(lines_of(world.sink.station, world.specs))
        world.run(world.now + 3.0)
        world.run_until(partial(settled, world), HEAL)
        world.judge()
    except (AssertionError, StoreError, Refused) as error:
        raise AssertionError(f"seed {seed}, {where}: {error}") from error
    dead = [head for head in world.client.outcomes.values() if head.state is JobState.DEAD]
    causes = {head.note.cause for head in dead if head.note}
    assert all("damaged" in cause or "lost" in cause for cause in causes), causes
    found = sum(node.store.damages() != [] for node in (world.ventilator, world.sink))
    return said if found or said == "repaired" else "as it was"


@pytest.mark.parametrize("seed", SEEDS)
def test_every_job_comes_to_an_outcome(tmp_path: Path, seed: int) -> None:
    """Its own, or dead, with what was damaged; and the stations go on, if need be on a file that was repaired."""
    print(one(tmp_path, seed))


def main() -> int:
    """Many of them."""
    count, first = int(sys.argv[1]), int(sys.argv[2])
    seen: Counter[str] = Counter()
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory() as folder:
            try:
                seen[one(Path(folder), seed)] += 1
            except Exception as error:  # noqa: BLE001 - all that can go wrong is counted
                print(f"seed {seed}: {type(error).__name__} {str(error)[:300]}", flush=True)
                seen["WRONG"] += 1
    print(f"{count} flips from seed {first}: {dict(seen)}")
    return min(seen["WRONG"], 1)


if __name__ == "__main__":
    sys.exit(main())
