"""``penstock jobs``: the jobs of one batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from penstock.cli.options import as_json, running
from penstock.cli.output import duration, json_line, outcome_record, printable, say
from penstock.cli.results import recorded

if TYPE_CHECKING:
    from penstock.outcome import Outcome

LEFT_OUT = ("value", "stdout", "stderr", "traceback")
"""Of a job's record: `results` and `show` have them."""


@click.command("jobs", short_help="The jobs of one batch.")
@running
@as_json
@click.argument("batch")
def command(url: str, as_json: bool, batch: str) -> None:
    """List the jobs of BATCH that have an outcome, as they were recorded, and count the others.

    BATCH is an id, a unique beginning or end of one, a name (the newest), or `last`.
    """
    from penstock import Pipeline

    with Pipeline(url) as pipeline:
        handle = pipeline.attach(batch)
        status = handle.status()
        if not as_json:
            print(f"{'INDEX':>8}  {'STATE':9}  {'ATTEMPTS':>8}  {'TIME':>8}  {'WORKER':16}  CAUSE")
        for outcome in recorded(handle, status.finished):
            _show(outcome, as_json=as_json)
    if not status.done:
        say(f"{status.leased} given out, {status.waiting} waiting")


def _show(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        json_line({name: value for name, value in outcome_record(outcome).items() if name not in LEFT_OUT})
        return
    cause = printable(outcome.cause)
    line = (
        f"{outcome.index:>8}  {outcome.state:9}  {outcome.attempts:>8}  {duration(outcome.elapsed):>8}  "
        f"{printable(outcome.worker):16}  {cause}"
    )
    print(line.rstrip())
