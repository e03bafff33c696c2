"""`penstock stack`: where a running job is, without stopping it."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Cli
from penstock import Pipeline
from penstock.client import Batch
from penstock.errors import JobError
from support.stations import LIMIT, Stations, until


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """An embedded one with one slot."""
    made = Pipeline(slots=1)
    yield made
    made.kill_workers()  # a test that fails leaves a job that waits for ever


def waits_for(path: str) -> str:
    """Until there is such a file."""
    while not os.path.exists(path):
        time.sleep(0.01)
    return "went on"


def waits_beside_a_thread(path: str) -> str:
    """The same, while another thread does so, too."""
    threading.Thread(target=waits_for, args=[path], name="helper").start()
    return waits_for(path)


def counts_in_c(path: str) -> None:
    """For minutes, with the interpreter's lock."""
    Path(path).touch()
    sum(range(10**11))


def stack_of(batch: Batch[Any], word: str = "", times: int = 1) -> str:
    """That of its first job, once it has this word so often."""

    def look() -> str:
        try:
            found = batch.stack(0)
        except JobError:  # it has not begun
            return ""
        return found if found.count(word) >= times else ""

    return until(look, what=f"its stack has {word!r} {times} times")


def test_the_stacks_of_all_threads_without_our_own_frames(pipeline: Pipeline, folder: Path) -> None:
    """Each with the most recent call first; the job goes on, and may be asked again."""
    batch = pipeline.batch(waits_beside_a_thread, [str(folder / "go")])
    for _ in range(3):
        found = stack_of(batch, " in waits_for\n", 2)
        assert found.index(" in waits_for\n") < found.index(" in waits_beside_a_thread\n")
        assert "penstock/slot" not in found
        assert re.search(r"^\d+ [RSD].*: \(the slot\)$", found, re.MULTILINE)
    (folder / "go").touch()
    assert list(batch.values()) == ["went on"]


def test_a_job_that_holds_the_interpreter_has_a_stack(pipeline: Pipeline, folder: Path) -> None:
    """No line of Python runs there meanwhile."""
    batch = pipeline.batch(counts_in_c, [str(folder / "began")])
    until((folder / "began").exists)
    assert "in counts_in_c" in stack_of(batch)
    batch.cancel(running=True)
    batch.wait(LIMIT)


def test_a_command_has_processes(pipeline: Pipeline) -> None:
    """With their states and what they wait in."""
    batch = pipeline.batch(["sh", "-c", "sleep 1000; true"], [[]])
    lines = stack_of(batch, "sleep 1000\n").splitlines()
    assert re.fullmatch(r"\d+ [RSD]( in \w+)?: sh -c sleep 1000; true", lines[0]), lines
    assert re.fullmatch(r"  \d+ [RSD]( in \w+)?: sleep 1000", lines[1]), lines
    batch.cancel(running=True)
    batch.wait(LIMIT)


def test_a_job_that_does_not_run_has_a_reason(pipeline: Pipeline, folder: Path) -> None:
    """It waits, it has ended, or there is no such job."""
    batch = pipeline.batch(waits_for, [str(folder / "go")] * 3)
    stack_of(batch, "in waits_for")
    with pytest.raises(JobError, match=r":2 has no stack: .*slot"):
        batch.stack(2)
    (folder / "go").touch()
    batch.wait(LIMIT)
    for index in (0, 7):
        with pytest.raises(JobError, match="has no stack: it has ended, or is none of its jobs"):
            batch.stack(index)


def test_the_command_prints_it(stations: Stations, folder: Path, cli: Cli) -> None:
    """Or says in one line why not, with exit code 1; a worker that hangs is named."""
    stations.start("ventilator", "sink", "w1")
    url = ("--url", stations.url)
    with Pipeline(stations.url) as pipeline:
        batch = pipeline.batch(waits_for, [str(folder / "go")], name="waits")
        stack_of(batch, "in waits_for")
        done = cli("stack", *url, "waits:0")
        assert (done.returncode, b"in waits_for" in done.stdout) == (0, True), done
        stations.processes["w1"].send_signal(19)
        done = cli("stack", *url, "waits:0")
        assert (done.returncode, done.stderr.count(b"\n")) == (1, 1), done
        assert b"worker w1 on " in done.stderr
        assert b"has not answered within 4 s" in done.stderr
        stations.processes["w1"].send_signal(18)
        (folder / "go").touch()
        batch.wait(LIMIT)
    assert cli("stack", *url, "waits:0").returncode == 1
