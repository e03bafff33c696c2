"""``penstock web``: pages, metrics and health of a running pipeline over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from penstock.cli.option_types import Place, Word
from penstock.cli.options import running
from penstock.cli.output import say
from penstock.errors import ConfigError
from penstock.exit_codes import SUCCESS
from penstock.wire.bind_address import addresses_of, is_loopback

if TYPE_CHECKING:
    from penstock.client.records import PipelineStatus
    from penstock.web.site import Finding

DEFAULT = "127.0.0.1:8765"
HERE = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of this machine, for itself."""
ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what is refused without a name to reach it by
TOKEN_CHARS = 16
"""Of the token for metrics, at least: who guesses it has to go through HTTP."""
OF_CLIENTS = frozenset({"python"})
"""What doctor looks at for those who submit from here."""


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int


class AddressType(Word):
    """HOST:PORT, an IPv6 address in brackets."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Raises BadParameter: it has another form."""
        host, _, port = super().convert(value, param, ctx).rpartition(":")
        is_plain = ":" not in host or (host[:1], host[-1:]) == ("[", "]")
        if not (host.strip("[]") and is_plain and port.isascii() and port.isdecimal() and int(port) < 1 << 16):
            self.fail(f"{value!r} is no address to listen at: write HOST:PORT, as {DEFAULT} or [::1]:8765", param, ctx)
        return Address(host.strip("[]").lower(), int(port))


@click.command("web", short_help="Show the pipeline in a browser, and its metrics.")
@click.option(
    "--listen",
    type=AddressType(),
    default=DEFAULT,
    show_default=True,
    envvar="PENSTOCK_WEB_LISTEN",
    help="Listen for HTTP at HOST:PORT.  [env: PENSTOCK_WEB_LISTEN]",
)
@click.option(
    "--host",
    "names",
    multiple=True,
    metavar="NAME",
    help="Answer also to browsers that know the server by this name, as behind a proxy.",
)
@click.option(
    "--metrics-token-file",
    "token_file",
    type=Place(path_type=Path, dir_okay=False),
    envvar="PENSTOCK_WEB_METRICS_TOKEN_FILE",
    help="Give /metrics only to who has the bearer token in this file.  [env: PENSTOCK_WEB_METRICS_TOKEN_FILE;"
    " default: to this machine, or without a way from others only]",
)
@running
def command(url: str, listen: Address, names: tuple[str, ...], token_file: Path | None) -> int:
    """Show a running pipeline in a browser, until SIGTERM or Ctrl-C; /metrics is for Prometheus.

    It prints an address that logs a browser in, once, and after each login another one. It asks the stations as any
    client does: where there are keys, the role observe is enough. It needs `pip install 'penstock[web]'`.
    """
    try:
        from penstock.web import server
        from penstock.web.sessions import Sessions
        from penstock.web.site import Settings, Site
    except ModuleNotFoundError as error:
        raise ConfigError(f"this needs {error.name}: pip install 'penstock[web]'") from None
    from penstock.web.stations import Stations

    hosts, is_near = _hosts(listen.host, names)
    token = None if token_file is None else _token(token_file)
    try:
        listening = server.listener(*listen)
    except OSError as error:
        raise ConfigError(f"--listen {listen.host}:{listen.port}: {error.strerror or error}") from None
    with listening:
        port = listening.getsockname()[1]
        name = names[0] if names else f"[{listen.host}]" if ":" in listen.host else listen.host
        sessions = Sessions(
            time.monotonic, lambda token: print(f"http://{name}:{port}/login?token={token}", flush=True)
        )
        stations = Stations(url)
        try:
            site = Site(stations, sessions, Settings(port, hosts, is_near, token, _findings))
            server.run(site.app(), listening, ready=sessions.announce)
        finally:
            stations.close()
    return SUCCESS


def _token(path: Path) -> str:
    """What the file says, in one line. Raises ConfigError."""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--metrics-token-file {path}: {getattr(error, 'strerror', None) or error}") from None
    if len(token) < TOKEN_CHARS or not token.isascii() or not token.isprintable():
        raise ConfigError(f"--metrics-token-file {path}: a token is a line of at least {TOKEN_CHARS} ASCII characters")
    return token


def _hosts(host: str, names: tuple[str, ...]) -> tuple[frozenset[str], bool]:
    """The names by which browsers may know the server, and whether only this machine reaches it. Raises UsageError:
    nobody could reach it by any."""
    hosts = frozenset({host, *(name.lower().strip("[]") for name in names)})
    try:
        is_near = all(map(is_loopback, addresses_of(host)))
    except OSError as error:
        raise ConfigError(f"--listen {host}: {error.strerror or error}") from None
    if is_near:
        return hosts | HERE, not names
    if host in ANY and not names:
        raise click.UsageError(f"--listen {host} needs --host NAME: the name that browsers use for this machine")
    say("HTTP here is not encrypted: whoever sees its packets can take a session; put a proxy with TLS before it")
    return (hosts | HERE) - ANY if host in ANY else hosts, False


def _findings(status: PipelineStatus) -> Iterator[Finding]:
    """What doctor finds wrong with a pipeline."""
    from penstock.cli.commands.doctor_reach import judged
    from penstock.web.site import Finding

    for one in judged(status, time.time()):
        if one.state != "ok" and one.check not in OF_CLIENTS:
            yield Finding(one.state, f"{one.check}: {one.said}")
