"""Stations die while a large output is on its way: it is whole in the end."""

from __future__ import annotations

import hashlib

import pytest

from penstock.client import Batch
from support.fault_pipeline import World
from support.stations import LIMIT, until

LINES = 4_000_000
SOME_BYTES = 4 << 20
COMMAND = ["sh", "-c", f"seq {LINES}; echo done >&2; : {{}}"]


def recorded(world: World) -> int:
    """About how many bytes the sink has on its disk."""
    return sum(path.stat().st_size for path in world.folder.rglob("results.db*"))


def check(batch: Batch) -> None:
    """Each job wrote all of it, and all of it is there."""
    wanted = hashlib.md5(b"".join(b"%d\n" % n for n in range(1, LINES + 1))).hexdigest()
    outcomes = list(batch.outcomes())
    assert [outcome.state for outcome in outcomes] == ["succeeded"] * 2
    for outcome in outcomes:
        found = hashlib.md5()
        for part in batch.output(outcome):
            assert isinstance(part, bytes)
            found.update(part)
        assert found.hexdigest() == wanted
        assert outcome.stderr == b"done\n"


@pytest.mark.parametrize("name", ["sink", "ventilator", "w1"])
def test_a_large_output_is_whole_whoever_dies(world: World, name: str) -> None:
    """The sink goes on where it was, and what a worker had not delivered is run and sent again."""
    pipeline = world.up("w1", slots=2)
    batch = pipeline.batch(COMMAND, ["a", "b"], keep_output="all")
    until(lambda: recorded(world) >= SOME_BYTES, what="some of it is recorded")
    world.harm(name, "SIGKILL")
    assert batch.wait(LIMIT).succeeded == 2
    check(batch)
