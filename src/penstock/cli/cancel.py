"""``penstock cancel``: end jobs, running ones too."""

from __future__ import annotations

import click

from penstock.cli.options import running
from penstock.cli.output import say
from penstock.cli.show import job_name


@click.command("cancel", short_help="End a batch or one job of it.")
@running
@click.argument("which", metavar="BATCH[:INDEX]")
def command(url: str, which: str) -> None:
    """End all jobs of BATCH that have no outcome yet, or the one job BATCH:INDEX; running ones too."""
    from penstock import Pipeline

    with Pipeline(url) as pipeline:
        if ":" in which:
            batch, index = job_name(which)
            pipeline.cancel(f"{pipeline.attach(batch).id}:{index}")
        else:
            pipeline.attach(which).cancel()
    say(f"{which} is cancelled")
