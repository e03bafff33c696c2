"""Whether a process that speaks ZeroMQ lives behind an address, and large packets reach it, without a word of ours."""

from __future__ import annotations

import enum
import socket
import struct
import time

GREETING_TIME = 1.0
"""Seconds: who lives greets as soon as it is connected to."""
FIRST_BYTE = b"\xff"
"""Of a greeting (rfc.zeromq.org/23)."""
LARGE_BYTES = 8 << 10
"""Five packets of an Ethernet."""
LARGE_TIME = 2.0
"""Seconds in which they must arrive: two repetitions, and less than a station waits for a handshake."""
LOOK_INTERVAL = 0.02


class Reception(enum.Enum):
    """How those who connect are met, whoever may come in."""

    GREETED = enum.auto()
    HUNG_UP = enum.auto()
    """Before a word: as a tunnel does whose far end is down, or a station that is full."""
    SILENT = enum.auto()
    """A machine answers for a process that is stopped, or hangs: its connections are accepted, and nothing is said."""


def reception(endpoint: str) -> Reception:
    """How one is met there."""
    scheme, _, place = endpoint.partition("://")
    try:
        with _connected(scheme, place) as connection:
            connection.settimeout(GREETING_TIME)
            first = connection.recv(1)
    except ConnectionResetError:
        return Reception.HUNG_UP
    except OSError:
        return Reception.SILENT
    if not first:
        return Reception.HUNG_UP
    return Reception.GREETED if first == FIRST_BYTE else Reception.SILENT


def takes_large(endpoint: str) -> bool:
    """Whether large packets reach the machine behind a tcp endpoint, as its kernel says: it acknowledges what arrives,
    whatever the process there makes of it. Raises OSError: there is no connection at all."""
    scheme, _, place = endpoint.partition("://")
    with _connected(scheme, place) as connection:
        end = time.monotonic() + LARGE_TIME
        connection.sendall(FIRST_BYTE * LARGE_BYTES)
        while _unacknowledged(connection):
            if time.monotonic() >= end:
                return False
            time.sleep(LOOK_INTERVAL)
    return True


def _unacknowledged(connection: socket.socket) -> bool:
    """Whether something that was sent has not arrived; who resets a connection has had what he does not like."""
    import fcntl  # noqa: PLC0415 - Windows has neither, and only `doctor` asks
    import termios  # noqa: PLC0415

    if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        return False
    (left,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))  # SIOCOUTQ, tcp(7)
    return bool(left)


def _connected(scheme: str, place: str) -> socket.socket:
    if scheme == "tcp":
        host, _, port = place.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), GREETING_TIME)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(GREETING_TIME)
    connection.connect(place)
    return connection
