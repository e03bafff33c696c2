"""``penstock batches``: what was handed in, newest first."""

from __future__ import annotations

import time
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

import click
import msgspec

from penstock.cli.options import as_json, running
from penstock.cli.output import columns, json_line, local_time, screen_cells
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock.client.records import BatchStatus

NEWEST = 50
"""How many are shown unless all are asked for: a screen."""
EVERY = 100_000
"""What one answer may hold."""
STATES = ("waiting", "working", "paused", "done", "failed")
HEAD = ("BATCH", "NAME", "OWNER", "JOBS", "DONE", "RUNNING", "FAILED", "CANCELLED", "STATE", "CREATED")
ID_END = 12
DAY = len("2026-05-31")


@click.command("batches", short_help="List the newest batches.")
@click.option("--name", help="List only batches of this name.")
@click.option(
    "--state",
    type=click.Choice(STATES),
    help="List only batches that wait, work, are paused or done, or have a failed job.",
)
@click.option(
    "--since", metavar="TIME", help="List only batches submitted since: 2h (ago), 2026-05-31, 2026-05-31T14:00."
)
@click.option("--all", "every", is_flag=True, help="List all, not only the newest 50.")
@as_json
@running
def command(url: str, name: str | None, state: str | None, since: str | None, every: bool, as_json: bool) -> None:
    """List the newest 50 batches, and how their jobs have ended.

    Jobs that a program submits one by one are in one batch for each function and set of options. A batch without a
    name is listed by its function or command; a terminal shows only the ends of ids, which are enough for BATCH.
    Where there are keys, OWNER is the name of the key that submitted it.
    """
    after = instant(since, time.time()) if since else 0.0
    from penstock.client.command_line import ventilator_at

    with ventilator_at(url) as ventilator:
        found = ventilator.batches(EVERY if every or name is not None or state or since else NEWEST)
    some = (
        batch
        for batch in found
        if name in {None, batch.name} and batch.created >= after and (state is None or is_in(batch, state))
    )
    shown = list(islice(some, None if every else NEWEST))
    if as_json:
        for batch in shown:
            json_line(msgspec.structs.asdict(batch))
        return
    left_out = {"OWNER"} if not any(batch.owner for batch in shown) else set[str]()
    is_narrow = screen_cells() is not None
    if is_narrow and not any(batch.cancelled for batch in shown):
        left_out.add("CANCELLED")
    rows = [_narrow_row(batch, time.time()) if is_narrow else _row(batch) for batch in shown]
    kept = [place for place, name in enumerate(HEAD) if name not in left_out]
    columns([HEAD[at] for at in kept], ([row[at] for at in kept] for row in rows), elastic="NAME" if is_narrow else "")


def is_in(batch: BatchStatus, state: str) -> bool:
    """Whether a batch is in this state; `failed`: some job has failed, whatever the others do; who
    cancelled one knows that."""
    return batch.unsuccessful > 0 if state == "failed" else state_of(batch) == state


def state_of(batch: BatchStatus) -> str:
    """How a batch stands, in one word."""
    return "done" if batch.done else "paused" if batch.paused else "working" if batch.leased else "waiting"


def instant(text: str, now: float) -> float:
    """Seconds since the epoch of a time that is written as so long ago, or as a local date and time. ConfigError: it
    is neither."""
    from penstock.client.command_line import seconds

    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        pass
    try:
        return now - seconds(text)
    except ValueError:
        raise ConfigError(f"--since {text}: write 2h (ago), 2026-05-31 or 2026-05-31T14:00") from None


def _narrow_row(batch: BatchStatus, now: float) -> tuple[object, ...]:
    """For a terminal: the end of the id is enough to name it, and of what is old the day."""
    batch_id, *cells, _ = _row(batch)
    created, today = local_time(batch.created), local_time(now)[:DAY]
    return str(batch_id)[-ID_END:], *cells, created[DAY:].strip() if created[:DAY] == today else created[:DAY]


def _row(batch: BatchStatus) -> tuple[object, ...]:
    jobs = batch.accepted if batch.total is None else batch.total
    ended = batch.finished, batch.running, batch.unsuccessful, batch.cancelled
    return batch.id, batch.name or batch.title, batch.owner, jobs, *ended, state_of(batch), local_time(batch.created)
