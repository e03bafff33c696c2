"""Lines of `penstock jobs`."""

from __future__ import annotations

import sys

import pytest
from rich.cells import cell_len

from penstock.cli.commands.jobs import Lines
from penstock.client.records import JobInfo


def job(text: str = "sleep 5", **more: object) -> JobInfo:
    usual: dict[str, object] = {"id": "b:3", "index": 3, "state": "running", "text": text, "worker": "w1"}
    return JobInfo(**usual | more)  # type: ignore[arg-type]


@pytest.fixture
def _terminal(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(request.param))


@pytest.mark.usefixtures("_terminal")
@pytest.mark.parametrize("_terminal", [80, 100], indirect=True)
@pytest.mark.parametrize(
    "shown",
    [
        job("x" * 500),
        job("日本語" * 50, state="failed", cause="値が違います" * 20),
        job("cp a b", state="failed", cause="exit code 1: " + "no such file " * 20, worker="日本語" * 10),
        job("line\nline\x1b[31m" * 30),
    ],
)
def test_a_line_fits_the_terminal(shown: JobInfo, request: pytest.FixtureRequest) -> None:
    """However long or wide its job, its cause and its worker are; what tells jobs apart is still to be seen."""
    width = request.node.callspec.params["_terminal"]
    line = Lines(5, full=False).line(shown)
    assert cell_len(line) <= width
    assert "..." in line
    assert line.isprintable()
    assert cell_len(line[: line.index(shown.text[:4])]) == cell_len(Lines(5, full=False).head()) - len("JOB")


def test_a_line_for_a_program_is_cut_at_a_hundred_signs() -> None:
    """A terminal's width is no matter there; whole it is with --full, and still one line."""
    long = job("echo\n" + "x" * 500, state="failed", cause="exit code 1")
    line = Lines(5, full=False).line(long)
    assert "echo\\nx" in line
    assert line.endswith("xxx  (exit code 1)")
    assert "x" * 500 in Lines(5, full=True).line(long)
    assert "\n" not in Lines(5, full=True).line(long)


def test_how_long_it_runs_or_ran() -> None:
    """Of one that waits, nothing."""
    lines = Lines(5, full=False)
    assert " 1m01s  " in lines.line(job(running=61.0))
    assert " 2.5 s  " in lines.line(job(state="succeeded", started=9.0, elapsed=2.5))
    assert "  -  " in lines.line(job(state="queued"))
