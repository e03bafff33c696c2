"""Retries on real processes: from Python and from the command line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from conftest import Cli
from jobs.common import needs
from penstock import Pipeline, errors
from support.stations import Stations, until


@pytest.fixture
def pipeline(stations: Stations, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """Of three stations, named by PENSTOCK_URL."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    monkeypatch.setenv("PENSTOCK_URL", stations.url)
    stations.start("ventilator", "sink", "w1", slots=2)
    return Pipeline()


def test_failed_jobs_run_again_and_the_newer_outcome_counts(pipeline: Pipeline, folder: Path, cli: Cli) -> None:
    """The batch is open again and ends again; whoever reads it then reads what holds, `show` lists both."""
    with pipeline:
        batch = pipeline.batch(needs, [str(folder)] * 9, range(9), name="needy")
        assert batch.wait(60).failed == 3
        before = list(batch.follow())
        (folder / "6").touch()
        assert batch.retry(1) == 0
        assert batch.retry() == 3
        assert not any(outcome.value == 6 for outcome in before)
        status = batch.wait(60)
        assert (status.succeeded, status.failed) == (7, 2)
        assert [outcome.state for outcome in batch.outcomes()] == [
            "succeeded" if i % 3 or i == 6 else "failed" for i in range(9)
        ]
        assert sorted(outcome.index for outcome in batch.failures()) == [0, 3]
        after = list(batch.follow(after=before[-1].position))
        assert sorted(outcome.index for outcome in after) == [0, 3, 6]
        assert [outcome.state for outcome in batch.attempts(6)] == ["failed", "succeeded"]

        (folder / "0").touch()
        (folder / "3").touch()
        done = cli("retry", "needy:0")
        assert (done.returncode, done.stderr) == (0, b"penstock: needy:0: 1 job will run again\n")
        done = cli("retry", "needy")
        assert done.returncode == 0, done.stderr
        assert list(batch.values()) == list(range(9))
        assert batch.wait(60).succeeded == 9
        assert b"0 jobs will run again" in cli("retry", "needy").stderr


def test_a_deleted_batch_is_gone(pipeline: Pipeline, folder: Path, cli: Cli) -> None:
    """Its open jobs are cancelled, its results leave the file, and nobody finds it any more."""
    with pipeline:
        pipeline.batch(pow, [2, 3], [2, 2], name="short").wait(60)
        long = pipeline.batch(time.sleep, [60] * 4, name="long")
        until(lambda: long.status().leased, what="it runs")
        for name in ("short", "long"):
            assert cli("delete", name).returncode == 0
            assert cli("delete", name).returncode == 2
        assert pipeline.batches() == []


def test_single_submits_are_retried(pipeline: Pipeline, folder: Path) -> None:
    """The Future told what was; the batch tells what is."""
    with pipeline:
        future = pipeline.submit(needs, str(folder), 0)
        assert isinstance(future.exception(60), FileNotFoundError)
        (folder / "0").touch()
        assert pipeline.retry(future) == 1
        batch, _, index = future.job_id.partition(":")
        pipeline.flush()
        assert list(pipeline.attach(batch).values()) == [int(index)]
        with pytest.raises(errors.NoSuchBatch):
            pipeline.retry("0" * 32)
