"""``penstock events``: what has happened."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from penstock.cli.options import as_json, running
from penstock.cli.output import json_line, local_time, printable

if TYPE_CHECKING:
    from penstock.client.records import Event

NEWEST = 50
"""How many are shown unless a number is given: a screen."""


@click.command("events", short_help="List what has happened.")
@click.option("--follow", is_flag=True, help="Go on listing what happens, also after restarts, until Ctrl-C.")
@click.option(
    "--from",
    "first",
    type=click.IntRange(1),
    metavar="N",
    help="Begin with the event of this number. Default: list the newest 50.",
)
@as_json
@running
def command(url: str, follow: bool, first: int | None, as_json: bool) -> None:
    """List what has happened: batches, workers, and what people have asked for.

    Each event has a number, one more than the last one, also over restarts: whoever remembers the number that was read
    last, and begins with the next one, misses nothing. The newest 100,000 are kept. Calls of `map` are no events, since
    whoever reads their results is there.
    """
    from penstock import Pipeline

    with Pipeline(url) as pipeline:
        after = max(0, pipeline.last_event() - NEWEST) if first is None else first - 1
        for event in pipeline.events(after, follow=follow):
            if as_json:
                json_line(event.asdict())
            else:
                print(printable(_line(event)))
            if follow:
                sys.stdout.flush()


def _line(event: Event) -> str:
    told = {"batch": event.batch, **event.fields} if event.batch else event.fields
    words = " ".join(f"{name}={value}" for name, value in told.items() if value != "")
    return f"{event.number}  {local_time(event.time)}  {event.event}  {words}".rstrip()
