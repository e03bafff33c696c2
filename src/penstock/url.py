"""The URL of a pipeline, and the endpoints of its six sockets.

A URL is ``tcp://host:port`` (the first of six consecutive ports), ``tcp://host:port/sinkhost`` where the sink is on a
host of its own (with its two of the six), or ``ipc:///folder`` (six sockets in it).
"""

from __future__ import annotations

import os
import re
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from penstock import user_folders
from penstock.errors import ConfigError
from penstock.file_owner import stranger

SOCKET_NAMES = ("desk", "report", "jobs", "outcomes", "control", "results")
"""In the order of their ports: base + 0 ... base + 5."""

SINK_SOCKETS = ("outcomes", "results")
"""Those that the sink binds."""

IPC_PATH_BYTES = 107
"""The longest path of a unix socket (sun_path, unix(7), less its closing zero)."""

FORMS = "tcp://HOST:PORT, tcp://HOST:PORT/SINKHOST or ipc:///FOLDER"
PORT = re.compile(r"[0-9]{1,5}")
PORT_MAX = 65535 - len(SOCKET_NAMES) + 1
ANY_HOST = "*"
"""All addresses of the machine: it can be bound, and not connected to."""
HOST = re.compile(r"(?=[A-Za-z0-9])[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
"""What ZeroMQ takes for a name: an underscore is in the names of containers."""
HOST_CHARS = 253
"""Of a name (RFC 1035)."""
SCOPE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
"""Of an IPv6 address that is one of a link: the name of an interface."""
SHOWN_CHARS = 200
"""Of what is no URL: an error is a line."""


class Endpoints(NamedTuple):
    """The six ZeroMQ endpoints of a pipeline."""

    desk: str
    report: str
    jobs: str
    outcomes: str
    control: str
    results: str


def default_url() -> str:
    """What `penstock up` binds and the other commands ask when nothing else is said: sockets in a folder that nobody
    but this user can enter, in XDG_RUNTIME_DIR, or in XDG_STATE_HOME where there is none of this user's.

    Raises ConfigError: on Windows there are no such sockets.
    """
    if sys.platform == "win32":
        raise ConfigError("say which pipeline: --url tcp://HOST:PORT, --key FILE, or PENSTOCK_URL")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir() and not stranger(Path(runtime)):  # with sudo it may be another user's
        return f"ipc://{Path(runtime, 'penstock')}"
    try:
        return f"ipc://{user_folders.state() / 'penstock' / 'sockets'}"
    except ConfigError as error:
        raise ConfigError(f"{error}, or say which pipeline: --url, --bind or PENSTOCK_URL") from None


def endpoints(url: str) -> Endpoints:
    """The endpoints that a URL names. ConfigError: it is none, with what is wrong in it, in one line."""
    if not url.isprintable():
        raise _wrong(url, "it has a character that cannot be printed")
    scheme, _, place = url.partition("://")
    if scheme == "tcp":
        return _tcp(url, place)
    if scheme == "ipc":
        return _ipc(url, place)
    raise _wrong(url, "it begins neither with tcp:// nor with ipc://")


def _tcp(url: str, place: str) -> Endpoints:
    head, slash, sink = place.partition("/")
    host, colon, port = head.rpartition(":")
    if not colon or host.endswith(":"):
        raise _wrong(url, "it has no port")
    if not PORT.fullmatch(port) or not 0 < (base := int(port)) <= PORT_MAX:
        raise _wrong(url, f"the port must be from 1 to {PORT_MAX}, it is the first of six")
    _check_host(url, host)
    if slash:
        _check_host(url, sink)
    hosts = (sink or host if name in SINK_SOCKETS else host for name in SOCKET_NAMES)
    return Endpoints(*(f"tcp://{one}:{base + i}" for i, one in enumerate(hosts)))


def _check_host(url: str, host: str) -> None:
    if host == ANY_HOST:
        return
    if host.startswith("[") and host.endswith("]"):
        address, percent, scope = host[1:-1].partition("%")
        if _is_address(address, 6) and (not percent or SCOPE.fullmatch(scope)):
            return
        raise _wrong(url, f"{_shown(host)} is no IPv6 address")
    if _is_address(host, 6):
        raise _wrong(url, f"write the IPv6 address in brackets, {_shown(f'[{host}]')}")
    if not HOST.fullmatch(host) or len(host) > HOST_CHARS:
        raise _wrong(url, f"{_shown(host)} is no host's name or address, which are of letters, digits, dots and dashes")
    if host.rstrip(".").rpartition(".")[2].isdigit() and not _is_address(host, 4):
        raise _wrong(url, f"{_shown(host)} is no IPv4 address")


def _is_address(text: str, version: int) -> bool:
    try:
        return ip_address(text).version == version
    except ValueError:
        return False


def _ipc(url: str, place: str) -> Endpoints:
    folder = place.rstrip("/")
    if not folder.startswith("/"):
        raise _wrong(url, "it names no folder, which begins with a slash")
    if len(folder.encode()) > IPC_PATH_BYTES - len("/outcomes"):
        raise _wrong(url, f"the path is too long for a socket (at most {IPC_PATH_BYTES - len('/outcomes')} bytes)")
    return Endpoints(*(f"ipc://{folder}/{name}" for name in SOCKET_NAMES))


def _wrong(url: str, why: str) -> ConfigError:
    return ConfigError(f"{_shown(url)} is no pipeline's URL ({why}): write {FORMS}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}...")
