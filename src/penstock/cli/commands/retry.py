"""``penstock retry``: open jobs again that did not succeed."""

from __future__ import annotations

import click

from penstock.cli.commands.cancel import WHICH, named
from penstock.cli.confirm import yes
from penstock.cli.many import Words, act, meant, where_option
from penstock.cli.options import running
from penstock.cli.output import counted, say
from penstock.job.filters import Filter

WORDS = Words(
    "will run again",
    "Retry them?",
    "will run again",
    "nothing to retry: no job that failed, timed out, was cancelled or is dead fits",
)


@click.command("retry", short_help="Run unsuccessful jobs again.")
@running
@where_option("Run all jobs again")
@yes
@click.argument("which", metavar="[BATCH[:INDEX]]", required=False)
def command(url: str, where: Filter | None, yes: bool, which: str | None) -> None:
    """Run the jobs of BATCH again that failed, timed out, were cancelled or are dead, or the one job BATCH:INDEX.

    With --where it is those of BATCH, or without BATCH of the whole pipeline, that fit FILTER, such as 'state=failed
    error~Timeout': `penstock jobs --where FILTER` lists them. They are counted first, and it asks.

    Their new outcome counts from then on; `penstock show` still lists the earlier attempts.
    """
    from penstock import Pipeline
    from penstock.client.command_line import Retries, ventilator_at

    if where is not None:
        with ventilator_at(url) as ventilator:
            act(ventilator.many(Retries, meant(ventilator.attach, where, which)), WORDS, yes=yes)
        return
    if which is None:
        raise click.UsageError(WHICH)
    with Pipeline(url) as pipeline:
        batch, index = named(pipeline, which)
        jobs = batch.retry(index)
    say(f"{which}: {counted(jobs, 'job')} will run again")
