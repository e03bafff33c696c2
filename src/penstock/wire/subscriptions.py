"""Who comes to an XPUB and goes, and who is let hear what.

With keys nobody hears anything of its own accord (ZMQ_XPUB_MANUAL): a subscription is admitted by the station, for the
connection that libzmq takes for the last one read. It is that one unless somebody sent what is no subscription: libzmq
counts that as the turn of the next subscriber, until all that had come is read. What is read meanwhile is therefore
nobody's: it is not admitted, and whoever it was of connects anew when it has heard nothing
(station/control_silence.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import zmq

from penstock.keys.roles import EVERYONE, Peer
from penstock.wire.guard import Guard

COMES, GOES = b"\x01", b"\x00"
TURN_SUBSCRIPTIONS = 1_000
"""Read in a turn: a flood does not keep a station from its work."""


def read_subscriptions(socket: zmq.Socket[bytes], guard: Guard | None) -> Iterator[tuple[bool, bytes, Peer]]:
    """Those that wait: (came, topic, who); to be admitted before the next one is read."""
    for _ in range(TURN_SUBSCRIPTIONS):
        try:
            frame = socket.recv(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            if guard is not None:
                guard.is_clear = True
            return
        data = frame.bytes
        sender = EVERYONE if guard is None else guard.sender(frame)
        if data[:1] == GOES and (guard is None or sender is None):
            yield False, data[1:], EVERYONE  # libzmq says so itself when a connection ends
        elif data[:1] == COMES and sender is not None and (guard is None or guard.is_clear):
            yield True, data[1:], sender
        elif data[:1] not in {COMES, GOES} and guard is not None:
            guard.is_clear = False
            guard.note_junk(sender)
