"""Job options on a running pipeline of two workers, from Python and from the command line: each fails without it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Cli
from jobs.common import die, flaky
from penstock import Pipeline, errors
from support.stations import LIMIT, at_once, until


@pytest.fixture
def ours(running: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """A client of the pipeline, which PENSTOCK_URL names."""
    monkeypatch.setenv("PENSTOCK_URL", running)
    with Pipeline() as pipeline:
        yield pipeline


@pytest.mark.parametrize("door", ["python", "command line"])
def test_a_larger_priority_goes_first(door: str, ours: Pipeline, cli: Cli, folder: Path) -> None:
    """Also before what the worker holds already."""
    gate = ours.command(
        ["sh", "-c", "touch begun; until [ -e open ]; do sleep 0.02; done"],
        cwd=folder,
        worker="one",
        time_limit=2 * LIMIT,
    )
    until((folder / "begun").exists)
    ids = {}
    for priority in (0, 5):
        line = f"echo {priority} >> trace; true {{}}"
        if door == "python":
            batch = ours.batch(["sh", "-c", line], "ab", cwd=folder, worker="one", priority=priority)
        else:
            words = ("--worker", "one", "--priority", str(priority), "--shell", line)
            batch = ours.attach(cli("submit", *words, ":::", *"ab").stdout.decode().strip())
        ids[priority] = batch
        until(lambda: batch.status().leased, what="the worker has some of it")  # noqa: B023 - called at once
    until(lambda: ids[5].status().leased == 2, what="the worker has all of it")
    (folder / "open").touch()
    assert gate.result(LIMIT).returncode == 0
    for batch in ids.values():
        batch.wait(LIMIT)
    assert (folder / "trace").read_text().split() == ["5", "5", "0", "0"]


def test_what_is_tried_again_and_how_often(ours: Pipeline, cli: Cli, folder: Path) -> None:
    """`retries` after failures of a job's own, `max_crashes` when a process died under it: one is not the other."""
    log = folder / "log"
    with pytest.raises(OSError, match="not yet"):
        ours.submit(flaky, str(log)).result(LIMIT)
    log.unlink()
    (outcome,) = ours.batch(flaky, [str(log)], retries=2, retry_delay="0.1s", max_crashes=1).outcomes()
    assert (outcome.value, outcome.attempts) == ("third time", 3)
    (dead,) = ours.batch(lambda _: die(), [0], max_crashes=1, retries=5).outcomes()
    assert (dead.state, dead.attempts) == ("dead", 1)
    line = ("--shell", "echo x >> count; [ $(wc -l < count) = 2 ] && true {}", ":::", "a")
    for retries, code in (("0", 1), ("1", 0)):
        (folder / "count").unlink(missing_ok=True)
        done = cli("run", "--retries", retries, *line)
        assert done.returncode == code, done.stderr


def test_jobs_run_where_and_with_what_they_are_told(ours: Pipeline, cli: Cli, folder: Path) -> None:
    """`cwd` and `env`, of calls and of commands; a folder that is not there is the cause, and no other is taken."""
    line = 'pwd; echo "$COLOUR"'
    expected = f"{folder}\nred\n".encode()
    there = ours.options(cwd=folder, env={"COLOUR": "red"})
    assert there.command(["sh", "-c", line]).result(LIMIT).stdout == expected
    done = cli("run", "--cwd", str(folder), "--env", "COLOUR=red", "--one", "--shell", line)
    assert (done.returncode, done.stdout) == (0, expected)
    done = cli("run", "--env", "COLOUR", "--one", "--shell", line, env={"COLOUR": "red"})
    assert done.stdout == expected
    assert cli("run", "--one", "--shell", 'echo "$COLOUR"', env={"COLOUR": "red"}).stdout == b"\n"
    for broken in (there.options(cwd="/missing").submit(abs, 1), there.command(["true"], cwd="/missing")):
        with pytest.raises((OSError, errors.JobError), match="cannot run in the folder"):
            broken.result(LIMIT)


