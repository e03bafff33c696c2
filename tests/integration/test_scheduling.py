"""When, where and how many at once: the options that the ventilator decides, from both doors, on real processes."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import wait
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from conftest import Cli
from jobs.common import nap, overlapping, together, worker_name
from penstock import Pipeline, Pool, errors
from penstock.adapters.pool import AsyncResult
from support.stations import Stations, at_once, until


@pytest.fixture
def no_workers(stations: Stations, monkeypatch: pytest.MonkeyPatch) -> Stations:
    """A pipeline, named by PENSTOCK_URL, to which no worker has connected."""
    stations.start("ventilator", "sink")
    monkeypatch.setenv("PENSTOCK_URL", stations.url)
    return stations


@pytest.fixture
def two_workers(stations: Stations, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """A client of a pipeline, named by PENSTOCK_URL, with a plain worker and one with a tag, three slots each."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # workers import the jobs by name
    monkeypatch.setenv("PENSTOCK_URL", stations.url)
    stations.start("ventilator", "sink", "plain", slots=3)
    stations.start("tagged", slots=3, tags=("gpu", "big"))
    with Pipeline() as pipeline:
        until(lambda: len(pipeline.workers()) == 2)
        yield pipeline


SHELL_OVERLAPPING = "echo + >> trace; sleep 0.02; echo - >> trace; true {}"


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


def test_no_more_jobs_run_at_once_than_the_limit(cli: Cli, two_workers: Pipeline, folder: Path) -> None:
    """`limit` of a batch, of a map, of single submits and of commands; `--limit`, `-j`; a Pool's `processes`."""
    trace = folder / "trace"
    limited = two_workers.options(limit=2)
    list(limited.batch(overlapping, [str(trace)] * 12).values())
    assert at_once(trace) <= 2
    list(limited.map(overlapping, [str(trace)] * 12))
    assert at_once(trace) <= 2
    for future in [limited.submit(overlapping, str(trace)) for _ in range(12)]:
        future.result()
    assert at_once(trace) <= 2
    with Pool(2) as pool:
        pool.map(overlapping, [str(trace)] * 12)
    assert at_once(trace) <= 2
    numbers = tuple(map(str, range(12)))
    for words in (("run", "-j2"), ("run", "--limit", "2"), ("submit", "--wait", "-j", "2")):
        done = cli(*words, "--shell", SHELL_OVERLAPPING, ":::", *numbers)
        assert done.returncode == 0, done.stderr
        assert at_once(trace) <= 2
    list(two_workers.batch(together, [str(trace)] * 3).values())  # control: it is the limit that keeps them apart


def test_a_limit_covers_all_that_came_through_one_view(two_workers: Pipeline, folder: Path) -> None:
    """Flushed between, of several functions, options and ways of submitting; what came another way is not counted."""
    trace = str(folder / "trace")
    one = two_workers.options(limit=1)
    futures = []
    for _ in range(4):
        futures.append(one.submit(overlapping, trace))
        futures.append(one.options(retries=1).submit(partial(overlapping, trace)))
        futures.append(two_workers.options(limit=1).submit(overlapping, trace))  # the same view, made again
        two_workers.flush()
    values = one.map(overlapping, [trace] * 4)
    one.batch(overlapping, [trace] * 4).wait()
    wait(futures)
    assert len(list(values)) == 4
    assert at_once(Path(trace)) == 1
    views = [two_workers.options(limit=1, name=name) for name in "abc"]
    for future in [view.submit(together, trace) for view in views]:
        future.result()
    two_workers.batch(together, [trace] * 2, limit=2).wait()  # a batch's own limit; the file is large enough by now
    with Pool(1) as first, Pool(2) as second:
        Path(trace).unlink()
        waiting: list[AsyncResult[Any]] = [
            first.apply_async(together, (trace,)),
            second.map_async(together, [trace] * 2),
        ]
        for result in waiting:
            result.get()
        Path(trace).unlink()
        waiting = [second.apply_async(partial(overlapping, trace)) for _ in range(6)]
        waiting.append(second.map_async(overlapping, [trace] * 6))
        for result in waiting:
            result.get()
        assert at_once(Path(trace)) <= 2


def test_jobs_run_where_they_ask_for(cli: Cli, two_workers: Pipeline) -> None:
    """`worker`, by the worker's name or its host's; `needs`; `--worker`, `--needs`, alone and with a limit."""
    assert {two_workers.options(worker="plain").submit(worker_name, 0).result() for _ in range(9)} == {"plain"}
    assert set(two_workers.options(worker=os.uname().nodename, needs="gpu").map(worker_name, range(50))) == {"tagged"}
    assert set(two_workers.batch(worker_name, range(50), needs=["big", "gpu"], limit=2).values()) == {"tagged"}
    for words in (("--worker", "tagged"), ("--needs", "gpu", "--needs", "big")):
        done = cli("submit", "--wait", "--json", *words, "true", ":::", *map(str, range(9)))
        assert {json.loads(line)["worker"] for line in done.stdout.splitlines()} == {"tagged"}
    assert b"plain" in cli("workers").stdout
    (line,) = [json.loads(one) for one in cli("workers", "--json").stdout.splitlines() if b"gpu" in one]
    assert (line["name"], line["tags"]) == ("tagged", ["gpu", "big"])


