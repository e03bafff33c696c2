"""``penstock resume``: what was paused goes on."""

from __future__ import annotations

import click

from penstock.cli.options import running
from penstock.cli.output import counted, in_local_time, say


@click.command("resume", short_help="Let a paused batch, or the pipeline, go on.")
@running
@click.argument("batch", required=False)
def command(url: str, batch: str | None) -> None:
    """Let BATCH go on, which was paused, or without BATCH the pipeline.

    A batch that was paused itself stays so when the pipeline goes on, and waits for the pipeline when only the batch is
    resumed.
    """
    from penstock.client.command_line import ventilator_at

    with ventilator_at(url) as ventilator:
        if batch is None:
            waiting, left, name = ventilator.status().waiting, "", "the pipeline"
            ventilator.pause(resumes=True)
        else:
            found = ventilator.attach(batch)
            waiting, name = found.status().waiting, batch
            found.resume()
            left = found.status().waits
    still = f", but {in_local_time(left)}" if left else ""
    say(f"{name} goes on: {counted(waiting, 'job')} may start{still}")
