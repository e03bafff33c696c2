"""What the ventilator tells workers over control, where large messages must not hold up signs of life.

Promises:

1. What is said of a worker's jobs reaches it in the order in which it was decided, what is large in parts.
2. All else overtakes that: it is about what the worker has said before.
3. A greeting makes void what is on its way: the hello that answers it does not have that.
"""

from __future__ import annotations

from penstock.station.clock import Clock
from penstock.station.loop import StationLinks
from penstock.wire.messages import CancelSpan, Drop, FunctionPart, Greeting, Hello, Jobs, Recall
from penstock.wire.parts import Outbound
from penstock.wire.records import PART_BYTES, Bytes, Message, PartsTaken

IN_ORDER = (Jobs, FunctionPart, Recall, CancelSpan, Drop)


class Control:
    """The way from the ventilator to its workers."""

    def __init__(self, links: StationLinks, clock: Clock) -> None:
        self._links, self._clock = links, clock
        self._streams = Outbound(links, "control")

    def tell(self, topic: bytes, message: Message, *payload: Bytes) -> None:
        """Say this to a worker, or the sink."""
        if isinstance(message, IN_ORDER):
            self._streams.send(self._clock.now(), message, *payload, peer=topic)
            return
        if isinstance(message, Greeting):
            self._streams.drop(topic)
        self._links.send("control", message, peer=topic)

    def send_function(self, worker: bytes, digest: bytes, code: Bytes) -> None:
        """In parts."""
        view = memoryview(code)
        for offset in range(0, len(view), PART_BYTES):
            piece = view[offset : offset + PART_BYTES]
            self.tell(worker, FunctionPart(digest, offset, len(view), len(piece)), piece)

    def on_report(self, message: Message) -> None:
        """A worker says what it takes, or has taken."""
        if isinstance(message, PartsTaken):
            self._streams.arrived(message, self._clock.now(), message.worker)
        elif isinstance(message, Hello):
            self._streams.takes(message.parts, message.worker)

    def under_way(self) -> tuple[bytes, ...]:
        """Workers to which something is on its way; what does not arrive is sent again."""
        self._streams.tick(self._clock.now())
        return self._streams.busy()
