"""``penstock drain``: let a worker finish and leave."""

from __future__ import annotations

import click

from penstock.cli.options import running
from penstock.cli.output import say


@click.command("drain", short_help="Let a worker finish what it runs and leave.")
@running
@click.argument("worker")
def command(url: str, worker: str) -> None:
    """Let WORKER (a name, or an id) hand back what it has not started, finish the rest and leave."""
    from penstock import Pipeline

    with Pipeline(url) as pipeline:
        pipeline.drain(worker)
    say(f"{worker} finishes its running jobs and leaves")
