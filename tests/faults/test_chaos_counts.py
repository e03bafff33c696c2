"""The control of scripts/chaos: what it is there to find, planted, is found."""

from __future__ import annotations

import importlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from jobs.fault import nap
from support.fault_pipeline import World

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def chaos(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The counting half of the script."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("chaos_count")


@pytest.fixture
def processes(chaos: ModuleType, folder: Path) -> Iterator[Any]:
    """The processes of the script, none started yet."""
    (folder / "data").mkdir()
    made = importlib.import_module("chaos").Processes(folder)
    yield made
    made.close()


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
    columns = "batch, start, stop, kind, worker, chain, crc, sum, head, body"
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
        (["b:0 1 7 w2 0", "b:0 1 8 w3 160.1"], (1, 1, 0)),
    ],
)
def test_start_without_a_reason_is_found(
    chaos: ModuleType, folder: Path, lines: list[str], found: tuple[int, int, int]
) -> None:
    """After the outcome was seen; though nothing happened to the worker of the first; where it is forbidden.

    The faults are a kill of w1 at 10 and a stop of w3 until 160; outcomes were seen at 100.
    """
    (folder / "starts").write_text("\n".join(lines) + "\n")
    seen = chaos.Seen()
    kinds = {("b", 0): "naps", ("b", 1): "once"}
    for job in kinds:
        seen.add(job, "succeeded", "")
        seen.times[job] = 100.0
    killed = chaos.Fault("SIGKILL", "w1", 10.0, frozenset({"w1"}), 11.0)
    stopped = chaos.Fault("SIGSTOP", "w3", 150.0, frozenset({"w3"}), 160.0)
    starts = chaos.count_starts(folder / "starts", kinds, seen, [killed, stopped])
    assert tuple(map(len, starts[:3])) == found


def test_outcome_that_is_wrong_or_missing_is_found(chaos: ModuleType) -> None:
    """Seen twice, wrong, never seen."""
    seen = chaos.Seen()
    seen.add(("b", 0), "succeeded", "")
    seen.add(("b", 0), "failed", "it failed")
    assert len(seen.twice) == 1
    assert chaos.count_outcomes({("b", 0): "naps", ("b", 1): "naps"}, seen) == ["it failed", "naps b:1 was never seen"]
    assert seen.times["b", 0] <= time.time()


def python(processes: Any, code: str) -> subprocess.Popen[bytes]:
    """A process of this pipeline; the code prints a line when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env=os.environ | {importlib.import_module("chaos").MARK: processes.mark},
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return process


def test_what_is_left_behind_is_found(processes: Any, folder: Path) -> None:
    """A process that nobody ended, a file among the stores, one in the folder for temporary files."""
    left_behind = importlib.import_module("chaos").left_behind
    (folder / "data/queue.db").touch()
    assert left_behind(processes) == []
    processes.running["stray"] = python(processes, "import time; print(flush=True); time.sleep(60)")
    (folder / "data/queue.db-wal").touch()
    (folder / "tmp/penstock-1").mkdir()
    found = left_behind(processes)
    assert found[0].startswith(f"process {processes.running['stray'].pid} ")
    assert found[1:] == [str(folder / "data/queue.db-wal"), str(folder / "tmp/penstock-1")]


def test_station_that_does_not_end_well_is_found(processes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that fails when it is told to end, one that does not listen."""
    chaos = importlib.import_module("chaos")
    code = "signal.pthread_sigmask(signal.SIG_BLOCK, {15}); print(flush=True); signal.sigwait({15}); sys.exit(3)"
    processes.running["sink"] = python(processes, f"import signal, sys; {code}")
    processes._started_at["sink"] = time.monotonic() - chaos.NEW_TIME
    assert processes.end("sink", signal.SIGTERM) == "sink ended with exit code 3"
    monkeypatch.setattr(chaos, "UP_TIME", 0.3)
    code = "signal.signal(15, signal.SIG_IGN); print(flush=True); signal.pause()"
    processes.running["sink"] = python(processes, f"import signal; {code}")
    assert "did not end within" in processes.end("sink", signal.SIGTERM)


def test_process_that_is_too_large_is_found(chaos: ModuleType) -> None:
    """By its peak."""
    too_large = importlib.import_module("chaos").too_large
    assert too_large({"sink": 100 << 20, "worker": 300 << 20}) == ["worker: 300 MiB"]


def test_soak_finds_what_grows_and_nothing_else(chaos: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """A rise after the warm-up is found by its size; what filled up in the warm-up, or swings, is not."""
    soak = importlib.import_module("soak")
    times = range(0, 300, 3)
    series = {
        ("sink", "RSS MiB"): [(at, 30 + at / 10) for at in times],
        ("worker-1", "RSS MiB"): [(at, 30 + min(at, 90)) for at in times],
        ("ventilator", "RSS MiB"): [(at, 30 + at % 9) for at in times],
        ("client", "threads"): [(at, 5 + at // 60) for at in times],
    }
    assert soak.report(series) == ["client: threads grows by 3.2", "sink: RSS MiB grows by 19.8"]
    assert "worker-1" in capsys.readouterr().out
