"""A job that one worker cannot start, and another one can: that is the host's failure, not the job's."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest

from penstock import Pipeline, cli
from support.stations import LIMIT, Stations, until

JOBS = 40


@pytest.fixture
def stations(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stations]:
    """Two workers, of which "has" alone has the program "tool", and the module "tool_module"."""
    (folder / "bin").mkdir()
    (folder / "bin" / "tool").write_text("#!/bin/sh\nsleep 0.02\necho $PENSTOCK_ATTEMPT\n")
    (folder / "bin" / "tool").chmod(0o755)
    (folder / "bin" / "tool_module.py").write_text("def job(x):\n    return -x\n")
    made = Stations(folder, url)
    made.start("ventilator", "sink", "lacks")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        patch.setenv("PYTHONPATH", f"{folder / 'bin'}")
        made.start("has")
    with Pipeline(url) as pipeline:
        until(lambda: len(pipeline.workers()) == 2)
    yield made
    made.close()


@pytest.mark.parametrize("options", [{}, {"max_crashes": 1}, {"limit": 2}, {"time_limit": 30}])
def test_it_runs_where_it_can(
    stations: Stations, folder: Path, capfd: pytest.CaptureFixture[str], options: dict[str, Any]
) -> None:
    """No attempt is used up; who cannot start it is said to be paused, and why."""
    with Pipeline(stations.url) as pipeline:
        batch = pipeline.batch(["tool"], [[]] * JOBS, cwd="/", **options)
        status = batch.wait(LIMIT)
        assert (status.succeeded, status.failed) == (JOBS, 0), batch.failures()
        assert {(one.attempts, one.worker, one.stdout) for one in batch.outcomes()} == {(1, "has", b"1\n")}
        lacks, has = sorted(pipeline.workers(), key=lambda worker: worker.name != "lacks")
    assert (has.paused, lacks.broken) == ("", "")
    assert "cannot start 'tool'" in lacks.paused
    assert cli.main(["workers", "--url", stations.url]) == 0
    out = capfd.readouterr().out
    assert "paused    lacks on" in out
    assert "cannot start 'tool': No such file" in out
    cli.main(["doctor", "--url", stations.url])
    assert re.search(
        r"^warn +workers +lacks on .* could not start a job: cannot start 'tool'", capfd.readouterr().out, re.MULTILINE
    )
    assert "not_started" in stations.log("ventilator").read_text()


def _groups(worker: int) -> list[Path]:
    """Those that bound the processes of a worker's slots."""
    lines = [
        line.partition(":pids:/")[2]
        for process in psutil.Process(worker).children(recursive=True)
        for line in Path(f"/proc/{process.pid}/cgroup").read_text().splitlines()
    ]
    return [Path("/sys/fs/cgroup/pids", line) for line in lines if "penstock-" in line]


def test_a_host_without_a_process_left_is_passed_over(stations: Stations) -> None:
    """Its slots may start nothing (EAGAIN): what it was given runs elsewhere, and no attempt is used up."""
    if not os.access("/sys/fs/cgroup/pids/cgroup.procs", os.W_OK):
        pytest.skip("no control groups of version 1 to write here")
    groups = until(lambda: _groups(stations.processes["lacks"].pid), what="its slots are there")
    for group in groups:
        (group / "pids.max").write_text((group / "pids.current").read_text())
    with Pipeline(stations.url) as pipeline:
        batch = pipeline.batch(["true"], [[]] * JOBS, retries=2)
        assert batch.wait(LIMIT).succeeded == JOBS, list(batch.failures())
        assert {(one.attempts, one.worker) for one in batch.outcomes()} == {(1, "has")}
        assert any("Resource temporarily unavailable" in worker.paused for worker in pipeline.workers())


@pytest.mark.parametrize("serializer", ["pickle", "msgpack"])
def test_a_function_runs_where_its_module_is(
    stations: Stations, folder: Path, monkeypatch: pytest.MonkeyPatch, serializer: Literal["pickle", "msgpack"]
) -> None:
    """Of those that do not travel, as packages that have to be installed."""
    monkeypatch.syspath_prepend(folder / "bin")
    job = importlib.import_module("tool_module").job
    with Pipeline(stations.url, ship=False) as pipeline:
        assert list(pipeline.options(serializer=serializer).map(job, range(JOBS))) == [-x for x in range(JOBS)]
        assert any("tool_module" in worker.paused for worker in pipeline.workers())


def test_what_nobody_can_start_has_failed(stations: Stations) -> None:
    """As it does where there is one worker: with a shell's exit code, after the retries that its user wants."""
    with Pipeline(stations.url) as pipeline:
        batch = pipeline.batch(["no-such-tool"], [[]] * 4, cwd="/", retries=1, retry_delay=0.1)
        status = batch.wait(LIMIT)
        assert status.failed == 4
        found = [(one.attempts, one.returncode) for one in batch.failures()]
        assert found == [(2, 127)] * 4
