"""The values that a shell can complete: batches, workers and keys there are, pages of the manual, files, commands."""

from __future__ import annotations

import os
import shlex
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from penstock import Pipeline

ASK_TIME = 1.0
"""Seconds in which a pipeline must have answered: who presses TAB waits no longer."""
REACH_TIME = 0.3
"""Seconds in which its ventilator's port must take a connection."""
NEWEST = 50
"""Batches that are offered."""


Values = Callable[[click.Context, str], Iterable[CompletionItem]]


class Offered(click.types.StringParamType):
    """In the place of a parameter's type, in a process that only completes."""

    def __init__(self, values: Values) -> None:
        self._values = values

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - as click calls it
        incomplete: str,
    ) -> list[CompletionItem]:
        """Those that begin so; what a shell would have to quote is left out."""
        return [
            value
            for value in self._values(ctx, incomplete)
            if value.type != "plain" or (value.value.startswith(incomplete) and shlex.quote(value.value) == value.value)
        ]


def offer_values(group: click.Group) -> None:
    """Let each parameter of these commands offer its values, by what its help calls them."""
    for command in group.commands.values():
        if isinstance(command, click.Group):
            offer_values(command)
        for param in command.params:
            name = param.name if param.metavar is None else param.metavar
            values = BY_NAME.get((command.name, param.name)) or BY_METAVAR.get(str(name).upper())
            if values is not None and not getattr(param, "is_flag", False):
                param.type = Offered(values)


def files(_: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """The shell knows them best."""
    yield CompletionItem(incomplete, type="file")


def folders(_: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    yield CompletionItem(incomplete, type="dir")


def words(context: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """A command line: first a program (or a file that is one), then files."""
    yield CompletionItem(incomplete, type="file")
    if not context.params.get("words") and incomplete and "/" not in incomplete:
        yield from (CompletionItem(name) for name in sorted(_programs(incomplete)))


def _programs(beginning: str) -> set[str]:
    found: set[str] = set()
    for folder in os.get_exec_path():
        with suppress(OSError), os.scandir(folder) as entries:
            found |= {one.name for one in entries if one.name.startswith(beginning) and os.access(one.path, os.X_OK)}
    return found


def batches(context: click.Context, _: str) -> Iterator[CompletionItem]:
    """The newest: by name, by id, and `last`."""
    newest = _asked(context, lambda pipeline: pipeline.batches(limit=NEWEST))
    if newest:
        yield CompletionItem("last", help="the newest batch")
    yield from (CompletionItem(name, help="a batch") for name in dict.fromkeys(batch.name for batch in newest) if name)
    for batch in newest:
        yield CompletionItem(batch.id, help=f"{batch.name or 'a batch'}, {batch.finished} of {batch.accepted} done")


def workers(context: click.Context, _: str) -> Iterator[CompletionItem]:
    """Those that are connected."""
    for worker in _asked(context, lambda pipeline: pipeline.workers()):
        yield CompletionItem(worker.name, help=f"{worker.slots} slots on {worker.host}")


def keys(context: click.Context, _: str) -> Iterator[CompletionItem]:
    """Those that were given out and not revoked."""
    from penstock.cli.settings import default_key_folder
    from penstock.keys.files import KeyFolder
    from penstock.wire.guard import new_pair

    folder = context.params.get("folder") or default_key_folder()
    entries = KeyFolder(Path(folder).absolute(), new_pair).entries()
    roles = {one.name: one.role for one in entries if not one.revoked_time}
    yield from (CompletionItem(name, help=f"a key for {role}") for name, role in roles.items())


def topics(_: click.Context, __: str) -> Iterator[CompletionItem]:
    """Pages of the manual."""
    from penstock.guide import pages

    yield from (CompletionItem(page.topic, help=page.purpose) for page in pages())


BY_METAVAR: dict[str, Values] = {
    "FILE": files,
    "HOSTS": files,
    "DIR": folders,
    "FOLDER": folders,
    "BATCH": batches,
    "BATCH[:INDEX]": batches,
    "BATCH:INDEX": batches,
    "WORKER": workers,
    "TOPIC": topics,
    "[COMMAND] [::: ARGUMENT...]": words,
}
"""By what the help of an argument or option calls its value."""
BY_NAME: dict[tuple[str | None, str | None], Values] = {
    ("run", "worker"): workers,
    ("submit", "worker"): workers,
    ("revoke", "name"): keys,
}
"""Of a command, where that says too little."""


def _asked(context: click.Context, question: Callable[[Pipeline], list[Any]]) -> list[Any]:
    """What the pipeline of this command line answers within ASK_TIME; else nothing."""
    from penstock.cli.options import default_url
    from penstock.url import endpoints

    url = context.params.get("url") or os.environ.get("PENSTOCK_URL") or default_url()
    _knock(endpoints(url).desk)
    found: list[Any] = []

    def ask() -> None:
        from penstock import Pipeline

        with suppress(Exception), Pipeline(url) as pipeline:
            found.extend(question(pipeline))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ASK_TIME)
    return list(found)


def _knock(endpoint: str) -> None:
    """Raises OSError: nobody listens there, so nobody is to be waited for."""
    kind, _, place = endpoint.partition("://")
    if kind == "ipc":
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(REACH_TIME)
            connection.connect(place)
    else:
        host, _, port = place.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), REACH_TIME).close()
