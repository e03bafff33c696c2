"""A worker that is told to leave while a job runs that outlasts anybody's patience: that is no crash of the job's."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import Batch, Pipeline
from support.signal_state import has_signal
from support.stations import LIMIT, Stations, until


@pytest.fixture
def stations(folder: Path, url: str) -> Iterator[Stations]:
    made = Stations(folder, url)
    made.start("ventilator", "sink")
    yield made
    made.close()


def job(folder: Path) -> str:
    """What runs until there is a gate; it notes each of its starts, and hears no SIGTERM."""
    return f"trap '' TERM; echo >> {folder}/starts; while [ ! -e {folder}/gate ]; do sleep 0.02; done"


def starts(folder: Path) -> int:
    path = folder / "starts"
    return len(path.read_text().splitlines()) if path.exists() else 0


def submitted(pipeline: Pipeline, folder: Path, max_crashes: int) -> Batch:
    return pipeline.batch(["sh", "-c", job(folder)], [[]], cwd="/", max_crashes=max_crashes)


@pytest.mark.parametrize("told", [signal.SIGTERM, None])
def test_a_job_whose_workers_are_stopped_and_killed_is_not_dead(
    stations: Stations, folder: Path, told: signal.Signals | None
) -> None:
    """Three times, as by `docker stop`, with max_crashes=2. The control is told nothing before it is killed."""
    with Pipeline(stations.url) as pipeline:
        batch = submitted(pipeline, folder, 2)
        for round_ in range(3 if told else 2):
            name = f"w{round_}"
            stations.start(name)
            until(lambda round_=round_: starts(folder) == round_ + 1)  # type: ignore[misc]
            until(lambda: pipeline.status().running == 1)
            if told:
                stations.processes[name].send_signal(told)
                until(lambda: [worker.draining for worker in pipeline.workers()] == [True])
            stations.end(name, signal.SIGKILL)
        (folder / "gate").touch()
        stations.start("last")
        status = batch.wait(LIMIT)
        assert (status.succeeded, status.dead) == ((1, 0) if told else (0, 1))
        assert [one.attempts for one in batch.outcomes()] == [1 if told else 2]


@pytest.mark.parametrize("max_crashes", [1, 2])
def test_with_a_grace_a_worker_is_gone_in_time(stations: Stations, folder: Path, max_crashes: int) -> None:
    """`penstock worker --grace`: what has not ended runs elsewhere, or is dead at once if it may not start twice."""
    argv = [sys.executable, "-m", "penstock", "worker", "--connect", stations.url, "--slots", "1", "--grace", "2s"]
    with Pipeline(stations.url) as pipeline:
        batch = submitted(pipeline, folder, max_crashes)
        for round_ in range(2 if max_crashes > 1 else 1):
            with subprocess.Popen(argv, cwd=folder, stderr=subprocess.DEVNULL) as worker:
                until(lambda round_=round_: starts(folder) == round_ + 1)  # type: ignore[misc]
                told_at = time.monotonic()
                worker.send_signal(signal.SIGTERM)
                assert worker.wait(LIMIT) == 0
                assert 1.0 < time.monotonic() - told_at < 2.0 + LIMIT / 4
        (folder / "gate").touch()
        stations.start("last")
        status = batch.wait(LIMIT)
        assert (status.succeeded, status.dead) == ((1, 0) if max_crashes > 1 else (0, 1))
        assert [one.attempts for one in batch.outcomes()] == [1]


@pytest.mark.parametrize("name", ["ventilator", "sink", "w1"])
def test_a_station_leaves_at_sighup_as_at_sigterm(stations: Stations, name: str) -> None:
    """Its terminal is closed; jobs that run have their end."""
    stations.start("w1")
    with Pipeline(stations.url) as pipeline:
        assert pipeline.submit(abs, -1).result(LIMIT) == 1
    assert stations.end(name, signal.SIGHUP) == 0


def test_under_nohup_it_stays(stations: Stations) -> None:
    """Who is started so that it ignores SIGHUP is asked by nobody to leave."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stations.start("w1")
    finally:
        signal.signal(signal.SIGHUP, before)
    with Pipeline(stations.url) as pipeline:
        assert pipeline.submit(abs, -1).result(LIMIT) == 1
        worker = stations.processes["w1"]
        assert has_signal(worker.pid, "SigIgn", signal.SIGHUP), "the kernel gives it none"
        worker.send_signal(signal.SIGHUP)
        assert pipeline.submit(abs, -2).result(LIMIT) == 2
        assert [worker.draining for worker in pipeline.workers()] == [False]
