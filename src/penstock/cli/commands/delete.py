"""``penstock delete``: forget a batch and its results."""

from __future__ import annotations

import click

from penstock.cli.confirm import yes
from penstock.cli.many import Words, act, where_option
from penstock.cli.options import running
from penstock.cli.output import say
from penstock.job.filters import Filter

WORDS = Words(
    "will be deleted, with their results", "Delete them?", "deleted", "nothing to delete: no ended batch fits", True
)


@click.command("delete", short_help="Delete a batch and its results.")
@running
@where_option("Delete all ended batches")
@yes
@click.argument("batch", required=False)
def command(url: str, where: Filter | None, yes: bool, batch: str | None) -> None:
    """Delete BATCH with all that is recorded of it; jobs of it that have not ended are cancelled.

    With --where it is all batches that have ended and fit FILTER, such as 'name=nightly
    submitted<2026-11-01T00:00Z'. It can ask for batch, name, owner, function, command and submitted: no part of a
    batch is deleted. They are counted first, and it asks. A batch that has not ended stays.
    """
    from penstock import Pipeline
    from penstock.client.command_line import Deletions, ventilator_at

    if where is not None and batch is not None:
        raise click.UsageError("give BATCH, or --where FILTER, but not both")
    if where is not None:
        with ventilator_at(url) as ventilator:
            act(ventilator.many(Deletions, where), WORDS, yes=yes)
        return
    if batch is None:
        raise click.UsageError("say which batches: BATCH or --where FILTER")
    if ":" in batch:
        raise click.UsageError(
            f"{batch} is a job, but only whole batches are deleted: `penstock delete {batch.partition(':')[0]}`"
        )
    with Pipeline(url) as pipeline:
        pipeline.attach(batch).delete()
    say(f"{batch} is deleted")
