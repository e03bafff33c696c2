"""Jobs say what they are, waiting, running and ended: real processes, as a person asks."""

from __future__ import annotations

import json
import os
import pickle
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Cli
from penstock import Batch, Pipeline
from support.stations import LIMIT, Stations, until


class Hostile:
    """An argument that runs a command where it is opened."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._path}",)


def nap(seconds: float, word: str = "") -> str:
    time.sleep(seconds)
    return word


def fail(word: str) -> None:
    raise ValueError(f"no {word}")


def die(word: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def pipeline(stations: Stations, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """Stations and a worker of two slots, named by PENSTOCK_URL."""
    stations.start("ventilator", "sink", "w1", slots=2)
    monkeypatch.setenv("PENSTOCK_URL", stations.url)
    with Pipeline(stations.url) as made:
        until(made.workers)
        yield made


def records(cli: Cli, *words: str) -> list[dict[str, Any]]:
    done = cli(*words, "--json")
    assert done.returncode in {0, 1}, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def said(cli: Cli, *words: str) -> str:
    done = cli(*words)
    assert done.returncode in {0, 1}, done.stderr
    return (done.stdout + done.stderr).decode()


def test_a_job_of_every_state_says_what_it_is(cli: Cli, pipeline: Pipeline) -> None:
    """In `jobs`, by state, and in `show`, `why` and `results`: the command, or function and arguments."""
    ended = {
        "succeeded": pipeline.batch(nap, [0], ["done"], name="succeeded"),
        "failed": pipeline.batch(fail, ["needle"], name="failed"),
        "timed_out": pipeline.batch(["sleep", "{}"], ["77"], time_limit=0.1, name="timed_out"),
        "cancelled": pipeline.batch(nap, [0], ["late"], expires=0.1, worker="elsewhere", name="cancelled"),
        "dead": pipeline.batch(die, ["under it"], max_crashes=1, name="dead"),
    }
    pipeline.batch(fail, ["again"], retries=1, retry_delay="1h", name="delayed")
    for batch in ended.values():
        batch.wait(LIMIT)
    pipeline.batch(["sh", "-c", "sleep {}"], ["600"], name="running", limit=1)
    pipeline.batch(nap, [600], ["x"], worker="elsewhere", name="queued")
    what = {
        "succeeded": "nap(0, 'done')",
        "failed": "fail('needle')",
        "timed_out": "sleep 77",
        "cancelled": "nap(0, 'late')",
        "dead": "die('under it')",
        "delayed": "fail('again')",
        "running": "sh -c 'sleep 600'",
        "queued": "nap(600, 'x')",
    }
    for state, text in what.items():
        (job,) = until(lambda: records(cli, "jobs", state, "--state", state), what=state)  # noqa: B023 - called at once
        assert (job["state"], job["text"].removeprefix(f"{__name__}.")) == (state, text)
        others = [word for name in what if name != state for word in ("--state", name)]
        assert records(cli, "jobs", state, *others) == []
        for words in (("jobs", state), ("show", f"{state}:0"), ("why", f"{state}:0")):
            assert text in said(cli, *words), words
        if state in ended and state != "succeeded":
            assert f"{ended[state].id}:0 {state}" in said(cli, "results", "--failed", state)
            assert text in said(cli, "results", "--failed", state)
    until(lambda: "sleep 600" in said(cli, "top", "--interval", "0.1"))
    pipeline.attach("running").cancel()


def test_numbers_agree(cli: Cli, pipeline: Pipeline) -> None:
    """Two slots run two of six jobs, whatever their worker holds ahead; what was cancelled has not failed."""
    batch = pipeline.batch(nap, [600] * 6, name="naps")

    def running() -> bool:
        (line,) = records(cli, "batches")
        return bool(line["running"] == 2)

    until(running)
    until(lambda: len(records(cli, "jobs", "naps", "--state", "running")) == 2)
    assert len(records(cli, "jobs", "naps", "--state", "queued")) == 4
    assert len(records(cli, "jobs", "naps", "--limit", "3")) == 3
    assert "jobs      4 waiting, 2 running" in said(cli, "status")
    assert records(cli, "workers")[0]["running"] == 2
    assert "4 waiting, 2 running" in said(cli, "top", "--interval", "0.1")
    assert said(cli, "jobs", "naps").endswith("penstock: 2 running, 4 waiting\n")
    batch.cancel()
    batch.wait(LIMIT)
    (line,) = records(cli, "batches", "--name", "naps")
    assert (line["cancelled"], line["failed"], line["running"]) == (6, 0, 0)
    assert records(cli, "batches", "--state", "failed") == []
    assert len(records(cli, "jobs", "naps", "--state", "cancelled")) == 6


def test_show_has_who_where_and_how(cli: Cli, pipeline: Pipeline, folder: Path) -> None:
    """Folder, variables (their values only with --full), options that were given, and for how long it runs there."""
    pipeline.batch(
        ["sh", "-c", "sleep 600; : {}"], ["x" * 2_000], cwd=str(folder), env={"TOKEN": "hidden"}, retries=2, name="long"
    )
    until(lambda: ", slot " in said(cli, "show", "long:0"))
    shown = said(cli, "show", "long:0")
    for fact in (f"folder     {folder}", "env        TOKEN\n", "options    retries 2", "state      running"):
        assert fact in shown
    assert "worker     w1 on " in shown
    assert "hidden" not in shown
    assert "x" * 2_000 not in shown
    (record,) = records(cli, "show", "long:0")
    assert (record["env"], record["options"], record["cwd"]) == ({"TOKEN": None}, {"retries": 2}, str(folder))
    whole = said(cli, "show", "long:0", "--full")
    assert "TOKEN=hidden" in whole
    assert "x" * 2_000 in whole
    pipeline.attach("long").cancel()


def test_nothing_of_a_stranger_is_opened(cli: Cli, pipeline: Pipeline, folder: Path) -> None:
    """A job that would run a command where its argument is opened is listed, shown and explained, and none has run."""
    trap = folder / "ran"
    pipeline.batch(nap, [Hostile(trap), "plain"], not_before="1h", name="trap")
    job, plain = records(cli, "jobs", "trap", "--full")
    assert "system(" in job["text"]
    assert "nap('plain')" in plain["text"]
    for words in (("show", "trap:0"), ("why", "trap:0"), ("jobs", "trap"), ("top", "--interval", "0.1")):
        said(cli, *words)
    assert not trap.exists()
    pickle.loads(pickle.dumps(Hostile(trap)))
    assert trap.exists(), "the control: opened, it does run"
    pipeline.attach("trap").cancel()


def test_no_result_is_opened_to_say_what_became_of_a_job(cli: Cli, pipeline: Pipeline, folder: Path) -> None:
    """A job that gave back what runs a command where it is opened is listed and explained, and none has run."""
    trap = folder / "ran"
    batch = pipeline.batch(Hostile, [trap], name="gave")
    batch.wait(LIMIT)
    assert "Hostile(PosixPath(" in said(cli, "jobs", "gave")
    assert "it has ended: succeeded at worker w1: " in said(cli, "why", "gave:0")
    said(cli, "batches")
    assert not trap.exists()


def test_a_failed_command_that_printed_nothing_is_named(cli: Cli, pipeline: Pipeline) -> None:
    """On stderr, one line for each; stdout has what jobs printed."""
    batch = cli("submit", "--shell", "exit {}", ":::", "0", "3", "4").stdout.decode().strip()
    pipeline.attach(batch).wait(LIMIT)
    done = cli("results", "--failed", batch)
    assert (done.returncode, done.stdout) == (1, b"")
    assert sorted(done.stderr.decode().splitlines()) == [
        f"penstock: {batch}:1 failed: exit code 3: exit 3",
        f"penstock: {batch}:2 failed: exit code 4: exit 4",
    ]


def test_many_jobs_are_listed_in_pages(pipeline: Pipeline) -> None:
    """Each once, in order, with its own arguments; failures are found among them."""
    batch: Batch = pipeline.batch(divmod, range(5_000), [0 if n % 1_000 == 7 else 1 for n in range(5_000)])
    batch.wait(LIMIT)
    assert [(job.index, job.text) for job in batch.jobs(["failed"])] == [
        (n, f"divmod({n}, 0)") for n in range(7, 5_000, 1_000)
    ]
    assert [job.index for job in batch.jobs()] == list(range(5_000))
    found = pipeline.jobs("state=failed error~DIVISION", limit=3)
    assert [(job.id, job.text) for job in found] == [(f"{batch.id}:{n}", f"divmod({n}, 0)") for n in (7, 1_007, 2_007)]
    assert [job.index for job in pipeline.jobs("error=ZeroDivisionError", after=found[-1].id)] == [3_007, 4_007]
    later = pipeline.batch(abs, [1, 2], name="later", not_before="1h")
    pages, after = list[str](), None
    while page := pipeline.jobs(limit=900, after=after):
        pages += [job.id for job in page]
        after = page[-1].id
    assert pages == [f"{later.id}:{n}" for n in range(2)] + [f"{batch.id}:{n}" for n in range(5_000)]
    assert [job.index for job in pipeline.jobs("state=delayed name=later function=abs")] == [0, 1]


def test_an_earlier_ventilator_does_not_know_the_question(
    stations: Stations, folder: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    """What jobs are is missing then; all else is there."""
    earlier = folder / "earlier"
    earlier.mkdir()
    (earlier / "sitecustomize.py").write_text(
        "from typing import Union, get_args\n"
        "from penstock.wire import desk_messages as messages\n"
        "new = {messages.AskJobs, messages.AskArguments, messages.AskFiltered}\n"
        "known = [one for one in get_args(messages.ClientToVentilator) if one not in new]\n"
        "messages.ClientToVentilator = Union[tuple(known)]\n"
    )
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(earlier), prepend=os.pathsep)
        stations.start("ventilator", "sink", "w1")
    monkeypatch.setenv("PENSTOCK_URL", stations.url)
    done = cli("submit", "--wait", "false", ":::", "x")
    assert done.returncode == 1, done.stderr
    (job,) = records(cli, "jobs", "last")
    assert (job["state"], job["text"], job["cause"]) == ("failed", "", "exit code 1")
    filtered = cli("jobs", "--where", "state=failed")
    assert (filtered.returncode, filtered.stderr.decode().count("\n")) == (1, 1)
    assert "is of an earlier release and knows no filters: upgrade it" in filtered.stderr.decode()
    assert "exit code  1" in said(cli, "show", "last:0")
    assert "last" not in said(cli, "top", "--interval", "0.1")
    assert said(cli, "results", "--failed", "last").endswith(":0 failed: exit code 1\n")
