"""``penstock why``: why a job does not run."""

from __future__ import annotations

import click

from penstock.cli.options import running
from penstock.cli.output import printable
from penstock.cli.show import job_name


@click.command("why", short_help="Why a job does not run, or where it does.")
@running
@click.argument("job", metavar="BATCH:INDEX")
def command(url: str, job: str) -> None:
    """Say in one line what a job waits for, who has it, or what it came to."""
    from penstock import Pipeline

    name, index = job_name(job)
    with Pipeline(url) as pipeline:
        batch = pipeline.attach(name)
        print(printable(f"{batch.id}:{index}: {batch.why(index)}"))
