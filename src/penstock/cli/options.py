"""Options that several commands share, with one name and one meaning."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from penstock.cli import settings
from penstock.config import DEFAULT_URL, is_loopback
from penstock.errors import ConfigError

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass
class State:
    """What `main` must know when a command has failed."""

    debug: bool = False
    command_path: str = "penstock"


def _remember_debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    state = context.ensure_object(State)
    state.debug, state.command_path = value, context.command_path


_debug = click.option(
    "--debug",
    is_flag=True,
    envvar="PENSTOCK_DEBUG",
    callback=_remember_debug,
    expose_value=False,
    help="Show the traceback of an error.",
)


def debug(function: Function) -> Function:
    """``--config`` and ``--debug``, of every command."""
    return settings.option(_debug(function))


def running(function: Function) -> Function:
    """``--url`` of a command that needs a running pipeline."""
    option = click.option(
        "--url",
        envvar="PENSTOCK_URL",
        default=DEFAULT_URL,
        show_default=True,
        help="The pipeline.  [env: PENSTOCK_URL]",
    )
    return debug(option(function))


def as_json(function: Function) -> Function:
    """``--json`` of a command that lists."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")(function)


def binding(function: Function) -> Function:
    """``--bind`` and ``--insecure`` of a station that others connect to, and ``--data`` of one with a store."""
    for option in (
        debug,
        click.option(
            "--insecure", is_flag=True, envvar="PENSTOCK_INSECURE", help="Listen beyond this machine, to whoever comes."
        ),
        click.option(
            "--data",
            envvar="PENSTOCK_DATA",
            type=click.Path(path_type=Path, file_okay=False),
            help="The folder of its store.  [env: PENSTOCK_DATA; default: penstock in the user's state folder]",
        ),
        click.option(
            "--bind",
            "url",
            envvar="PENSTOCK_URL",
            default=DEFAULT_URL,
            show_default=True,
            help="Where to listen: tcp://HOST:PORT (six ports from this one) or ipc:///FOLDER.  [env: PENSTOCK_URL]",
        ),
    ):
        function = option(function)
    return function


def checked_bind(url: str, *, insecure: bool) -> str:
    """The URL, if it is right to listen there. ConfigError: strangers could reach it."""
    if not insecure and not is_loopback(url):
        raise ConfigError(
            f"{url} can be reached from other machines, and whoever reaches it runs code here: "
            "bind tcp://127.0.0.1:PORT, or say --insecure in a network that you trust"
        )
    return url


def data_folder(data: Path | None) -> str:
    """The folder of the stores: `data`, or penstock in the user's state folder (XDG_STATE_HOME)."""
    if data is None:
        data = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "penstock"
    return str(data.absolute())
