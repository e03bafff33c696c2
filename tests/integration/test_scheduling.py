"""When, where and how many at once: the options that the ventilator decides, from both doors, on real processes."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from conftest import Cli
from penstock import Pipeline
from support import Stations


@pytest.fixture
def no_workers(stations: Stations, monkeypatch: pytest.MonkeyPatch) -> Stations:
    """A pipeline, named by PENSTOCK_URL, to which no worker has connected."""
    stations.start("ventilator", "sink")
    monkeypatch.setenv("PENSTOCK_URL", stations.url)
    return stations


def test_jobs_start_at_their_time_and_not_earlier(cli: Cli) -> None:
    """`not_before` as a datetime and as a duration; `--not-before` as a duration."""
    begin = datetime.now(UTC) + timedelta(seconds=0.5)
    with Pipeline("local", slots=1) as pipeline:
        (outcome,) = pipeline.batch(abs, [-1], not_before=begin).outcomes()
        assert outcome.started >= begin.timestamp()
        asked = time.time()
        (outcome,) = pipeline.batch(["true"], ["x"], not_before="0.5s").outcomes()
        assert outcome.started >= asked + 0.5
        future = pipeline.options(not_before=0.2).submit(time.time)
        assert future.result() >= asked + 0.7
    asked = time.time()
    done = cli("run", "--not-before", "0.5", "--json", "true", ":::", "x")
    assert json.loads(done.stdout)["started"] >= asked + 0.5


def test_jobs_that_nobody_started_in_time_are_cancelled(cli: Cli, no_workers: Stations) -> None:
    """`expires` and `--expires`: an outcome with that cause; a worker that comes too late finds nothing to do."""
    with Pipeline() as pipeline:
        batch = pipeline.batch(abs, [-1, -2], expires=0.2)
        assert {(one.state, one.cause) for one in batch.outcomes()} == {("cancelled", "expired before it started")}
    done = cli("submit", "--wait", "--expires", "0.2s", "true", ":::", "x")
    assert done.returncode == 1
    assert b"cancelled: expired before it started" in done.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--not-before", "2030-01-01T08:00"), b"has no time zone"),
        (("--not-before", "-5s"), b"no duration"),
        (("--expires", "2020-01-01T08:00Z"), b"in the future"),
        (("--not-before", "2h", "--expires", "1h"), b"later than not_before"),
    ],
)
def test_a_time_that_cannot_be_meant_is_one_line_and_exit_2(cli: Cli, words: tuple[str, ...], complaint: bytes) -> None:
    """Before anything runs."""
    done = cli("run", *words, "touch", ":::", "x")
    assert (done.returncode, done.stdout) == (2, b"")
    assert complaint in done.stderr
    assert done.stderr.count(b"\n") == 1
