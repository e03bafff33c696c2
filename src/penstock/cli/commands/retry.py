"""``penstock retry``: open jobs again that did not succeed."""

from __future__ import annotations

import click

from penstock.cli.commands.cancel import named
from penstock.cli.options import running
from penstock.cli.output import counted, say


@click.command("retry", short_help="Run the jobs of a batch again that did not succeed.")
@running
@click.argument("which", metavar="BATCH[:INDEX]")
def command(url: str, which: str) -> None:
    """Open the jobs of BATCH again that failed, timed out, were cancelled or are dead, or the one job BATCH:INDEX.

    What they come to now counts; what they came to before stays listed by `show`.
    """
    from penstock import Pipeline

    with Pipeline(url) as pipeline:
        jobs = pipeline.retry(named(pipeline, which))
    say(f"{which}: {counted(jobs, 'job')} opened again")
