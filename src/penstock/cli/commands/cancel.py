"""``penstock cancel``: end jobs, running ones too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from penstock.cli.commands.show import job_of
from penstock.cli.confirm import yes
from penstock.cli.many import Words, act, meant, where_option
from penstock.cli.options import running
from penstock.cli.output import say
from penstock.job.filters import Filter

if TYPE_CHECKING:
    from penstock import Batch
    from penstock.cli.commands.show import Attaches

WORDS = Words("will be cancelled", "Cancel them?", "cancelled", "nothing to cancel: no job that has not ended fits")
WHICH = "say which jobs: BATCH, BATCH:INDEX or --where FILTER"


@click.command("cancel", short_help="Cancel a batch, or jobs of it or of all.")
@running
@where_option("Cancel all jobs")
@yes
@click.argument("which", metavar="[BATCH[:INDEX]]", required=False)
def command(url: str, where: Filter | None, yes: bool, which: str | None) -> None:
    """Cancel all jobs of BATCH that have not ended, or the one job BATCH:INDEX; running jobs are ended.

    With --where it is those of BATCH, or without BATCH of the whole pipeline, that fit FILTER, such as 'state=queued
    name=nightly': `penstock jobs --where FILTER` lists them. They are counted first, and it asks. Where the filter
    leaves out running jobs, what starts meanwhile runs on.
    """
    from penstock.client.command_line import Cancellations, ventilator_at

    if which is None and where is None:
        raise click.UsageError(WHICH)
    with ventilator_at(url) as ventilator:
        if where is not None:
            act(ventilator.many(Cancellations, meant(ventilator.attach, where, which)), WORDS, yes=yes)
        elif which is not None:
            ventilator.cancel(*named(ventilator, which))
            say(f"{which}: all that had not ended is cancelled")


def named(pipeline: Attaches, which: str) -> tuple[Batch, int | None]:
    """The batch that is named so, and the index if it is a job. UsageError: it is written as neither. Raises
    NoSuchBatch."""
    return job_of(pipeline, which) if ":" in which else (pipeline.attach(which), None)
