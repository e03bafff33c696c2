"""``penstock drain``: let a worker finish and leave."""

from __future__ import annotations

import click

from penstock.cli.options import running
from penstock.cli.output import say


@click.command("drain", short_help="Let a worker finish what it runs and leave.")
@running
@click.argument("worker")
def command(url: str, worker: str) -> None:
    """Let WORKER hand back what it has not started, finish the rest and leave.

    WORKER is a name, a beginning of an id, or a host. If it fits more than one, none is drained, and their ids are
    listed.
    """
    from penstock.client.command_line import ventilator_at

    with ventilator_at(url) as ventilator:
        ventilator.drain(worker)
    say(f"{worker} finishes its running jobs and leaves")
