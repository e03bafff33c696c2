"""The URL of a pipeline, and the endpoints of its six sockets.

A URL is ``tcp://host:port`` (the first of six consecutive ports), ``tcp://host:port/sinkhost`` where the sink is on a
host of its own (with its two of the six), or ``ipc:///folder`` (six sockets in it).
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from penstock.errors import ConfigError

DEFAULT_URL = "tcp://127.0.0.1:5555"
"""What `penstock up` binds and the other commands ask when nothing else is said."""

SOCKET_NAMES = ("desk", "report", "jobs", "outcomes", "control", "results")
"""In the order of their ports: base + 0 ... base + 5."""

SINK_SOCKETS = ("outcomes", "results")
"""Those that the sink binds."""

IPC_PATH_BYTES = 107
"""The longest path of a unix socket (sun_path, unix(7), less its closing zero)."""


class Endpoints(NamedTuple):
    """The six ZeroMQ endpoints of a pipeline."""

    desk: str
    report: str
    jobs: str
    outcomes: str
    control: str
    results: str


def endpoints(url: str) -> Endpoints:
    """The endpoints that a URL names. Raises ConfigError: not a URL of ours, a port out of range, a path too long."""
    if match := re.fullmatch(r"tcp://([^/]+):(\d+)(?:/([^/:]+|\[[^/]+\]))?", url):
        base, sink = int(match[2]), match[3] or match[1]
        if not 0 < base <= 65535 - len(SOCKET_NAMES) + 1:
            raise ConfigError(f"{url}: the port must be from 1 to 65530, it is the first of six")
        hosts = (sink if name in SINK_SOCKETS else match[1] for name in SOCKET_NAMES)
        return Endpoints(*(f"tcp://{host}:{base + i}" for i, host in enumerate(hosts)))
    if url.startswith("ipc:///"):
        folder = url.removeprefix("ipc://").rstrip("/")
        if len(os.fsencode(f"{folder}/outcomes")) > IPC_PATH_BYTES:
            raise ConfigError(f"{url}: the path is too long for a socket (at most {IPC_PATH_BYTES - 9} bytes)")
        return Endpoints(*(f"ipc://{folder}/{name}" for name in SOCKET_NAMES))
    raise ConfigError(f"{url!r} is no pipeline's URL: write tcp://HOST:PORT, tcp://HOST:PORT/SINKHOST or ipc:///FOLDER")
