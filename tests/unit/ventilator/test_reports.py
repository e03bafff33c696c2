"""What workers report: in parts or whole, and only what is theirs to say."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from penstock.keys.roles import EVERYONE, Peer, Role
from penstock.station.clock import Clock
from penstock.station.loop import Malformed, Process
from penstock.station.permissions import Bindings
from penstock.ventilator.control import Control
from penstock.ventilator.reports import Reports
from penstock.wire.frames import encode
from penstock.wire.messages import Heartbeat
from penstock.wire.parts import Outbound
from penstock.wire.records import Bytes, Message, Part, PartsTaken
from penstock.wire.sockets import Received
from support.surroundings import QuietLinks, QuietOrders

W = b"w" * 16
ADA, EVE = Peer("ada", Role.WORK, "a" * 40), Peer("eve", Role.WORK, "e" * 40)


class Links(QuietLinks):
    """What waits in the report socket, and what is said over control."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Received] = []
        self.sent: list[tuple[bytes, Any]] = []

    def receive(self, name: str) -> Iterable[Received]:
        """All that waits at a socket."""
        waiting, self.waiting = self.waiting, []
        return waiting if name == "report" else ()

    def send(self, name: str, message: Message, *payload: Bytes, peer: bytes = b"") -> bool:
        """A worker reports, or is told something."""
        if name == "report":
            self.report(message, *payload)
        else:
            self.sent.append((peer, message))
        return True

    def report(self, message: Message, *payload: Bytes, key: Peer = EVERYONE) -> None:
        """A worker with this key says so."""
        self.waiting.append(Received("report", b"", encode(message, *payload), key))


def reports(links: Links) -> Reports:
    """Of a ventilator with these links."""
    process = Process(logging.getLogger("penstock.test"), QuietOrders(), Clock())
    return Reports(links, process.clock, Malformed(process), Bindings(), Control(links, process.clock))


def test_what_is_long_comes_in_parts() -> None:
    """A worker's heartbeat, cut by its side of the wire: how far it has come is told the worker that it is of."""
    links = Links()
    outbound, inbound = Outbound(links, "report", W), reports(links)
    outbound.takes(parts=True)
    beat = Heartbeat(W, 1, 1, (), "so long " * 8000)
    outbound.send(0.0, beat)
    came: list[Message] = []
    while links.waiting:
        came += inbound.receive()
        for topic, taken in links.sent:
            assert topic == W
            assert isinstance(taken, PartsTaken)
            assert outbound.arrived(taken, 0.0)
        links.sent.clear()
    assert came == [beat]
    assert not outbound.busy()


def test_parts_are_taken_from_whom_they_may_come() -> None:
    """A worker's id is of the key that used it first: another one cannot say parts for it, nor whole what it puts into
    parts under an id of its own."""
    links = Links()
    inbound = reports(links)
    links.report(Heartbeat(W, 1, 1, ()), key=ADA)
    assert len(list(inbound.receive())) == 1
    frame = encode(Heartbeat(W, 2, 1, ()))
    links.report(Part(7, 0, 0, len(frame), W), frame, key=EVE)
    assert list(inbound.receive()) == []
    assert links.sent == []
    links.report(Part(7, 0, 0, len(frame), b"v" * 16), frame, key=EVE)
    assert list(inbound.receive()) == []
    links.report(Part(7, 0, 0, len(frame), W), frame, key=ADA)
    assert list(inbound.receive()) == [Heartbeat(W, 2, 1, ())]
