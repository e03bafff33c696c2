"""What `penstock top` shows."""

from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from penstock.cli.commands.top import Sample, screen, view
from penstock.client.records import BatchStatus, JobInfo, PipelineStatus, WorkerInfo
from support.status_records import worker_info


def worker(name: str, running: int, done: int) -> WorkerInfo:
    held = 2 * running
    return worker_info(id=name, name=name, slots=2, jobs=held, running=running, done=done)


def batch(number: int, total: int | None, **counts: int) -> BatchStatus:
    status = BatchStatus(
        id=f"{number:032x}", name=f"b{number}\n", kind="call", created=1.0, total=total, accepted=9, leased=3, running=1
    )
    return msgspec.structs.replace(status, **counts)


def job(number: int) -> JobInfo:
    return JobInfo(id=f"{number:032x}:7", index=7, state="running", text="f\n" * 100, worker="w", running=61.0)


def sample(at: float, workers: list[WorkerInfo], *batches: BatchStatus, sink: bool = True, jobs: int = 0) -> Sample:
    status = PipelineStatus(
        url="tcp://h:1", version="1", python="3", queued=7, leased=4, running=2, batches=1, sink_present=sink,
        malformed=0, workers=tuple(workers),
    )  # fmt: skip
    return Sample(at, status, list(batches), [job(number) for number in range(jobs)])


def test_rates_are_those_between_two_looks() -> None:
    """Of workers and batches; what is new counts from nothing, and what restarted is not negative."""
    before = sample(10.0, [worker("a", 1, 100), worker("b", 0, 50)], batch(1, 100, succeeded=40))
    now = sample(12.0, [worker("a", 1, 120), worker("b", 0, 3)], batch(1, 100, succeeded=50), batch(2, None, failed=4))
    shown = view(before, now)
    assert [(row[0], row[5], row[6]) for row in shown.workers] == [("a", "10.0", "working"), ("b", "0.0", "idle")]
    assert [row[1:] for row in shown.batches] == [
        (r"b1\n", "50", "100", "0", "1", "5.0", "10 s"),
        (r"b2\n", "4", "9", "4", "1", "2.0", "2.5 s"),
    ]
    assert "9 waiting, 2 running   7.0 jobs per second" in shown.heading[1]


def test_what_is_wrong_with_a_worker_is_its_state() -> None:
    """Whether it runs something or not."""
    lacks = msgspec.structs.replace(worker("a", 1, 0), paused="cannot start 'tool'")
    now = sample(1.0, [lacks, msgspec.structs.replace(worker("b", 0, 0), broken="no memory")])
    assert {(row[0], row[-1]) for row in view(now, now).workers} == {("a", "paused"), ("b", "broken")}


def test_open_batches_and_busy_workers_come_first() -> None:
    """They are what one looks for; and a missing sink is said."""
    now = sample(2.0, [worker("idle", 0, 0), worker("busy", 3, 0)], batch(1, 5, succeeded=5), batch(2, 9), sink=False)
    shown = view(now, now)
    assert [row[0] for row in shown.workers] == ["busy", "idle"]
    assert [row[-1] for row in shown.batches] == ["-", "done"]
    assert "no sink is connected" in shown.heading[1]


@pytest.mark.parametrize("lines", [10, 24])
def test_screen_is_never_overfull(monkeypatch: pytest.MonkeyPatch, lines: int) -> None:
    """A hundred workers, fifty batches, twenty jobs: what is left out is counted, what is wrong is said."""
    monkeypatch.setenv("LINES", str(lines))
    monkeypatch.setenv("COLUMNS", "80")
    now = sample(2.0, [worker(f"w{n}", 1, 0) for n in range(100)], *(batch(n, 9) for n in range(50)), jobs=20)
    console = Console(file=io.StringIO(), width=80, height=lines, record=True)
    console.print(screen(view(now, now), "no ventilator answers"))
    text = console.export_text()
    assert text.count("\n") <= lines
    assert "more" in text
    assert "no ventilator answers" in text
    assert "000000000000" in text
    assert text.count("1m01s") == (5 if lines == 24 else 0)


def test_what_runs_is_shown_by_its_command_or_call() -> None:
    """On one line, beside its id, its worker and for how long it runs; cancelled jobs have not failed."""
    now = sample(2.0, [worker("w", 1, 0)], batch(1, 9, cancelled=3, failed=1), jobs=1)
    shown = view(now, now)
    (row,) = shown.jobs
    assert row[:3] == ("000000000000:7", "w", "1m01s")
    assert row[3].startswith(r"f\nf\n")
    assert len(row[3]) == 100
    assert shown.batches[0][2:5] == ("4", "9", "1")
