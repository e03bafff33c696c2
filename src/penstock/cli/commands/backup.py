"""``penstock backup``: a copy of both stores, also while the stations run."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.cli.options import data_folder, debug
from penstock.cli.output import say
from penstock.errors import ConfigError, StoreError, StoreInUse

if TYPE_CHECKING:
    import psutil

ANSWER_TIME = 30.0
"""Seconds a station may take to begin a copy: it does what is at hand first, and may wait for a full disk."""
LOOK_INTERVAL = 0.05


@click.command("backup", short_help="Copy both stores, also while the stations run.")
@click.option(
    "--data",
    envvar="PENSTOCK_DATA",
    type=click.Path(path_type=Path, file_okay=False),
    help="Copy the stores in this folder.  [env: PENSTOCK_DATA; default: penstock in the user's state folder]",
)
@click.argument("target", type=click.Path(path_type=Path, file_okay=False))
@debug
def command(data: Path | None, target: Path) -> None:
    """Copy the stores of the stations on this machine into the folder TARGET, each as one whole file.

    The queue comes first: so the copy of the results is never older, and stations that are started on the copies know
    the outcome of all that the queue calls done. To restore, stop everything, put the copies into an empty data
    folder, and start again.
    """
    from penstock.sink.store import ResultStore
    from penstock.ventilator.store import QueueStore

    folder = Path(data_folder(data))
    kinds: dict[str, type[QueueStore | ResultStore]] = {"queue.db": QueueStore, "results.db": ResultStore}
    found = [name for name in kinds if (folder / name).exists()]
    if not found:
        raise ConfigError(f"{folder}: there is no store in this folder; name another one with --data")
    for name in found:
        if (target / name).exists():
            raise ConfigError(f"{target / name}: this file exists; a backup never overwrites another one")
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_room(target, folder, found)
    for name in found:
        try:
            store = kinds[name](folder, durable=False)
        except StoreInUse:
            check_room(folder, folder, [name])  # where the station makes it
            shutil.move(copy_by_station(folder, name), target / name)
        else:
            store.back_up(target)
            store.close()
        say(f"{target / name}: {(target / name).stat().st_size:,} bytes")


def check_room(place: Path, folder: Path, names: list[str]) -> None:
    """ConfigError: there is no room for copies of these stores in `folder`."""
    parts = [folder / part for name in names for part in (name, f"{name}-wal")]
    needed = sum(part.stat().st_size for part in parts if part.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise ConfigError(
            f"{place}: its disk has {free:,} bytes left, and the copies take up to {needed:,}: make room, or name"
            " another folder"
        )


def copy_by_station(folder: Path, name: str) -> Path:
    """Tell the process that has the store to copy it; the copy."""
    from penstock.station.store_file import BACKUP

    station = _holder(folder, name)
    copy, part = folder / BACKUP / name, folder / BACKUP / f"{name}.part"
    copy.unlink(missing_ok=True)
    station.send_signal(signal.SIGUSR1)
    end = time.monotonic() + ANSWER_TIME
    while not copy.exists():
        if part.exists():
            end = time.monotonic() + ANSWER_TIME
        if time.monotonic() > end or not station.is_running():
            raise StoreError(f"{folder / name}: process {station.pid} made no copy; its log says why")
        time.sleep(LOOK_INTERVAL)
    return copy


def _holder(folder: Path, name: str) -> psutil.Process:
    """Whoever has the store open."""
    import psutil

    text = (folder / f"{name}.lock").read_text().strip()
    try:
        process = psutil.Process(int(text))
        is_mine = os.getuid() in {0, process.uids().real}
        if is_mine and any("penstock" in word for word in process.cmdline()):
            return process
    except (ValueError, psutil.Error):
        pass
    raise ConfigError(
        f"{folder / name}: it is in use by process {text}, which is not one of your stations on this machine"
    )
