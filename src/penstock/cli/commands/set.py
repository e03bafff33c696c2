"""``penstock set``: another priority or limit for a batch that is there."""

from __future__ import annotations

import click

from penstock.cli.commands.pause import running_on
from penstock.cli.option_types import Count
from penstock.cli.options import running
from penstock.cli.output import counted, say


@click.command("set", short_help="Give a batch another priority or limit.")
@running
@click.option("--priority", type=int, metavar="N", help="Run batches with a larger number first.")
@click.option("--limit", type=Count(1), help="Run at most N of its jobs at once, on all workers together.")
@click.argument("batch")
def command(url: str, priority: int | None, limit: int | None, batch: str) -> None:
    """Give BATCH another priority or limit, also while it runs.

    What runs goes on, also if that is more than the new limit. What workers have not started is asked back from them,
    and given out anew.
    """
    from penstock.client.command_line import ventilator_at

    given = {"priority": priority, "limit": limit}
    if not any(value is not None for value in given.values()):
        raise click.UsageError("nothing to set: give --priority, --limit or both")
    with ventilator_at(url) as ventilator:
        found = ventilator.attach(batch)
        status = found.status()
        found.set(**given)
    jobs = counted(status.accepted if status.total is None else status.total, "job")
    new = " and ".join(f"{name} {value}" for name, value in given.items() if value is not None)
    say(f"{status.waiting} of {jobs} of {batch} will start with {new}; {running_on(status)}")
