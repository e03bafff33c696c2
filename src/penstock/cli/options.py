"""Options that several commands share, with one name and one meaning."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from penstock import url as urls
from penstock import user_folders
from penstock.cli import settings
from penstock.cli.option_types import DURATION, URL, Count, OptionDecorator, Place, together
from penstock.cli.output import say
from penstock.errors import ConfigError
from penstock.file_owner import user_name
from penstock.station.config import TERM_GRACE

KEY_VARIABLE = "PENSTOCK_KEY"


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
    is_eager=True,  # who speaks is known before anything can be wrong
    envvar="PENSTOCK_DEBUG",
    callback=_remember_debug,
    expose_value=False,
    help="Show the traceback of an error.",
)


debug: OptionDecorator = together(settings.option, _debug)
"""``--config`` and ``--debug``, of every command."""


def _remember_key(_: click.Context, __: click.Parameter, value: Path | None) -> None:
    # what is behind a command finds it there: a path is no secret
    if value is not None:
        os.environ[KEY_VARIABLE] = str(value.absolute())


keyed: OptionDecorator = click.option(
    "--key",
    envvar=KEY_VARIABLE,
    type=Place(path_type=Path),
    callback=_remember_key,
    expose_value=False,
    help="Use this key file or key folder.  [env: PENSTOCK_KEY]",
)
"""``--key`` of every command that talks to others; `key_path` has it. It is declared before the URL, which it may say,
and is not eager: the settings file, which may name it, is read before."""


def key_path() -> str:
    """What ``--key`` says, or nothing."""
    return os.environ.get(KEY_VARIABLE, "")


PLAIN = "the key's URL, or that of a plain `penstock up`"


def default_url() -> str:
    """Where the key belongs; without one, what `up` binds."""
    if not key_path():
        return urls.default_url()
    from penstock.keys.files import load
    from penstock.keys.roles import Role

    return load(key_path(), *Role).url


def named_url() -> str:
    """Where the key belongs: for those whose own folder is not where it will be. Raises UsageError: there is none."""
    if not key_path():
        raise click.UsageError("say which pipeline is meant: --url tcp://HOST:PORT, or --key FILE")
    return default_url()


def key_url() -> str | None:
    """Where the key belongs, if there is one."""
    return default_url() if key_path() else None


def url_option(
    flag: str, what: str, default: Callable[[], str] = default_url, default_text: str = PLAIN
) -> OptionDecorator:
    """The option that names a pipeline; `default`: which one, if it is not given."""
    return click.option(
        flag,
        "url",
        envvar="PENSTOCK_URL",
        type=URL,
        default=default,
        show_default=default_text,
        help=f"{what}  [env: PENSTOCK_URL]",
    )


running: OptionDecorator = together(keyed, url_option("--url", "Use the pipeline at this URL."), debug)
"""``--url`` and ``--key`` of a command that needs a running pipeline."""

as_json: OptionDecorator = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
"""``--json`` of a command that lists."""


without_pickles: OptionDecorator = click.option(
    "--no-pickle",
    is_flag=True,
    envvar="PENSTOCK_NO_PICKLE",
    help="Accept no pickles, only commands and calls with serializer='msgpack'.  [env: PENSTOCK_NO_PICKLE]",
)

GRACE_MAX = 86_400.0
"""Seconds: who waits longer for a job to end wants no end of it."""


def _graced(_: click.Context, __: click.Parameter, grace: float | None) -> float:
    if grace is None:  # no default of the option: to read one is to import the client, which a worker does not need
        return TERM_GRACE
    if grace > GRACE_MAX:
        raise click.BadParameter(f"{grace:g} s is too long, a day is the most")
    return grace


def graced(more: str = "", default: str = "") -> OptionDecorator:
    """``--grace``, of whatever has workers of its own; `default`: what else holds without it."""
    return click.option(
        "--grace",
        type=DURATION,
        envvar="PENSTOCK_GRACE",
        callback=_graced,
        help=f"Give jobs that are ended this long between SIGTERM and SIGKILL{more}."
        f"  [default: {TERM_GRACE:g}s{default}]",
    )


binding: OptionDecorator = together(
    keyed,
    url_option(
        "--bind",
        "Listen at tcp://HOST:PORT (six ports, counted from this one) or ipc:///FOLDER.",
        default_text="the key's URL, or ipc:// in a folder of your own",
    ),
    click.option(
        "--data",
        envvar="PENSTOCK_DATA",
        type=Place(path_type=Path, file_okay=False),
        help="Keep the stores in this folder.  [env: PENSTOCK_DATA; default: penstock in the user's state folder]",
    ),
    click.option(
        "--insecure",
        is_flag=True,
        envvar="PENSTOCK_INSECURE",
        help="Listen beyond this machine without keys: whoever reaches it can run code on it.",
    ),
    without_pickles,
    click.option(
        "--frame-bytes", type=Count(1024), help="Refuse frames of more than this many bytes.  [default: 256 MiB]"
    ),
    click.option(
        "--handshake-time",
        type=click.FloatRange(0.1),
        metavar="SECONDS",
        help="Cut off peers whose handshake takes more than this many seconds.  [default: 3]",
    ),
    click.option(
        "--connections", type=Count(1), help="Accept at most this many connections at one socket.  [default: 10000]"
    ),
    click.option(
        "--name-chars",
        type=Count(1, 256),
        help="Refuse names of clients with more than this many characters.  [default: 256]",
    ),
    click.option("--log-chars", type=Count(80), help="Cut log lines after this many characters.  [default: 4000]"),
    click.option(
        "--worker-starts",
        type=click.FloatRange(0.01),
        metavar="N",
        help="Accept at most this many worker starts per second with one key.  [default: 100]",
    ),
    click.option(
        "--answer-bytes",
        type=Count(1 << 20),
        help="Let a client that does not read have at most this many bytes of answers.  [default: 64 MiB]",
    ),
    click.option(
        "--key-answer-bytes",
        type=Count(1 << 20),
        help="The same for all clients of one key together.  [default: 256 MiB]",
    ),
    click.option(
        "--answer-time",
        type=click.FloatRange(1.0),
        metavar="SECONDS",
        help="Cut off a client that has as many and reads nothing for this many seconds.  [default: 60]",
    ),
    click.option(
        "--questions",
        type=Count(1),
        help="Let at most this many questions of one client wait for their answers.  [default: 1000]",
    ),
    click.option(
        "--key-questions",
        type=Count(1),
        help="The same for all clients of one key together.  [default: 10000]",
    ),
    click.option(
        "--follows", type=Count(1), help="Let one key follow at most this many batches at once.  [default: 50000]"
    ),
    click.option(
        "--topics",
        type=Count(1),
        help="Cut off a worker's connection that subscribes to more than this many topics.  [default: 16]",
    ),
    debug,
)
"""``--bind`` and ``--insecure`` of a station that others connect to, and ``--data`` of one with a store."""


health: OptionDecorator = click.option(
    "--health-file",
    envvar="PENSTOCK_HEALTH_FILE",
    default="",
    metavar="FILE",
    help="Write `ready` or `waiting` into FILE every 5 seconds, for probes: one that is older hangs."
    "  [env: PENSTOCK_HEALTH_FILE]",
)
"""``--health-file``, of every command that is one station."""

log_format: OptionDecorator = click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    envvar="PENSTOCK_LOG_FORMAT",
    help="Write the log as lines of text, or as one JSON object per line.  [env: PENSTOCK_LOG_FORMAT]",
)
"""``--log-format``, of every command that is a station or starts some."""

older: OptionDecorator = click.option(
    "--accept-older",
    is_flag=True,
    help="Go on with a queue.db or results.db that is new, or older than the other station knows: what is lost runs"
    " again, or is dead.",
)


def checked_bind(url: str, *, insecure: bool) -> None:
    """Before anything is made or started. ConfigError: strangers could reach it."""
    from penstock.url import endpoints
    from penstock.wire.bind_address import to_bind

    desk = endpoints(url).desk
    if desk.startswith("tcp://"):
        to_bind(desk, guarded=insecure or bool(key_path()))


def station_settings(
    url: str, *, insecure: bool, no_pickle: bool, log_format: str, health_file: str = "", **limits: Any
) -> dict[str, Any]:
    """The options of `binding` and `health` as a station's configuration has them. ConfigError: strangers could
    reach it."""
    from penstock.wire.bounds import Limits

    checked_bind(url, insecure=insecure)
    if url.startswith("tcp://") and not key_path():
        who = "whoever reaches it" if insecure else "every user of this machine"
        say(f"{url} has no keys: {who} can run code here, as {user_name(os.geteuid())} (`penstock guide keys`)")
    return {
        "url": url,
        "key": key_path(),
        "insecure": insecure,
        "no_pickle": no_pickle,
        "health_file": health_file,
        "log_format": log_format,
        "limits": Limits(**{name: value for name, value in limits.items() if value is not None}),
    }


def stores_option(what: str, default: str = "; default: penstock in the user's state folder") -> OptionDecorator:
    """``--data`` of a command that looks at stores which are there; `default`: which ones without it, in its help."""
    folder = click.Path(path_type=Path, file_okay=False)
    return click.option("--data", envvar="PENSTOCK_DATA", type=folder, help=f"{what}  [env: PENSTOCK_DATA{default}]")


def data_folder(data: Path | None) -> str:
    """The folder of the stores: `data`, or penstock in the user's state folder (XDG_STATE_HOME)."""
    if data is None:
        try:
            data = user_folders.state() / "penstock"
        except ConfigError as error:
            raise ConfigError(f"{error}, or name the folder with --data") from None
    return str(data.absolute())
