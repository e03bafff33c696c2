"""``penstock pause``: no job of a batch, or of any, starts until it is resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from penstock.cli.confirm import confirm, yes
from penstock.cli.options import running
from penstock.cli.output import counted, say

if TYPE_CHECKING:
    from penstock.client.records import BatchStatus, PipelineStatus


@click.command("pause", short_help="Start no job of a batch, or of any, until it is resumed.")
@running
@yes
@click.argument("batch", required=False)
def command(url: str, yes: bool, batch: str | None) -> None:
    """Start no job of BATCH any more, or without BATCH no job of the pipeline.

    What runs goes on. What workers have not started is asked back from them. The pause outlasts restarts of all
    stations; `penstock resume` ends it.
    """
    from penstock.client.command_line import ventilator_at

    with ventilator_at(url) as ventilator:
        if batch is None:
            concerned = of_pipeline(ventilator.status())
            confirm(f"{concerned}. Pause the whole pipeline?", yes=yes)
            ventilator.pause(resumes=False)
        else:
            found = ventilator.attach(batch)
            concerned = of_batch(batch, found.status())
            found.pause()
    say(concerned)


def of_batch(name: str, status: BatchStatus) -> str:
    """How many of its jobs wait from now on."""
    jobs = status.accepted if status.total is None else status.total
    return (
        f"{status.waiting} of {counted(jobs, 'job')} of {name} will not start until it is resumed; {running_on(status)}"
    )


def of_pipeline(status: PipelineStatus) -> str:
    """How many jobs of all batches wait from now on."""
    jobs = counted(status.waiting, "job")
    return f"{jobs} of all batches will not start until the pipeline is resumed; {running_on(status)}"


def running_on(status: BatchStatus | PipelineStatus) -> str:
    """What is not concerned."""
    return f"{status.running} {'runs' if status.running == 1 else 'run'} on"
