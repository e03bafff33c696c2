"""``penstock failures``: which errors there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from penstock.cli.options import as_json, running
from penstock.cli.output import counted, json_line, local_time, printable, say

if TYPE_CHECKING:
    from penstock.client.records import FailureGroup

WORKERS = 5
"""Names in a line; --json has them all."""


@click.command("failures", short_help="List the errors of failed jobs.")
@as_json
@click.argument("batch", default="")
@running
def command(url: str, as_json: bool, batch: str) -> None:
    """List the errors of the failed jobs of BATCH, or of all batches, and how many jobs have each.

    Errors that differ only in numbers, ids, paths and quoted text are one. Jobs count that failed, timed out or
    are dead; one that runs again counts no more, until it fails again.
    """
    from penstock import Pipeline

    with Pipeline(url) as pipeline:
        failures = pipeline.failures(batch=batch)
    for group in failures:
        if as_json:
            json_line(group.asdict())
        else:
            print("\n".join(_lines(group)))
    if not as_json:
        jobs = sum(group.jobs for group in failures)
        say(f"{counted(jobs, 'job')} failed, of {counted(len(failures), 'error')}" if jobs else "no job has failed")
    if failures.incomplete:
        say("not all jobs are counted yet: ask again in a while")


def _lines(group: FailureGroup) -> list[str]:
    of = f" in {group.batches} batches" if group.batches > 1 else ""
    lines = [f"{counted(group.jobs, 'job')}{of}: {printable(group.error)}"]
    if group.first:
        first, last = local_time(group.first), local_time(group.last)
        lines.append(f"    at {first}" if first == last else f"    from {first} to {last}")
    if group.workers:
        more = f" and {len(group.workers) - WORKERS} more" if len(group.workers) > WORKERS else ""
        lines.append(f"    on {', '.join(map(printable, group.workers[:WORKERS]))}{more}")
    if group.examples:
        lines.append(f"    penstock show {group.examples[0]}")
    return lines