def test_a_client_is_told_that_nobody_fits(
    cli: Cli, no_workers: Stations, caplog: pytest.LogCaptureFixture, folder: Path
) -> None:
    """Who waits is warned once, on stderr at the command line; a worker with the tag then runs it."""
    with Pipeline() as pipeline, caplog.at_level(logging.WARNING, "penstock.client"):
        batch = pipeline.batch(abs, [-1], needs="gpu")
        assert batch.status().waits == "no worker with the tag gpu is connected"
        until(lambda: caplog.messages == [f"no worker with the tag gpu is connected: batch {batch.id} waits for that"])
        done = cli("submit", "--worker", "gpu3", "true", ":::", "x")
        waits = f"penstock: no worker named gpu3 is connected: batch {done.stdout.decode().strip()} waits for that\n"
        assert (done.returncode, done.stderr.decode()) == (0, waits)
        words = ["worker", "--connect", no_workers.url, "--name", "gpu3", "--slots", "1", "--tag", "gpu"]
        with (folder / "gpu3.log").open("wb") as log:
            no_workers.processes["gpu3"] = subprocess.Popen(
                [sys.executable, "-m", "penstock", *words], stdout=log, stderr=log, start_new_session=True
            )
        assert list(batch.values()) == [1]
        pipeline.attach(done.stdout.decode().strip()).wait(30)


def test_a_batch_that_nobody_may_run_is_refused_if_asked(cli: Cli, two_workers: Pipeline) -> None:
    """`on_missing="fail"`: NoSuchWorker at once, by batch, submit and map, and exit 2; nothing was accepted."""
    absent = two_workers.options(worker="gpu3", on_missing="fail")
    with pytest.raises(errors.NoSuchWorker, match="no worker named gpu3 is connected"):
        absent.batch(abs, [-1])
    with pytest.raises(errors.NoSuchWorker):
        absent.submit(abs, -1).result()
    with pytest.raises(errors.NoSuchWorker):
        list(absent.map(abs, [-1]))
    assert cli("worker", "--tag", "").returncode == 2
    done = cli("run", "--needs", "tpu", "--on-missing", "fail", "true", ":::", "x")
    assert done.returncode == 2
    assert b"no worker with the tag tpu is connected" in done.stderr
    assert two_workers.batches() == []
    assert two_workers.options(worker="plain", on_missing="fail").submit(nap, 0).result() == 0


def test_a_batch_runs_after_another_one_or_is_dropped(cli: Cli, two_workers: Pipeline, folder: Path) -> None:
    """`after` takes a handle, an id or a name; `--after` a name; dropped with the reason where the first failed."""
    trace = folder / "trace"
    first = two_workers.batch(["sh", "-c", "sleep 0.3; echo {} >> trace"], range(4), cwd=folder, name="one")
    second = two_workers.batch(["sh", "-c", "echo then >> trace"], ["x"], cwd=folder, after=first)
    third = cli("submit", "--after", second.id, "--shell", "echo {} >> trace", ":::", "last").stdout.decode().strip()
    assert two_workers.attach(third).wait(30).succeeded == 1
    lines = trace.read_text().split()
    assert (sorted(lines[:4]), lines[4:]) == (["0", "1", "2", "3"], ["then", "last"])
    two_workers.batch(["false"], ["x"], name="bad")
    done = cli("submit", "--wait", "--after", "bad", "touch", ":::", str(folder / "never"))
    assert done.returncode == 1
    assert b"did not succeed: 1 failed of 1 jobs" in done.stderr
    with pytest.raises(errors.JobCancelled, match="did not succeed"):
        two_workers.options(after="bad").submit(abs, -1).result()
    assert not (folder / "never").exists()


def test_an_after_that_does_not_exist_is_refused(cli: Cli, two_workers: Pipeline) -> None:
    """NoSuchBatch, and exit 2, before anything is accepted."""
    with pytest.raises(errors.NoSuchBatch, match="nothing-like-it"):
        two_workers.batch(abs, [-1], after="nothing-like-it")
    with pytest.raises(TypeError, match="after must be a batch"):
        two_workers.options(after=two_workers.submit(abs, -1))  # type: ignore[arg-type]  # that is the point
    done = cli("run", "--after", "nothing-like-it", "true", ":::", "x")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"no batch 'nothing-like-it'" in done.stderr


