"""``penstock retry``: open jobs again that did not succeed."""

from __future__ import annotations

import click

from penstock.cli.commands.cancel import named
from penstock.cli.options import running
from penstock.cli.output import counted, say


@click.command("retry", short_help="Run the unsuccessful jobs of a batch again.")
@running
@click.argument("which", metavar="BATCH[:INDEX]")
def command(url: str, which: str) -> None:
    """Run the jobs of BATCH again that failed, timed out, were cancelled or are dead, or the one job BATCH:INDEX.

    Their new outcome counts from then on; `penstock show` still lists the earlier attempts.
    """
    from penstock import Pipeline

    with Pipeline(url) as pipeline:
        batch, index = named(pipeline, which)
        jobs = batch.retry(index)
    say(f"{which}: {counted(jobs, 'job')} will run again")
