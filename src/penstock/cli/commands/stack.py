"""``penstock stack``: where a running job is."""

from __future__ import annotations

import click

from penstock.cli.commands.show import job_name
from penstock.cli.options import running
from penstock.cli.output import printable


@click.command("stack", short_help="Print the stack of a running job.")
@running
@click.argument("job", metavar="BATCH:INDEX")
def command(url: str, job: str) -> None:
    """Print where a running job is, without stopping it.

    That is the stacks of its threads, each with the most recent call first, and its processes with their states; of a
    command the processes alone. The exit code is 1 if the job does not run.
    """
    from penstock import Pipeline

    name, index = job_name(job)
    with Pipeline(url) as pipeline:
        text = pipeline.attach(name).stack(index)
    print("\n".join(map(printable, text.splitlines())))
