"""``penstock delete``: forget a batch and its results."""

from __future__ import annotations

import click

from penstock.cli.options import running
from penstock.cli.output import say


@click.command("delete", short_help="Delete a batch and its results.")
@running
@click.argument("batch")
def command(url: str, batch: str) -> None:
    """Delete BATCH with all that is recorded of it; jobs of it that have not ended are cancelled."""
    from penstock import Pipeline

    if ":" in batch:
        raise click.UsageError(
            f"{batch} is a job, but only whole batches are deleted: `penstock delete {batch.partition(':')[0]}`"
        )
    with Pipeline(url) as pipeline:
        pipeline.attach(batch).delete()
    say(f"{batch} is deleted")
