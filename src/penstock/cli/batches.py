"""``penstock batches``: what was handed in, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from penstock.cli.options import as_json, running
from penstock.cli.output import columns, json_line, local_time

if TYPE_CHECKING:
    from penstock.outcome import BatchStatus

NEWEST = 50
"""How many are shown: a screen."""


@click.command("batches", short_help="The newest batches.")
@running
@click.option("--name", default="", help="Only batches of this name.")
@as_json
def command(url: str, name: str, as_json: bool) -> None:
    """List the newest 50 batches and what their jobs came to."""
    from penstock import Pipeline

    with Pipeline(url) as pipeline:
        found = pipeline.batches(name, limit=NEWEST)
    if as_json:
        for batch in found:
            json_line(msgspec.structs.asdict(batch))
        return
    columns(("BATCH", "NAME", "JOBS", "DONE", "FAILED", "STATE", "CREATED"), map(_row, found))


def _row(batch: BatchStatus) -> tuple[object, ...]:
    jobs = batch.accepted if batch.total is None else batch.total
    failed = batch.finished - batch.succeeded
    state = "done" if batch.done else "working" if batch.leased else "waiting"
    return batch.id, batch.name, jobs, batch.finished, failed, state, local_time(batch.created)
