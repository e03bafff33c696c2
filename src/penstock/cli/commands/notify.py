"""``penstock notify``: tell others what has happened."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from penstock import user_folders
from penstock.cli.event_cursor import Cursor
from penstock.cli.option_types import POSITIVE_DURATION
from penstock.cli.options import running
from penstock.cli.output import say
from penstock.cli.webhooks import UndeliveredError, load_secret, post
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from penstock.client.records import Event

MOMENTS = {"batch-end": "ended", "first-failure": "first_failure"}
"""What can be told, and the event that it is."""
FIRST_PAUSE, LAST_PAUSE = 1.0, 60.0
"""Seconds after which what was not taken is offered again: twice as long each time."""


@click.command("notify", short_help="Tell a web address or a command of batches that end or fail.")
@click.option(
    "--on",
    "moments",
    type=click.Choice(list(MOMENTS)),
    multiple=True,
    required=True,
    help="Tell of each batch that ends, or of the first failure in each; may be given twice.",
)
@click.option(
    "--secret-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Sign what is posted with the secret in this file: whsec_ and base64, as Standard Webhooks has it.",
)
@click.option(
    "--cursor",
    "cursor_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep in this file what was told last. Default: one in the state folder for each TARGET.",
)
@click.option(
    "--timeout", type=POSITIVE_DURATION, default="10s", show_default=True, help="Wait this long for an answer."
)
@click.argument("target", nargs=-1, required=True, metavar="URL | -- COMMAND [ARG]...")
@running
def command(
    url: str,
    moments: tuple[str, ...],
    secret_file: Path | None,
    cursor_file: Path | None,
    timeout: float,
    target: tuple[str, ...],
) -> None:
    """Tell a web address or a command of batches that end, or that fail for the first time, until Ctrl-C.

    Each is told at least once, and in order: what was told last is kept in a file, so that after a restart it goes on
    behind that; what the receiver does not take (no answer, another one than 2xx, another exit code than 0) is offered
    again after a while, for as long as it takes. The first start begins with what happens from then on.

    A web address is sent JSON by POST: type, timestamp and data, with the headers of Standard Webhooks, of which
    webhook-id is the same each time. A command finds the same JSON on its standard input, and PENSTOCK_EVENT and
    PENSTOCK_BATCH in its environment.
    """
    from penstock import Pipeline

    is_web = len(target) == 1 and target[0].startswith(("http://", "https://"))
    if secret_file is not None and not is_web:
        raise click.UsageError("--secret-file signs what is posted: give one http:// or https:// address")
    secret = None if secret_file is None else load_secret(secret_file)
    cursor = Cursor(cursor_file or _usual_cursor(url, moments, target))
    deliver = (lambda event: _post(target[0], event, secret, timeout)) if is_web else lambda event: _run(target, event)
    wanted = {MOMENTS[moment] for moment in moments}
    with Pipeline(url) as pipeline:
        after = cursor.load()
        if after is None:
            after = pipeline.last_event()
            cursor.save(after)
        try:
            for event in pipeline.events(after, follow=True):
                if event.event in wanted:
                    _insist(deliver, event)
                    cursor.save(event.number)
                elif event.event == "not_kept":
                    say(f"events up to number {event.number} were too old to be kept: what they told of is not told")
        except PenstockError as error:
            raise PenstockError(f"{error}; {cursor.path} has the number that was told last") from None


def _usual_cursor(url: str, moments: tuple[str, ...], target: tuple[str, ...]) -> Path:
    digest = hashlib.sha256("\0".join((url, *sorted(moments), *target)).encode()).hexdigest()[:16]
    return user_folders.state() / "penstock" / "notify" / f"{digest}.json"


def _insist(deliver: Callable[[Event], None], event: Event) -> None:
    """Until it is taken."""
    wait = FIRST_PAUSE
    while True:
        try:
            deliver(event)
        except UndeliveredError as error:
            say(f"event {event.number} was not taken: {error}; trying again in {wait:.0f} s")
            time.sleep(wait)
            wait = min(2 * wait, LAST_PAUSE)
        else:
            return


def _body(event: Event) -> bytes:
    moment = datetime.fromtimestamp(event.time, UTC).isoformat().replace("+00:00", "Z")
    data = {"number": event.number, "batch": event.batch, **event.fields}
    return msgspec.json.encode({"type": f"batch.{event.event}", "timestamp": moment, "data": data})


def _post(url: str, event: Event, secret: bytes | None, timeout: float) -> None:
    post(url, f"{event.batch}-{event.number}", int(time.time()), _body(event), secret, timeout)


def _run(argv: tuple[str, ...], event: Event) -> None:
    environment = {**os.environ, "PENSTOCK_EVENT": event.event, "PENSTOCK_BATCH": event.batch}
    try:
        code = subprocess.run(argv, input=_body(event), env=environment, check=False).returncode
    except OSError as error:
        raise UndeliveredError(f"{argv[0]}: {error.strerror}") from None
    if code:
        raise UndeliveredError(f"{argv[0]} ended with {code}")
