"""``penstock top``: how a pipeline works, live in the terminal."""

from __future__ import annotations

import os
import select
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import click

from penstock.cli.commands.workers import state as state_now
from penstock.cli.options import running
from penstock.cli.output import columns, counted, duration, printable
from penstock.errors import NoPipeline
from penstock.job.display import shortened

if TYPE_CHECKING:
    from rich.console import Group

    from penstock import Pipeline
    from penstock.client.records import BatchStatus, JobInfo, PipelineStatus, WorkerInfo

BATCHES = 50
"""Asked for: more than a screen has lines for."""
RUNNING = 20
"""Jobs that are asked for: those that have run longest."""
FIXED_LINES = 7
"""Of the screen: the heading, the heads of workers and batches, the lines between."""
JOB_LINES = 2
"""The head of the jobs that run, and the line before it."""
LINES_WITH_JOBS = 8
"""On fewer the jobs that run are left out."""
SHARE = 3
"""Workers, and jobs that run, have each one so-manieth of the lines at most."""

Row = tuple[str, ...]
Pressed = Callable[[float], str]
"""Waits so many seconds for a key."""
WORKER_HEAD = ("WORKER", "HOST", "SLOTS", "RUNNING", "DONE", "PER SECOND", "STATE")
BATCH_HEAD = ("BATCH", "NAME", "DONE", "OF", "FAILED", "RUNNING", "PER SECOND", "TIME LEFT")
WIDE = frozenset({"NAME", "RUNS", "HOST"})
"""What has the room that the others leave."""
JOB_HEAD = ("JOB", "WORKER", "TIME", "RUNS")


NUMBERS = frozenset({"SLOTS", "DONE", "OF", "FAILED", "RUNNING", "PER SECOND", "TIME LEFT", "TIME"})


class Sample(NamedTuple):
    """How things stood at one moment."""

    at: float
    """When it was, in seconds of the monotonic clock."""
    status: PipelineStatus
    batches: list[BatchStatus]
    running: Sequence[JobInfo] = ()
    """Those that have run longest."""


class View(NamedTuple):
    """What is shown: text only, with the rates since the sample before."""

    heading: tuple[str, ...]
    workers: list[Row]
    batches: list[Row]
    jobs: list[Row]


@click.command("top", short_help="Watch the pipeline at work, live in the terminal.")
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.FloatRange(0.1),
    default=1.0,
    show_default=True,
    help="Look again after this many seconds.",
)
@running
def command(url: str, interval: float) -> None:
    """Show workers, slots, rates, batches and the jobs that have run longest, until q or Ctrl-C ends it.

    If stdout is not a terminal, it prints one look, with the rates of one interval.
    """
    from penstock import Pipeline

    with Pipeline(url) as pipeline:
        if sys.stdout.isatty():
            _live(pipeline, interval)
        else:
            look = sampler(pipeline)
            first = look()
            time.sleep(interval)
            _print(view(first, look()))


def sampler(pipeline: Pipeline) -> Callable[[], Sample]:
    """Looks, again and again."""
    from penstock.client.command_line import running_jobs

    running = running_jobs(pipeline)

    def look() -> Sample:
        status, batches = pipeline.status(), pipeline.batches(limit=BATCHES)
        return Sample(time.monotonic(), status, batches, running(RUNNING))

    return look


def view(before: Sample, now: Sample) -> View:
    """What two looks tell."""
    span = max(now.at - before.at, 1e-9)
    status = now.status
    done_before = {worker.id: worker.done for worker in before.status.workers}
    ended_before = {batch.id: batch.finished for batch in before.batches}
    rates = {worker.id: max(0, worker.done - done_before.get(worker.id, 0)) / span for worker in status.workers}
    paces = {batch.id: max(0, batch.finished - ended_before.get(batch.id, 0)) / span for batch in now.batches}
    who = f"{counted(len(status.workers), 'worker')}, {counted(status.slots, 'slot')}"
    heading = (
        printable(f"penstock {status.version} at {status.url}"),
        f"{who}   {status.waiting} waiting, {status.running} running   "
        f"{sum(paces.values()):.1f} jobs per second"
        + ("   paused" if status.paused else "")
        + ("" if status.sink_present else "   no sink is connected"),
    )
    busiest = sorted(status.workers, key=lambda worker: (-worker.running, worker.name))
    open_first = sorted(now.batches, key=lambda batch: batch.done)
    return View(
        heading,
        [_worker(worker, rates[worker.id]) for worker in busiest],
        [_batch(batch, paces[batch.id]) for batch in open_first],
        [_job(job) for job in now.running],
    )


