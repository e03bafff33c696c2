"""``--where`` of what acts on many: it counts, asks, and says how far it is."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from penstock.cli.confirm import confirm
from penstock.cli.option_types import EMPTY, OptionDecorator
from penstock.cli.output import counted, say
from penstock.cli.run.progress import ERASE_LINE, REDRAW_INTERVAL, can_take_back
from penstock.errors import NoLongerKept
from penstock.job.filters import Filter, Term

if TYPE_CHECKING:
    from penstock import Batch
    from penstock.client.command_line import Many


class Words(NamedTuple):
    """How it is told, before and after."""

    before: str
    """As in "7 jobs of 2 batches will run again. Retry them?"."""
    question: str
    after: str
    """As in "7 jobs will run again"."""
    none: str
    """If nothing fits."""
    of_batches: bool = False
    """Whether batches are counted, when it is done."""


def where_option(what: str) -> OptionDecorator:
    """``--where`` of a command that acts; `what`: on what it does."""
    return click.option("--where", type=Meant(), metavar="FILTER", help=f"{what} that fit.")


class Meant(click.ParamType[Filter]):
    """A filter that is not empty: that would mean all that there is."""

    name = "filter"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Filter:
        """Raises ConfigError: it says nothing; BadParameter: it is empty."""
        found = value if isinstance(value, Filter) else Filter.parse(value)
        if not found.terms:
            self.fail(EMPTY, param, ctx)
        return found


def meant(attach: Callable[[str], Batch], where: Filter, batch: str | None) -> Filter:
    """The filter, for what is in this batch if one is named. Raises UsageError: it is a job; NoSuchBatch."""
    if batch is None:
        return where
    if ":" in batch:
        raise click.UsageError(f"{batch} is one job: give it alone, or a batch or none with --where")
    return Filter((*where.terms, Term("batch", "=", (attach(batch).id,))))


def act(many: Many, words: Words, *, yes: bool) -> None:
    """Say how many there are, ask, do it, and say to how many it was done. Raises click.Abort: no; UsageError: nobody
    can answer; NoLongerKept: some jobs could not be opened again."""
    with _line() as show:
        for _ in many.count():
            show(f"{counted(many.jobs, 'job')} found")
    if not many.jobs:
        say(words.none)
        return
    jobs, batches = counted(many.jobs, "job"), _batches(many.batches)
    concerned = f"{batches} with {jobs}" if words.of_batches else f"{jobs} of {batches}"
    confirm(f"{concerned} {words.before}. {words.question}", yes=yes)
    is_whole = False
    try:
        with _line() as show:
            for _ in many.act():
                show(f"{many.done} of {many.batches if words.of_batches else many.jobs}")
        is_whole = True
    finally:  # also on Ctrl-C
        done = _batches(many.done) if words.of_batches else counted(many.done, "job")
        cut = f"at least {done} {words.after}: the same command goes on with what is left"  # one step was on its way
        say(f"{done} {words.after}" if is_whole else cut)
    if many.lost:
        raise NoLongerKept(f"{counted(many.lost, 'job')} cannot run again, the first because {many.why}")


def _batches(count: int) -> str:
    return f"{count} batch" if count == 1 else f"{count} batches"


@contextmanager
def _line() -> Iterator[Callable[[str], None]]:
    """Shows one line on a terminal, the newest in place of the one before, and takes it back in the end."""
    drawn_at = time.monotonic() if can_take_back(sys.stderr.isatty(), os.environ) else math.inf

    def show(text: str) -> None:
        nonlocal drawn_at
        if time.monotonic() >= drawn_at + REDRAW_INTERVAL:
            drawn_at = time.monotonic()
            _draw(text)

    try:
        yield show
    finally:
        if drawn_at < math.inf:
            _draw("")


def _draw(text: str) -> None:
    sys.stderr.buffer.write(ERASE_LINE + text.encode())
    sys.stderr.buffer.flush()
