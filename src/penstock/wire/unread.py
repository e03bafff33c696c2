"""What was sent to the peers of a socket and not yet taken from it by the kernel: how much each of them may have.

Promises:

1. Who has not read what it was sent, so many bytes of it, is sent nothing more until it reads; all connections of one
   key together have a bound of their own. One message is always let through: so the bound is exceeded by one.
2. Who is over its bound and reads nothing at all for a while is cut off.

ZeroMQ queues for each connection in messages only. But it says of each large message when it is through with it, which
is when it was written to the connection or that is gone. Small ones are not counted here: the high-water mark bounds
their number.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from penstock.wire.bounds import Limits
from penstock.wire.guard import News

LOOK_INTERVAL = 1.0
"""Seconds between two looks for peers that read nothing."""


class Tracker(Protocol):
    """Of a message (zmq.MessageTracker)."""

    @property
    def done(self) -> bool:
        """Whether the message is written, or its connection gone."""


class Connection(NamedTuple):
    """A peer's: its descriptor in this process, and the key that it was opened with, if any."""

    fd: int
    key: str
    name: str
    """Of the key."""
    address: str = ""
    """Of the peer; empty where it is on this machine."""


class Queue:
    """What one peer has not read."""

    __slots__ = ("messages", "moved_at", "size")

    def __init__(self, now: float) -> None:
        self.messages: deque[tuple[int, Tracker]] = deque()
        self.size: int = 0
        self.moved_at: float = now
        """When it last took something."""


class Unread:
    """Of one socket. See Limits."""

    def __init__(self, name: str, limits: Limits, cut: Callable[[int], object], news: News) -> None:
        """`name`: of the socket. `cut`: cuts off the connection with this descriptor."""
        self._name, self._cut, self._news = name, cut, news
        self._most, self._most_of_key = limits.answer_bytes, limits.key_answer_bytes
        self._patience = limits.answer_time
        self._looked_at = 0.0
        self._peers: dict[bytes, Connection] = {}
        self._of_fd: dict[int, bytes] = {}
        self._queues: dict[bytes, Queue] = {}
        self._of_key: Counter[str] = Counter()

    def knows(self, peer: bytes) -> bool:
        """Whether it is connected, as far as was said."""
        return peer in self._peers

    def meet(self, peer: bytes, connection: Connection) -> None:
        """A peer said something for the first time."""
        self.lose(connection.fd)  # another one had that number before
        self._peers[peer], self._of_fd[connection.fd] = connection, peer

    def address(self, peer: bytes) -> str:
        """Where it came from, as far as is known."""
        connection = self._peers.get(peer)
        return "" if connection is None else connection.address

    def lose(self, fd: int) -> None:
        """A connection is gone, and with it what waited for it."""
        peer = self._of_fd.pop(fd, None)
        if peer is not None and self._peers[peer].fd == fd:
            queue = self._queues.pop(peer, None)
            self._charge(peer, 0 if queue is None else -queue.size)
            del self._peers[peer]

    def _charge(self, peer: bytes, size: int) -> None:
        connection = self._peers.get(peer)
        if connection is not None and connection.key:
            self._of_key[connection.key] += size
            if not self._of_key[connection.key]:
                del self._of_key[connection.key]

    def sent(self, peer: bytes, size: int, tracker: Tracker, now: float) -> None:
        """A large message is on its way."""
        if not tracker.done:
            queue = self._queues.setdefault(peer, Queue(now))
            queue.messages.append((size, tracker))
            queue.size += size
            self._charge(peer, size)

    def has_room(self, peer: bytes, now: float) -> bool:
        """Whether it may be sent something."""
        self._settle(peer, now)
        connection = self._peers.get(peer)
        if connection is not None and connection.key and self._of_key[connection.key] >= self._most_of_key:
            for other in list(self._queues):
                self._settle(other, now)
            if self._of_key[connection.key] >= self._most_of_key:
                return False
        queue = self._queues.get(peer)
        return queue is None or queue.size < self._most

    def _settle(self, peer: bytes, now: float) -> None:
        """Take in what it has read."""
        queue = self._queues.get(peer)
        if queue is None:
            return
        while queue.messages and queue.messages[0][1].done:
            size, _ = queue.messages.popleft()
            queue.size -= size
            queue.moved_at = now
            self._charge(peer, -size)
        if not queue.messages:
            del self._queues[peer]

    def full(self, now: float) -> frozenset[bytes]:
        """The peers that may be sent nothing now."""
        return frozenset(peer for peer in list(self._queues) if not self.has_room(peer, now))

    def look(self, now: float) -> None:
        """Cut off those that were full for too long."""
        if now < self._looked_at + LOOK_INTERVAL:
            return
        self._looked_at = now
        for peer in self.full(now):
            queue, connection = self._queues[peer], self._peers.get(peer)
            if connection is not None and now > queue.moved_at + self._patience:
                queue.moved_at = now  # if it is not gone by then, once more
                self._news.log_silent(self._name, connection.name, queue.size)
                self._cut(connection.fd)
