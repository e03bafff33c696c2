"""``penstock why``: why a job does not run."""

from __future__ import annotations

import click

from penstock.cli.commands.show import job_name
from penstock.cli.options import running
from penstock.cli.output import in_local_time, printable
from penstock.job.display import shortened


@click.command("why", short_help="Say why a job does not run, or where it runs.")
@running
@click.argument("job", metavar="BATCH:INDEX")
def command(url: str, job: str) -> None:
    """Say in one line what a job waits for, where it runs, or how it ended; and what it runs."""
    from penstock import Pipeline

    name, index = job_name(job)
    with Pipeline(url) as pipeline:
        batch = pipeline.attach(name)
        reason = batch.why(index)
        text = shortened(batch.job(index).text)
    print(f"{batch.id}:{index}: {printable(in_local_time(reason))}{f': {text}' if text else ''}")
