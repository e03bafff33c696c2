"""``penstock jobs``: the jobs of one batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from penstock.cli.options import as_json, running
from penstock.cli.output import cells, clipped, duration, json_line, padded, printable, say, screen_cells
from penstock.job.display import SHORT, shortened

if TYPE_CHECKING:
    from penstock.client.records import JobInfo

STATES = ("queued", "delayed", "running", "succeeded", "failed", "timed_out", "cancelled", "dead")
NARROW = 100
"""On a terminal with fewer columns some are left out: what a job is matters more."""
WORKER_CELLS, WORKER_CELLS_NARROW = 12, 8
LEAST_CELLS = 12
"""That are left to a job on the narrowest terminal, and to its cause."""
CAUSE_SHARE = 0.4
"""Of what is left to a job and its cause, the most that a cause has if both are too long."""


@click.command("jobs", short_help="List the jobs of one batch.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STATES),
    help="List only jobs in this state; given more than once: in one of these.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="List at most this many.")
@click.option("--full", is_flag=True, help="Show commands and arguments whole, however long they are.")
@as_json
@click.argument("batch")
@running
def command(url: str, states: tuple[str, ...], limit: int | None, full: bool, as_json: bool, batch: str) -> None:
    """List the jobs of BATCH, waiting and running ones too: the state of each, and what it runs.

    BATCH is an id, a unique beginning or end of one, a name (the newest), or `last`. Arguments are read
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
        self._is_narrow = self._screen is not None and self._screen < NARROW
        self._worker_width = WORKER_CELLS_NARROW if self._is_narrow else WORKER_CELLS

    def head(self) -> str:
        """What stands over them."""
        return self._begin("INDEX", "STATE", "ATTEMPTS", "TIME", "WORKER") + "JOB"

    def _begin(self, index: str, state: str, attempts: str, time: str, worker: str) -> str:
        worker = padded(worker, self._worker_width if self._screen else max(self._worker_width, cells(worker)))
        attempts = "" if self._is_narrow else f"{attempts:>8}  "
        return f"{index:>{self._index_width}}  {state:9}  {attempts}{time:>7}  {worker}  "

    def line(self, job: JobInfo) -> str:
        """The line of one job."""
        seconds = job.running if job.state == "running" else job.elapsed if job.started else None
        time = "-" if seconds is None else duration(seconds)
        begin = self._begin(str(job.index), job.state, str(job.attempts), time, printable(job.worker))
        return (begin + self._what(job, cells(begin))).rstrip()

    def _what(self, job: JobInfo, used: int) -> str:
        """The job, and behind it why it failed."""
        if self._full:
            return printable(job.text) + (f"  ({printable(job.cause)})" if job.cause else "")
        cause = f"  ({shortened(job.cause)})" if job.cause else ""
        text = shortened(job.text)
        if self._screen is None:
            return text + cause
        room = max(2 * LEAST_CELLS, self._screen - used)
        cause = clipped(cause, max(LEAST_CELLS, int(room * CAUSE_SHARE), room - cells(text)))
        room = max(LEAST_CELLS, min(SHORT, room - cells(cause)))
        return clipped(shortened(job.text, room), room) + cause
