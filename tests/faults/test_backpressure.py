"""Who is slow or away costs nobody memory: what cannot go on waits where it is, and goes on when it can."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from jobs.fault import chatter, large
from penstock.job.spec import KEEP_OUTPUT
from penstock.worker.core import HELD_BYTES_MAX
from support.fault_pipeline import World
from support.stations import until

LARGE_BYTES = 1 << 20
JOBS = 450
"""Of a megabyte each: more than a process may have."""
WORKER_BYTES = HELD_BYTES_MAX + (160 << 20)
"""A worker's outcomes that are not closed, some of them joined on their way out, and what Python is."""
STATION_BYTES = 384 << 20
"""What ventilator and sink may have, whatever lies in their files; the sink without the bound on what is under way to
it had more than 400 MiB."""


def peak(world: World, name: str) -> int:
    """Of a station's resident memory."""
    status = Path(f"/proc/{world.stations.processes[name].pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) << 10


def check_peaks(world: World) -> None:
    """Nobody had more than it may."""
    peaks = {name: peak(world, name) for name in world.stations.processes}
    print({name: f"{size >> 20} MiB" for name, size in peaks.items()})
    for name, size in peaks.items():
        assert size < (WORKER_BYTES if name.startswith("w") else STATION_BYTES), name


def standstill(world: World) -> int:
    """Wait until no more jobs start; how many did."""
    seen = (0, time.monotonic())

    def is_still() -> bool:
        nonlocal seen
        if len(world.starts()) != seen[0]:
            seen = (len(world.starts()), time.monotonic())
        return time.monotonic() > seen[1] + 1.0

    until(is_still, what="no job starts any more")
    return seen[0]


@pytest.mark.parametrize("how", ["SIGSTOP", "SIGKILL"])
def test_sink_that_is_away_stops_the_worker(world: World, how: str) -> None:
    """A worker that cannot get rid of its outcomes takes no more jobs, long before its memory is full; when the sink is
    back all goes on, and nothing ran twice."""
    world.up("w1")
    if how == "SIGSTOP":
        world.stop("sink")
    else:
        world.end("sink", 9)
    batch = world.batch(large, JOBS)
    started = standstill(world)
    assert 0 < started <= JOBS - 100
    if how == "SIGSTOP":
        world.go_on("sink")
    else:
        world.start("sink")
    assert [len(value) for value in batch.values()] == [LARGE_BYTES] * JOBS
    assert set(world.times().values()) == {1}
    check_peaks(world)


def test_reader_that_is_slow_costs_the_sink_nothing(world: World) -> None:
    """It follows and does not read; the jobs go on, others read, the sink stays small; then it reads all there is."""
    pipeline = world.up("w1")
    batch = world.batch(large, JOBS)
    slow = batch.follow()
    next(slow)
    assert batch.wait(60).succeeded == JOBS
    assert pipeline.submit(abs, -1).result(30) == 1
    assert sum(1 for _ in slow) == JOBS - 1
    check_peaks(world)


def test_job_that_prints_without_end_is_cut_and_costs_nothing(world: World) -> None:
    """Of 128 MiB on each stream head and tail are kept, and what was cut is said."""
    world.up("w1")
    batch = world.batch(chatter, 1)
    (outcome,) = batch.outcomes()
    assert outcome.state == "succeeded"
    for text in (outcome.stdout, outcome.stderr):
        assert text.startswith(b"begin")
        assert text.endswith(b"end")
        assert b"cut" in text
        assert len(text) < KEEP_OUTPUT + 1_000
    check_peaks(world)
