"""What a station in a test is given in the place of its process's sockets, signals and log.

Nothing happens by itself here: a bench or a virtual network says what does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

from penstock.keys.roles import Peer
from penstock.wire.guard import Guard, News
from penstock.wire.records import MAX_FRAME_BYTES, Bytes, Message
from penstock.wire.sockets import Received


class QuietLinks:
    """penstock.station.loop.StationLinks without keys: nobody is there, nothing arrives."""

    def __init__(self) -> None:
        self.guard: Guard | None = None
        self.news = News()
        self.handshake_failure = ""
        self.malformed = 0
        self.frame_bytes = MAX_FRAME_BYTES
        self.is_local = False

    def poll(self, timeout: float | None, only: Iterable[str] | None = None) -> tuple[list[str], list[int]]:  # noqa: ARG002
        """What there is to read; nobody waits here, time passes between turns."""
        return [], []

    def receive(self, name: str) -> Iterable[Received]:  # noqa: ARG002
        """All that waits at a socket."""
        return ()

    def send(self, name: str, message: Message, *payload: Bytes, peer: bytes = b"") -> bool:  # noqa: ARG002
        """Send now, or not at all (False)."""
        return False

    def has_room(self, name: str, peer: bytes) -> bool:  # noqa: ARG002
        """Everybody reads."""
        return True

    def full(self, name: str) -> frozenset[bytes]:  # noqa: ARG002
        """Nobody does not."""
        return frozenset()

    def address(self, name: str, peer: bytes) -> str:  # noqa: ARG002
        """All are of this machine."""
        return ""

    def reaches(self, name: str, message: Message, peer: bytes) -> bool:
        """Whether this peer is connected; it is sent the message."""
        return self.send(name, message, peer=peer)

    def connections(self, name: str) -> int:  # noqa: ARG002
        """How many connections a socket has."""
        return 0

    def crowds(self, station: str) -> tuple[str, ...]:  # noqa: ARG002
        """There is room."""
        return ()

    def down(self, *names: str) -> str:
        """Which of these sockets are not connected."""
        return ", ".join(name for name in names if not self.connections(name))

    def connection_events(self, name: str) -> list[bool]:  # noqa: ARG002
        """Which connections came (True) and went since the last call, in order."""
        return []

    def subscriptions(self, name: str) -> Iterable[tuple[bool, bytes, Peer]]:  # noqa: ARG002
        """What the subscribers of a socket did: (came, topic, who)."""
        return ()

    def admit(self, name: str, topic: bytes) -> None:
        """Without keys everybody is."""

    def renew(self, name: str, *, is_said: bool) -> None:
        """There is no connection."""

    def close(self) -> None:
        """There is nothing to close."""


class QuietOrders:
    """The signals of a process that gets none, unless a test counts one up."""

    fd = -1
    """No real file."""

    def __init__(self) -> None:
        self.waiting = 0
        """How often it was told to leave and has not read it."""

    def read(self) -> int:
        """How many orders to leave arrived since the last call."""
        count, self.waiting = self.waiting, 0
        return count


class Logged(NamedTuple):
    """A line of a station's log; `fields` as it shows them."""

    event: str
    fields: str


class _LogKeeper(logging.Handler):
    """Keeps what stations log."""

    def __init__(self, kept: list[Logged]) -> None:
        super().__init__()
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        """One line: see log_events.emit."""
        args: Any = record.args
        event, _, fields = args
        assert event != "malformed", f"a station does not understand another: {fields}"
        self._kept.append(Logged(event, fields))


def logger_to(kept: list[Logged]) -> logging.Logger:
    """A station's logger that keeps what it is given in this list."""
    logger = logging.Logger("penstock.test", logging.INFO)  # noqa: LOG001 - of one test alone
    logger.addHandler(_LogKeeper(kept))
    return logger
