"""``penstock backup``: a copy of both stores, also while the stations run."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from penstock.cli.options import data_folder, key_path, running, stores_option
from penstock.cli.output import say
from penstock.errors import ConfigError, StoreInUse

if TYPE_CHECKING:
    from penstock.client.command_line import Copying
    from penstock.station.store_file import StoreFile

SAY_INTERVAL = 2.0
"""Seconds between two lines that say how far a copy is."""
NAMES = ("queue.db", "results.db")
"""In the order in which they are copied."""


@click.command("backup", short_help="Copy both stores, also while the stations run.")
@running
@stores_option(
    "Copy the stores in this folder.",
    "; default: those of the stations at --url, or penstock in the user's state folder",
)
@click.argument("target", type=click.Path(path_type=Path, file_okay=False))
@click.pass_context
def command(context: click.Context, url: str, data: Path | None, target: Path) -> None:
    """Copy both stores of a pipeline, queue.db and results.db, into the folder TARGET, each as one whole file.

    Stations that run are asked at --url; with keys that takes the role admin. They copy a little between any two turns,
    so jobs go on. Each writes to TARGET on its own host, as its own user. Stores in --data that no station has open are
    copied by this command.

    The queue comes first: so the copy of the results is never older, and stations that are started on the copies know
    the outcome of all that the queue calls done. To restore, stop everything, put the copies into an empty data
    folder, and start again.
    """
    from penstock.client.command_line import copying_at

    named = bool(key_path()) or context.get_parameter_source("url") is not ParameterSource.DEFAULT
    folder = Path(data_folder(data)) if data is not None or not named else None
    with ExitStack() as stack:
        idle, busy = ({}, list(NAMES)) if folder is None else _stores(folder, stack)
        if not idle and not busy:
            if data is not None:
                raise ConfigError(f"{folder}: there is no store in this folder; name another one with --data")
            folder, busy = None, list(NAMES)
        home = "" if folder is None else str(folder)
        copying = stack.enter_context(copying_at(url, str(target.absolute()), home)) if busy else None
        _look(target.absolute(), idle, copying, busy)
        for name in NAMES:
            if name in idle:
                _copy_idle(idle[name], target.absolute())
            elif name in busy and copying is not None:
                _have_copied(copying, name)


def _stores(folder: Path, stack: ExitStack) -> tuple[dict[str, StoreFile], list[str]]:
    """The stores in this folder that nobody has open, now open here, and the names of those that a station has."""
    from penstock.sink.store import ResultStore
    from penstock.ventilator.store import QueueStore

    kinds: dict[str, type[QueueStore | ResultStore]] = {"queue.db": QueueStore, "results.db": ResultStore}
    idle: dict[str, StoreFile] = {}
    busy: list[str] = []
    for name in NAMES:
        if (folder / name).exists():
            try:
                idle[name] = kinds[name](folder, durable=False)
            except StoreInUse:
                busy.append(name)
            else:
                stack.callback(idle[name].close)
    return idle, busy


def _look(target: Path, idle: dict[str, StoreFile], copying: Copying | None, busy: list[str]) -> None:
    """ConfigError: a copy cannot be made, or there is no room for all that are to be on one host; nothing is begun."""
    from penstock.station.store_copy import check_target, no_room, size_of

    free: dict[str, int] = {}
    needed: dict[str, int] = {}
    for store in idle.values():
        here = socket.gethostname()
        free[here] = check_target(store.path, target)
        needed[here] = needed.get(here, 0) + size_of(store.path)
    for state in map(copying.look, busy) if copying is not None else ():
        free[state.host] = state.free
        needed[state.host] = needed.get(state.host, 0) + state.size
    for host, size in needed.items():
        if free[host] < size:
            raise no_room(target, free[host], size)


def _copy_idle(store: StoreFile, target: Path) -> None:
    from penstock.station.store_copy import StoreCopy

    copy = StoreCopy(store, target)
    try:
        while not copy.step():
            pass
    finally:
        copy.close()
    say(f"{copy.path}: {copy.size:,} bytes")


def _have_copied(copying: Copying, name: str) -> None:
    """Wait until the station has copied its store, and say how far it is."""
    said_at = time.monotonic()
    for state in copying.copy(name):
        there = "" if state.host == socket.gethostname() else f" on host {state.host}"
        if state.copied == 1:
            say(f"{state.path}{there}: {state.size:,} bytes")
        elif state.copied is not None and time.monotonic() >= said_at + SAY_INTERVAL:
            said_at = time.monotonic()
            say(f"{state.path}{there}: {state.copied:.0%} of {state.size:,} bytes are copied")
