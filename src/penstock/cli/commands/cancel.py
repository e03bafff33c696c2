"""``penstock cancel``: end jobs, running ones too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from penstock.cli.commands.show import job_of
from penstock.cli.options import running
from penstock.cli.output import say

if TYPE_CHECKING:
    from penstock import Batch
    from penstock.cli.commands.show import Attaches


@click.command("cancel", short_help="Cancel a batch, or one job of it.")
@running
@click.argument("which", metavar="BATCH[:INDEX]")
def command(url: str, which: str) -> None:
    """Cancel all jobs of BATCH that have not ended, or the one job BATCH:INDEX; running jobs are ended."""
    from penstock.client.command_line import ventilator_at

    with ventilator_at(url) as ventilator:
        ventilator.cancel(*named(ventilator, which))
    say(f"{which}: all that had not ended is cancelled")


def named(pipeline: Attaches, which: str) -> tuple[Batch, int | None]:
    """The batch that is named so, and the index if it is a job. UsageError: it is written as neither. Raises
    NoSuchBatch."""
    return job_of(pipeline, which) if ":" in which else (pipeline.attach(which), None)
