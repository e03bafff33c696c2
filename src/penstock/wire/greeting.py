"""Whether a process that speaks ZeroMQ lives behind an address, without a word of ours."""

from __future__ import annotations

import socket

GREETING_TIME = 1.0
"""Seconds: who lives greets as soon as it is connected to."""
FIRST_BYTE = b"\xff"
"""Of a greeting (rfc.zeromq.org/23)."""


def greets(endpoint: str) -> bool:
    """Whether somebody greets there, whoever may come in. A machine answers for a process that is stopped, or hangs:
    its connections are accepted, and then nothing is said."""
    scheme, _, place = endpoint.partition("://")
    try:
        with _connected(scheme, place) as connection:
            connection.settimeout(GREETING_TIME)
            return connection.recv(1) == FIRST_BYTE
    except OSError:
        return False


def _connected(scheme: str, place: str) -> socket.socket:
    if scheme == "tcp":
        host, _, port = place.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), GREETING_TIME)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(GREETING_TIME)
    connection.connect(place)
    return connection
