"""``penstock worker``: the process that runs jobs."""

from __future__ import annotations

import os
import socket

import click

from penstock.cli.options import debug, key_path, keyed, url_option, without_pickles


@click.command("worker", short_help="Run a worker: so many jobs at once, on this machine.")
@url_option("--connect", "The pipeline.")
@keyed
@without_pickles
@click.option("--slots", type=click.IntRange(1), envvar="PENSTOCK_SLOTS", help="Jobs at once.  [default: usable cores]")
@click.option(
    "--name", envvar="PENSTOCK_NAME", help="What people call it.  [default: HOST-PID; with a key KEY/HOST/PID]"
)
@click.option("--allow-user", "users", multiple=True, metavar="NAME", help="Jobs may run as NAME (worker as root).")
@debug
def command(url: str, slots: int | None, name: str | None, users: tuple[str, ...], no_pickle: bool) -> int:
    """Run a worker until SIGTERM or Ctrl-C, which let it finish what runs; a second one hands everything back now."""
    from penstock.config import WorkerConfig, default_slots
    from penstock.worker import main

    name, slots = name or default_name(), slots or default_slots()
    return main(WorkerConfig(url=url, key=key_path(), no_pickle=no_pickle, slots=slots, name=name, allow_users=users))


def default_name() -> str:
    """A worker's name when nobody gave one; under a key, the key's name comes before it."""
    return f"{socket.gethostname()}{'/' if key_path() else '-'}{os.getpid()}"
