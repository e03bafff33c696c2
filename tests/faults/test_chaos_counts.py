"""The control of scripts/chaos: what it is there to find, planted, is found."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from fault_jobs import nap
from fault_world import World

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def chaos(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The counting half of the script."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import chaos_count

    return chaos_count


@pytest.fixture
def data(world: World) -> tuple[Path, str]:
    """Files of a pipeline that did four jobs and stopped; the batch's id."""
    world.up("w1")
    batch = world.batch(nap, 4)
    world.check(batch, 4)
    for name in ("w1", "sink", "ventilator"):
        assert world.end(name) == 0
    return world.folder / "data", batch.id


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def test_sound_files_have_nothing(chaos: ModuleType, data: tuple[Path, str]) -> None:
    """No number but 0."""
    folder, batch = data
    assert chaos.count_files(folder, {f"{batch}:{index}" for index in range(4)}) == ([], [], [])


def test_lost_outcome_is_found(chaos: ModuleType, data: tuple[Path, str]) -> None:
    """A line that is gone from the sink's file, and a job that no file knows."""
    folder, batch = data
    change(folder / "results.db", "DELETE FROM line WHERE start = 2")
    counted = chaos.count_files(folder, {f"{batch}:9"})
    assert f"{batch}:2 has no outcome" in counted.lost
    assert f"{batch}:9 is not in queue.db" in counted.lost
    assert len(counted.disagreements) == 1


def test_outcome_that_is_recorded_twice_is_found(chaos: ModuleType, data: tuple[Path, str]) -> None:
    """A second line about the same job."""
    folder, batch = data
    columns = "batch, start, stop, final, worker, chain, crc, head, body"
    change(folder / "results.db", f"INSERT INTO line (seq, {columns}) SELECT 99, {columns} FROM line WHERE start = 2")
    assert chaos.count_files(folder, set()).twice == [f"{batch}:2"]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["b:0 1 7 w1 0"], (0, 0, 0)),
        (["b:0 1 7 w1 0", "b:0 1 8 w2 20"], (0, 0, 0)),
        (["b:0 1 7 w2 0", "b:0 1 8 w1 20"], (0, 1, 0)),
        (["b:0 1 7 w1 20", "b:0 1 8 w2 25"], (0, 1, 0)),
        (["b:0 1 7 w1 0", "b:0 1 8 w2 200"], (1, 0, 0)),
        (["b:1 1 7 w1 0", "b:1 1 8 w2 20"], (0, 0, 1)),
    ],
)
def test_start_without_a_reason_is_found(
    chaos: ModuleType, folder: Path, lines: list[str], found: tuple[int, int, int]
) -> None:
    """After the outcome was seen; though nothing happened to the worker of the first; where it is forbidden.

    The fault is a kill of w1 at 10; outcomes were seen at 100.
    """
    (folder / "starts").write_text("\n".join(lines) + "\n")
    seen = chaos.Seen()
    kinds = {("b", 0): "naps", ("b", 1): "once"}
    for job in kinds:
        seen.add(job, "succeeded", "")
        seen.times[job] = 100.0
    fault = chaos.Fault("SIGKILL", "w1", 10.0, frozenset({"w1"}), 11.0)
    starts = chaos.count_starts(folder / "starts", kinds, seen, [fault])
    assert tuple(map(len, starts[:3])) == found


def test_outcome_that_is_wrong_or_missing_is_found(chaos: ModuleType) -> None:
    """Seen twice, wrong, never seen."""
    seen = chaos.Seen()
    seen.add(("b", 0), "succeeded", "")
    seen.add(("b", 0), "failed", "it failed")
    assert len(seen.twice) == 1
    assert chaos.count_outcomes({("b", 0): "naps", ("b", 1): "naps"}, seen) == ["it failed", "naps b:1 was never seen"]
    assert seen.times["b", 0] <= time.time()