def _worker(worker: WorkerInfo, rate: float) -> Row:
    state = "idle" if not worker.running and state_now(worker) == "working" else state_now(worker)
    cells = (worker.name, worker.host, worker.slots, worker.running, worker.done, f"{rate:.1f}", state)
    return tuple(printable(str(cell)) for cell in cells)


def _batch(batch: BatchStatus, rate: float) -> Row:
    total = batch.accepted if batch.total is None else batch.total
    pace = "paused" if batch.paused else "-"
    left = "done" if batch.done else duration((total - batch.finished) / rate) if rate else pace
    ended = batch.finished, total, batch.unsuccessful
    cells = (batch.id[-12:], batch.name or batch.title, *ended, batch.running, f"{rate:.1f}", left)
    return tuple(printable(str(cell)) for cell in cells)


def _job(job: JobInfo) -> Row:
    batch, _, index = job.id.partition(":")
    time = "-" if job.running is None else duration(job.running)
    return f"{batch[-12:]}:{index}", printable(job.worker), time, shortened(job.text)


def _print(shown: View) -> None:
    print("\n".join(shown.heading))
    columns(WORKER_HEAD, shown.workers)
    columns(BATCH_HEAD, shown.batches)
    columns(JOB_HEAD, shown.jobs)


def _live(pipeline: Pipeline, interval: float) -> None:
    from rich.live import Live

    look = sampler(pipeline)
    before = now = look()
    lost = ""
    with _keys() as pressed, Live(screen=True, auto_refresh=False) as live:
        while True:
            live.update(screen(view(before, now), lost), refresh=True)
            if pressed(interval) in {"q", "Q", "\x03", "\x04"}:
                return
            try:
                before, now, lost = now, look(), ""
            except NoPipeline as error:
                lost = printable(str(error))


def screen(shown: View, lost: str = "") -> Group:
    """As it is on a terminal of the size there is."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    def table(head: Row, rows: list[Row], lines: int) -> Table:
        made = Table(box=None, header_style="reverse", expand=True, pad_edge=False)
        for name in head:
            made.add_column(name, justify="right" if name in NUMBERS else "left", ratio=1 if name in WIDE else None)
        for row in rows[:lines]:
            made.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row))
        return made

    lines = max(2, shutil.get_terminal_size().lines - FIXED_LINES)
    for_workers = min(len(shown.workers), max(1, lines // SHARE))
    for_jobs = min(len(shown.jobs), lines // SHARE) if lines >= LINES_WITH_JOBS else 0
    for_batches = lines - for_workers - (for_jobs + JOB_LINES if for_jobs else 0)
    first, *others = shown.heading
    return Group(
        Text(f"{first}   (q ends)", style="bold", no_wrap=True),
        *(Text(line, no_wrap=True) for line in others),
        Text(lost, style="red"),
        table(WORKER_HEAD, shown.workers, for_workers),
        Text(_more(len(shown.workers), for_workers)),
        table(BATCH_HEAD, shown.batches, for_batches),
        *((Text(), table(JOB_HEAD, shown.jobs, for_jobs)) if for_jobs else ()),
    )


def _more(count: int, lines: int) -> str:
    return f"... and {count - lines} more" if count > lines else ""


def _no_key(seconds: float) -> str:
    time.sleep(seconds)
    return ""


@contextmanager
def _keys() -> Iterator[Pressed]:
    """Reads single keys, without showing them, while this lasts; none when stdin is no terminal."""
    if not sys.stdin.isatty():
        yield _no_key
        return
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield lambda seconds: os.read(fd, 1).decode("latin-1") if select.select([fd], [], [], seconds)[0] else ""
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
