"""Failed jobs, grouped by their error, through real stations."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock import Pipeline
from penstock.cli import main


def work(place: str) -> float:
    """What the jobs call: it fails until there is such a file."""
    if place == "die":
        os._exit(3)
    return float(Path(place).read_text())


def test_errors_are_grouped_and_a_retry_takes_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exceptions by their place, a crash by its cause, commands by what they say last; a job that is run again and
    succeeds is in no group, and the command line shows the same."""
    places = [str(folder / f"in-{number}") for number in range(3)]
    with Pipeline(slots=1) as pipeline:
        calls = pipeline.options(max_crashes=1).batch(work, [*places, "die"])
        shells = pipeline.batch(["sh", "-c", "echo no row {} >&2; exit 4"], ["1", "2"])
        calls.wait(60)
        shells.wait(60)
        missing, shell, crash = pipeline.failures()
        assert (missing.jobs, missing.batches, len(missing.workers)) == (3, 1, 1)
        assert missing.error == "FileNotFoundError: [Errno …] No such file or directory: '…' (test_failures.py:work)"
        assert missing.examples == tuple(f"{calls.id}:{index}" for index in range(3))
        assert (shell.jobs, shell.error) == (2, "exit code 4: no row …")
        assert (crash.jobs, crash.examples) == (1, (f"{calls.id}:3",))
        assert "exit code 3" in crash.error
        for place in places[:2]:
            Path(place).write_text("1.5")
        assert calls.retry(0) == calls.retry(1) == 1
        calls.wait(60)
        by_error = {group.error: group for group in pipeline.failures(batch=calls)}
        assert (by_error[missing.error].jobs, by_error[missing.error].examples) == (1, (f"{calls.id}:2",))
        assert main(["failures", "--url", pipeline.url, shells.id]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "2 jobs: exit code 4: no row …"
    assert f"penstock show {shells.id}:0" in out
    assert "2 jobs failed, of 1 error" in err
