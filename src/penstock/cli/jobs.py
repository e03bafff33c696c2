"""``penstock jobs``: the jobs of one batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from penstock.cli.options import as_json, running
from penstock.cli.output import cells, clipped, duration, json_line, padded, printable, say, screen_cells
from penstock.faces import SHORT, shortened

if TYPE_CHECKING:
    from penstock.outcome import JobInfo

STATES = ("queued", "delayed", "running", "succeeded", "failed", "timed_out", "cancelled", "dead")
LEAST_TEXT = 12
"""Cells that are left to a job on a narrow terminal, and to its cause."""
WORKER_CELLS = 12
CAUSE_SHARE = 2
"""A cause has at most one so-manieth of what is left to it and its job."""


@click.command("jobs", short_help="The jobs of one batch.")
@running
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STATES),
    help="Only jobs in this state; given more than once: in one of these.",
)
@click.option("--limit", type=click.IntRange(1), help="So many at most.")
@click.option("--full", is_flag=True, help="Whole commands and arguments, however long they are.")
@as_json
@click.argument("batch")
def command(url: str, states: tuple[str, ...], limit: int | None, full: bool, as_json: bool, batch: str) -> None:
    """List the jobs of BATCH, those that wait and run too: how each stands, and what it is.

    BATCH is an id, a unique beginning or end of one, a name (the newest), or `last`. What jobs were given is read
    without opening a pickle: objects are shown by the names of their classes.
    """
    from penstock import Pipeline

    with Pipeline(url) as pipeline:
        handle = pipeline.attach(batch)
        status = handle.status()
        lines = Lines(max(len("INDEX"), len(str(status.accepted))), full=full)
        if not as_json:
            print(lines.head())
        for job in handle.jobs(states, limit=limit, full=full):
            if as_json:
                json_line(msgspec.structs.asdict(job))
            else:
                print(lines.line(job))
    if not status.done:
        say(f"{status.running} running, {status.waiting} waiting")


class Lines:
    """Jobs as lines that are no wider than the terminal, unless they are wanted whole."""

    def __init__(self, index_width: int, *, full: bool) -> None:
        self._index_width = index_width
        self._full = full
        self._screen = None if full else screen_cells()

    def head(self) -> str:
        """What stands over them."""
        worker = padded("WORKER", WORKER_CELLS)
        return f"{'INDEX':>{self._index_width}}  {'STATE':9}  ATTEMPTS  {'TIME':>7}  {worker}  JOB"

    def line(self, job: JobInfo) -> str:
        """One of them."""
        seconds = job.running if job.state == "running" else job.elapsed if job.started else None
        time = "-" if seconds is None else duration(seconds)
        worker = printable(job.worker)
        begin = f"{job.index:>{self._index_width}}  {job.state:9}  {job.attempts:>8}  {time:>7}  "
        begin += f"{padded(worker, WORKER_CELLS if self._screen else max(WORKER_CELLS, cells(worker)))}  "
        return (begin + self._what(job, cells(begin))).rstrip()

    def _what(self, job: JobInfo, used: int) -> str:
        """The job, and behind it why it failed."""
        if self._full:
            return printable(job.text) + (f"  ({printable(job.cause)})" if job.cause else "")
        cause = f"  ({shortened(job.cause)})" if job.cause else ""
        text = shortened(job.text)
        if self._screen is None:
            return text + cause
        room = max(2 * LEAST_TEXT, self._screen - used)
        cause = clipped(cause, max(LEAST_TEXT, room // CAUSE_SHARE, room - cells(text)))
        room = max(LEAST_TEXT, min(SHORT, room - cells(cause)))
        return clipped(shortened(job.text, room), room) + cause