def test_single_submits_that_others_come_after_are_complete(two_workers: Pipeline) -> None:
    """A batch of single submits takes in jobs for as long as its client lives; naming it closes it."""
    future = two_workers.submit(abs, -1)
    batch = future.job_id.partition(":")[0]
    two_workers.flush()
    assert two_workers.options(after=batch).submit(abs, -2).result(30) == 2


def test_a_call_is_accepted_once_under_a_word(
    cli: Cli, two_workers: Pipeline, stations: Stations, folder: Path
) -> None:
    """Again it is the same batch or job, from another client and after a restart; another call is OnceMismatch."""
    trace = str(folder / "trace")
    daily = two_workers.options(once="daily")
    first, again = daily.submit(overlapping, trace), daily.submit(overlapping, trace)
    assert first.job_id == again.job_id
    assert (first.result(), again.result()) == (None, None)
    batch = two_workers.batch(abs, range(-5, 0), once="five")
    stations.end("ventilator")
    stations.start("ventilator")
    with Pipeline() as other:
        assert other.batch(abs, range(-5, 0), once="five").id == batch.id
        assert list(batch.values()) == [5, 4, 3, 2, 1]
        assert other.options(once="daily").submit(overlapping, trace).result() is None
        with pytest.raises(errors.OnceMismatch, match="once='five': another call"):
            other.batch(abs, range(-4, 0), once="five")
        other.flush()
        refused = other.options(once="daily").submit(abs, -1)
        with pytest.raises(errors.OnceMismatch):
            refused.result()
        with pytest.raises(errors.OnceMismatch):
            other.flush()  # who answers 202 then must not
        other.flush()
        other.options(worker="nobody", on_missing="fail").submit(abs, -1)
        with pytest.raises(errors.NoSuchWorker):
            other.flush()
    assert Path(trace).read_text() == "+-"
    words = ("--once", "touched", "--shell", "echo {} | tee -a ran", ":::", "x")
    ids = {cli("submit", *words).stdout for _ in range(2)}
    assert len(ids) == 1
    assert cli("run", *words).stdout == b"x\n"
    assert (folder / "ran").read_text() == "x\n"
    done = cli("submit", "--once", "touched", "true", ":::", "y")
    assert (done.returncode, b"another call was accepted" in done.stderr) == (2, True)
    with pytest.raises(ValueError, match="once is for submit"):
        daily.map(abs, [1])


def test_why_says_in_one_line_what_a_job_waits_for(cli: Cli, two_workers: Pipeline) -> None:
    """Of jobs that wait, that run and that have ended."""

    def why(batch: str) -> str:
        done = cli("why", f"{batch}:0")
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().partition(": ")[2].rstrip("\n")

    two_workers.batch(abs, [-1], not_before="1h", name="later")
    assert why("later").startswith("it may not begin before 20")
    two_workers.batch(abs, [-1], after="later", name="then")
    assert why("then").endswith("0 of 1 jobs have ended: abs(-1)")
    two_workers.batch(abs, [-1], worker="gpu3", name="placed")
    assert why("placed") == "no worker named gpu3 is connected: it waits for that: abs(-1)"
    runs = two_workers.batch(nap, [600], name="runs", worker="plain")
    until(lambda: why("runs").startswith("it runs at worker plain on "))
    runs.cancel()
    two_workers.batch(["false"], ["x"], name="ended", worker="tagged").wait(30)
    assert why("ended") == "it has ended: failed at worker tagged: exit code 1: false x"
    assert cli("why", "ended:5").returncode == 2
    two_workers.attach("then").cancel()
    two_workers.attach("later").cancel()
    two_workers.attach("placed").cancel()


def test_workers_that_were_started_with_one_name(no_workers: Stations, folder: Path, cli: Cli) -> None:
    """Are told apart: in outcomes, in the list, in their logs, and by `drain`. Jobs for the name run on all of them."""
    started = ("one", "two", "three")
    for container in started:
        no_workers.start(container, name="gpu")
    with Pipeline() as pipeline:
        until(lambda: len(pipeline.workers()) == len(started))
        ids = {worker.name: worker.id for worker in pipeline.workers()}
        given = sorted(ids.keys() - {"gpu"})
        assert given == sorted(f"gpu-{ids[name][:6]}" for name in given)
        batch = pipeline.options(worker="gpu").batch(together, [str(folder / "all")] * len(started))
        assert {outcome.worker for outcome in batch.outcomes()} == {"gpu", *given}
        logs = "".join(no_workers.log(container).read_text() for container in started)
        assert sorted(re.findall(r" name_taken: .* called=(\S+)", logs)) == given
        assert cli("drain", given[0]).returncode == 0
        until(lambda: {worker.name for worker in pipeline.workers()} == {"gpu", given[1]})
