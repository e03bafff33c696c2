"""``penstock cancel``: end jobs, running ones too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from penstock.cli.commands.show import job_of
from penstock.cli.options import running
from penstock.cli.output import say

if TYPE_CHECKING:
    from penstock import Batch, Pipeline


@click.command("cancel", short_help="Cancel a batch, or one job of it.")
@running
@click.argument("which", metavar="BATCH[:INDEX]")
def command(url: str, which: str) -> None:
    """Cancel all jobs of BATCH that have not ended, or the one job BATCH:INDEX; running jobs are ended."""
    from penstock import Pipeline

    with Pipeline(url) as pipeline:
        pipeline.cancel(named(pipeline, which))
    say(f"{which}: all that had not ended is cancelled")


def named(pipeline: Pipeline, which: str) -> Batch | str:
    """The batch or the job that is named so. UsageError: it is written as neither. Raises NoSuchBatch."""
    if ":" not in which:
        return pipeline.attach(which)
    batch, index = job_of(pipeline, which)
    return f"{batch.id}:{index}"
