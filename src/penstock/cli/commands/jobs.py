"""``penstock jobs``: the jobs of one batch, or of all, that fit a filter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click
import msgspec

from penstock.cli.options import as_json, running
from penstock.cli.output import cells, clipped, duration, json_line, padded, printable, say, screen_cells
from penstock.job.display import SHORT, shortened
from penstock.job.filters import STATES, Filter

if TYPE_CHECKING:
    from penstock import Pipeline
    from penstock.client.records import JobInfo

FIRST = 100
"""Jobs that are listed of a whole pipeline unless more are asked for: some screens."""
PAGE = 1_000
"""Jobs that are asked for at once."""
ID_END = 12
"""Digits of a batch's id that are enough to name it, on a terminal."""
ID_CELLS = {True: ID_END + len(":99999"), False: 32 + len(":99999")}
"""Of ids, on a terminal and elsewhere; longer ones move the rest of their line."""
NARROW = 100
"""On a terminal with fewer columns some are left out: what a job is matters more."""
WORKER_CELLS, WORKER_CELLS_NARROW = 12, 8
LEAST_CELLS = 12
"""That are left to a job on the narrowest terminal, and to its cause."""
CAUSE_SHARE = 0.4
"""Of what is left to a job and its cause, the most that a cause has if both are too long."""


@click.command("jobs", short_help="List jobs, of one batch or of all.")
@click.option(
    "--where",
    metavar="FILTER",
    default="",
    help="List only jobs that fit, such as 'state=failed error~Timeout worker=gpu7 wait>5m': each term must hold.",
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STATES),
    help="List only jobs in this state; given more than once: in one of these.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="List at most this many; without BATCH: 100.")
@click.option("--full", is_flag=True, help="Show commands and arguments whole, however long they are.")
@as_json
@click.argument("batch", required=False)
@running
def command(
    url: str, where: str, states: tuple[str, ...], limit: int | None, full: bool, as_json: bool, batch: str | None
) -> None:
    """List the jobs of BATCH, waiting and running ones too: the state of each, and what it runs.

    BATCH is an id, a unique beginning or end of one, a name (the newest), or `last`. Without it the jobs of all batches
    are listed, those of the newest batch first. Arguments are read without opening a pickle: objects are shown by the
    names of their classes.

    A filter has terms with blanks between them: a field, an operator (= != ~ !~ < >) and a value, or several with
    commas between them, of which one must fit. ~ finds a part of a text. The fields are id, batch, name, state,
    function, command, worker, host, error, cause, owner, attempts, wait, ran, submitted, started, ended.
    """
    from penstock import Pipeline

    Filter.parse(where)  # before anybody is asked
    with Pipeline(url) as pipeline:
        handle = None if batch is None else pipeline.attach(batch)
        if handle is not None and not where:
            status = handle.status()
            lines = Lines(max(len("INDEX"), len(str(status.accepted))), full=full)
            _show(handle.jobs(states, limit=limit, full=full), lines, as_json=as_json)
            if not status.done:
                say(f"{status.running} running, {status.waiting} waiting")
            return
        terms = [where, "" if handle is None else f"batch={handle.id}", f"state={','.join(states)}" if states else ""]
        most = FIRST if limit is None and handle is None else limit
        listed = _show(_found(pipeline, " ".join(terms), most, full=full), Lines(None, full=full), as_json=as_json)
        if limit is None and listed == most:
            say(f"the first {most} jobs are listed: --limit N lists more")


def _found(pipeline: Pipeline, where: str, most: int | None, *, full: bool) -> Iterator[JobInfo]:
    """At most so many, asked for page by page."""
    left, after = most, None
    while left is None or left > 0:
        size = PAGE if left is None else min(left, PAGE)
        page = pipeline.jobs(where, size, after, full=full)
        yield from page
        if len(page) < size:
            return
        left, after = None if left is None else left - size, page[-1].id


def _show(jobs: Iterable[JobInfo], lines: Lines, *, as_json: bool) -> int:
    """Print them; returns how many they are."""
    count = 0
    if not as_json:
        print(lines.head())
    for job in jobs:
        count += 1
        if as_json:
            json_line(msgspec.structs.asdict(job))
        else:
            print(lines.line(job))
    return count


class Lines:
    """Jobs as lines that are no wider than the terminal, unless they are wanted whole."""

    def __init__(self, index_width: int | None, *, full: bool) -> None:
        """`index_width`: jobs of one batch are named by their indexes, which are no longer; None: by their ids."""
        self._full = full
        self._screen = None if full else screen_cells()
        self._has_ids = index_width is None
        self._index_width = ID_CELLS[self._screen is not None] if index_width is None else index_width
        self._is_narrow = self._screen is not None and self._screen < NARROW
        self._worker_width = WORKER_CELLS_NARROW if self._is_narrow else WORKER_CELLS

    def head(self) -> str:
        """What stands over them."""
        name = "JOB ID" if self._has_ids else "INDEX"
        return self._begin(name, "STATE", "ATTEMPTS", "TIME", "WORKER") + "JOB"

    def _begin(self, index: str, state: str, attempts: str, time: str, worker: str) -> str:
        worker = padded(worker, self._worker_width if self._screen else max(self._worker_width, cells(worker)))
        attempts = "" if self._is_narrow else f"{attempts:>8}  "
        return f"{index:>{self._index_width}}  {state:9}  {attempts}{time:>7}  {worker}  "

    def line(self, job: JobInfo) -> str:
        """The line of one job."""
        seconds = job.running if job.state == "running" else job.elapsed if job.started else None
        time = "-" if seconds is None else duration(seconds)
        begin = self._begin(self._name(job), job.state, str(job.attempts), time, printable(job.worker))
        return (begin + self._what(job, cells(begin))).rstrip()

    def _name(self, job: JobInfo) -> str:
        """On a terminal the end of a batch's id is enough."""
        if not self._has_ids:
            return str(job.index)
        batch, _, index = job.id.partition(":")
        return f"{batch[-ID_END:] if self._screen else batch}:{index}"

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