@pytest.mark.parametrize("door", ["python", "command line"])
def test_options_hold_together(door: str, ours: Pipeline, cli: Cli, folder: Path) -> None:
    """After another batch, not before a time, at one worker, one at a time, tried again, in a folder, with a name."""
    first = ours.batch(["sh", "-c", "sleep 0.2; touch first"], ["x"], cwd=folder)
    script = 'touch "$PENSTOCK_JOB_ID"; echo + >> trace; sleep 0.02; echo - >> trace; [ -e first ] && [ -e {}.$T ]'
    line = f"{script} || {{ touch {{}}.$T; exit 1; }}"
    asked = time.time()
    if door == "python":
        batch = ours.batch(
            ["sh", "-c", line],
            range(4),
            name="together",
            priority=3,
            retries=1,
            retry_delay=0,
            max_crashes=1,
            time_limit="1m",
            not_before="0.3s",
            expires="1h",
            after=first,
            worker="two",
            on_missing="fail",
            limit=1,
            once=f"together-{folder.name}",
            cwd=folder,
            env={"T": "t"},
            retain="1h",
        )
    else:
        words = "--name together --priority 3 --retries 1 --timeout 1m --not-before 0.3s --expires 1h --worker two"
        more = f"--on-missing fail --limit 1 --env T=t --after {first.id} --once together-{folder.name}"
        done = cli("submit", *words.split(), *more.split(), "--cwd", str(folder), "--shell", line, ":::", *"0123")
        assert done.returncode == 0, done.stderr
        batch = ours.attach(done.stdout.decode().strip())
    assert batch.name == "together"
    outcomes = list(batch.outcomes())
    assert [(one.state, one.attempts, one.worker) for one in outcomes] == [("succeeded", 2, "two")] * 4
    assert min(one.started for one in outcomes) >= asked + 0.3
    assert at_once(folder / "trace") == 1
    assert {path.name for path in folder.glob("*:*")} == {f"{batch.id}:{index}" for index in range(4)}


@pytest.mark.parametrize(
    ("words", "options", "complaint"),
    [
        (("--timeout", "-5s"), {"time_limit": -5}, "time"),
        (("--after", "nothing-like-it"), {"after": "nothing-like-it"}, "no batch 'nothing-like-it'"),
        (("--needs", "tpu", "--on-missing", "fail"), {"needs": "tpu", "on_missing": "fail"}, "the tag tpu"),
        (("--worker", "gpu3", "--on-missing", "fail"), {"worker": "gpu3", "on_missing": "fail"}, "named gpu3"),
        (("--on-missing", "fail"), {"on_missing": "fail"}, "give worker, needs or user"),
        (("--expires", "1h", "--not-before", "2h"), {"expires": "1h", "not_before": "2h"}, "later than not_before"),
    ],
)
def test_what_cannot_be_meant_is_one_error_before_anything_runs(
    words: tuple[str, ...], options: dict[str, Any], complaint: str, ours: Pipeline, cli: Cli, folder: Path
) -> None:
    """In Python an exception, at the command line a line and exit code 2; and nothing was accepted."""
    before = [status.id for status in ours.batches()]
    with pytest.raises((ValueError, TypeError, LookupError), match=complaint):
        ours.batch(["touch", "{}"], ["made"], cwd=folder, **options)
    done = cli("submit", *words, "touch", ":::", "made")
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1), done.stderr
    assert [status.id for status in ours.batches()] == before
    assert not (folder / "made").exists()


def test_a_time_limit_ends_a_job(ours: Pipeline, cli: Cli) -> None:
    """What a time limit ended says so, in Python and in JSON."""
    with pytest.raises(errors.JobTimedOut, match="time limit"):
        ours.options(time_limit=0.3).submit(time.sleep, 600).result(LIMIT)
    done = cli("submit", "--wait", "--json", "--timeout", "0.3s", "sleep", ":::", "600")
    assert (done.returncode, json.loads(done.stdout)["state"]) == (1, "timed_out")
