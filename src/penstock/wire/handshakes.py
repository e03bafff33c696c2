"""What a socket's monitor says of a handshake that failed."""

from __future__ import annotations

import errno
from typing import NamedTuple

import zmq

from penstock.errors import Refused
from penstock.wire.guard import NEVER_AGAIN

NO_ANSWER = "no answer: who listens there is stopped or busy, or is no penstock"
HUNG_UP = (
    "it hung up: it does not know this key, or wants one, has as many connections as it may, or is a tunnel whose far"
    " end is down"
)


class Unshaken(NamedTuple):
    """A handshake that failed at this endpoint, and all that is known of why: no station says so of a key that it does
    not know, and none can while it is stopped."""

    endpoint: str
    why: str


def failed_handshake(name: str, event: int, number: int, endpoint: str) -> Unshaken:
    """Of the socket of this name, by the event and its number. Refused: there is no use in trying again."""
    if (why := NEVER_AGAIN.get(zmq.Event(event))) is not None:
        raise Refused(f"{endpoint} ({name}) does not let this process in: {why}")
    return Unshaken(endpoint, NO_ANSWER if number == errno.EAGAIN else HUNG_UP)
