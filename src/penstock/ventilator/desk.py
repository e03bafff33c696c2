"""What the ventilator answers clients: what is large in parts, to those who take them.

Promises:

1. An answer that can be large goes to who takes parts in frames that the slowest link carries in a moment; all else
   overtakes it.
2. Who has not taken its last answers gets no further one, within the limits.
"""

from __future__ import annotations

from functools import partial

from penstock.keys.roles import Peer
from penstock.station.clock import Clock
from penstock.station.loop import StationLinks
from penstock.wire.bounds import Limits
from penstock.wire.desk_messages import (
    Arguments,
    AsksMuch,
    BatchesInfo,
    Digests,
    Events,
    Filtered,
    Gone,
    JobsInfo,
    PipelineInfo,
)
from penstock.wire.parts import Outbound
from penstock.wire.records import Bytes, Message, PartsTaken

LARGE = (PipelineInfo, BatchesInfo, Digests, JobsInfo, Arguments, Events, Filtered, Gone)
"""Answers of AsksMuch."""


class Desk:
    """The way from the ventilator to its clients."""

    def __init__(self, links: StationLinks, clock: Clock, limits: Limits) -> None:
        self._links, self._clock = links, clock
        self._streams = Outbound(links, "desk", limits=limits, note=partial(links.news.log_silent, "desk"))

    def answer(self, client: bytes, message: Message, *payload: Bytes) -> None:
        """Say this to a client."""
        if isinstance(message, LARGE):
            self._streams.send(self._clock.now(), message, *payload, peer=client)
        else:
            self._links.send("desk", message, *payload, peer=client)

    def has_room(self, client: bytes) -> bool:
        """Whether it can be sent an answer."""
        return self._links.has_room("desk", client) and self._streams.has_room(client)

    def on_message(self, client: bytes, sender: Peer, message: Message) -> None:
        """A client says what it takes, or has taken."""
        if isinstance(message, PartsTaken):
            self._streams.arrived(message, self._clock.now(), client)
        elif isinstance(message, AsksMuch):
            self._streams.takes(message.parts, client, sender)

    def tick(self) -> None:
        """Send again what did not arrive."""
        self._streams.tick(self._clock.now())
