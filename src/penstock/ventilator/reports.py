"""What workers and the sink report, as it comes in: whole or in parts, and from nobody who may not say so."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.station.clock import Clock
from penstock.station.loop import Malformed, StationLinks
from penstock.station.permissions import Bindings
from penstock.ventilator.control import Control
from penstock.wire.frames import Decoder, Wire
from penstock.wire.messages import ToVentilator
from penstock.wire.parts import Inbound
from penstock.wire.records import Message, PartsTaken
from penstock.wire.sockets import Received


class Reports:
    """The way from workers and the sink to the ventilator. `control` is the way back."""

    def __init__(
        self, links: StationLinks, clock: Clock, malformed: Malformed, bindings: Bindings, control: Control
    ) -> None:
        self._links, self._clock = links, clock
        self._malformed = malformed
        self._bindings = bindings
        self._control = control
        self._decoder = Decoder(ToVentilator)
        self._parts = Inbound(links.frame_bytes, malformed.note)

    def receive(self) -> Iterator[Message]:
        """All that has come, for the core."""
        now = self._clock.now()
        for received in self._links.receive("report"):
            if (found := self._parts.whole(received, self._admitted, now)) is not None:
                _, (message, _) = found
                self._control.on_report(message)
                yield message
        for _, worker, taken in self._parts.taken(now):
            self._control.tell(worker, PartsTaken(taken.stream, taken.position))

    def _admitted(self, received: Received) -> Wire | None:
        """What it says; None: that is malformed, or another's to say."""
        wire = self._malformed.decode(self._decoder, received)
        if wire is None or self._bindings.may_report(received.sender, wire.message):
            return wire
        self._malformed.note(received, f"not for the key {received.sender.name} to say")
        return None
