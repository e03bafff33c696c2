"""Who comes to an XPUB and goes, and who is let hear what.

With keys nobody hears anything of its own accord (ZMQ_XPUB_MANUAL): a subscription is admitted by the station, for the
connection that libzmq takes for the last one read. It is that one unless somebody sent what is no subscription: libzmq
counts that as the turn of the next subscriber, until all that had come is read. What is read meanwhile is therefore
nobody's: it is not admitted, and whoever it was of connects anew when it has heard nothing
(station/control_silence.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import zmq

from penstock.keys.roles import EVERYONE, Peer
from penstock.wire.guard import Guard, News

COMES, GOES = b"\x01", b"\x00"
TURN_SUBSCRIPTIONS = 1_000
"""Read in a turn: a flood does not keep a station from its work."""


class Topics:
    """How many topics each connection has asked for, by its descriptor; with more than `most` it is cut off."""

    def __init__(self, most: int, cut: Callable[[int], object], news: News) -> None:
        self._most, self._cut, self._news = most, cut, news
        self._count: Counter[int] = Counter()

    def came(self, frame: zmq.Frame, sender: Peer) -> None:
        """One more, that this frame asks for."""
        try:
            fd = int(frame.get(zmq.SRCFD))
        except zmq.ZMQError:
            return  # it is gone already
        self._count[fd] += 1
        if self._count[fd] == self._most + 1:
            self._news.log("too_many_topics", key=sender.name)
            self._cut(fd)

    def lose(self, fd: int) -> None:
        """The connection is gone."""
        del self._count[fd]  # a Counter: also if it is not there


def read_subscriptions(
    socket: zmq.Socket[bytes], guard: Guard | None, topics: Topics
) -> Iterator[tuple[bool, bytes, Peer]]:
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
            topics.came(frame, sender)
            yield True, data[1:], sender
        elif data[:1] not in {COMES, GOES} and guard is not None:
            guard.is_clear = False
            guard.note_junk(sender)
