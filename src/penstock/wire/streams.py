"""Large messages in parts: what goes to one peer is a stream of bytes, cut for the slowest link that it may meet.

Promises:

1. Frames arrive whole, in order and once, whatever of their parts is lost, doubled or out of order; who begins a new
   stream has given up what of the old one had not arrived.
2. No more is under way than the link carries in a moment: what else uses it, heartbeats above all, is not late. On a
   fast link that is much, on a slow one it is one small part.
3. What has not arrived for a while is sent again; whether anything arrives at all can be seen.
4. A receiver holds one frame for each sender, as far as it has come.

There are no sockets here and no clocks: `now` is in seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from penstock.errors import ProtocolError
from penstock.wire.records import MAX_FRAME_BYTES, Bytes, Part

PART_BYTES_LEAST = 16 << 10
"""An eighth of a second at 1 Mbit/s, the slowest link that is thought of."""
PART_BYTES_MOST = 1 << 20
"""Larger parts are not cheaper, by what a message costs."""
WINDOW_FIRST = 64 << 10
"""Bytes under way before anything is known of a link: half a second at 1 Mbit/s."""
WINDOW_MOST = 8 << 20
"""Bytes under way: 80 ms at 100 MB/s."""
PARTS_IN_WINDOW = 4
"""A part is so-manieth of the window, so that one is acknowledged while others are under way."""
QUICK_SECONDS = 0.1
"""So much longer than at best a part may take: while it takes less, more is sent at once."""
SLOW_SECONDS = 0.5
"""From so much on less is: ZeroMQ ends a connection whose heartbeats are 1.5 s late (wire/sockets.py)."""
STALLED_SECONDS = 5.0
"""Without an acknowledgement, until all that is under way is sent again: a receiver's disk may take so long."""


class Window:
    """How many bytes may be under way: more as long as they arrive at once, less when they wait in a queue."""

    def __init__(self) -> None:
        self.size: int = WINDOW_FIRST
        self._best = float("inf")
        """Seconds that a part took, at best: the way there and back."""
        self._shrunk_at = float("-inf")

    def arrived(self, size: int, sent_at: float, now: float) -> None:
        """So many bytes that were sent then are there."""
        self._best = min(self._best, now - sent_at)
        late = now - sent_at - self._best
        if late < QUICK_SECONDS:
            self.size = min(self.size + size, WINDOW_MOST)
        elif late > SLOW_SECONDS and sent_at > self._shrunk_at:  # once for all that was under way
            self.size = max(self.size // 2, PART_BYTES_LEAST)
            self._shrunk_at = now


class Progress(NamedTuple):
    """How many bytes of a frame are there, of how many."""

    done: int
    size: int


class Sent(NamedTuple):
    """A part that is under way."""

    part: Part
    body: list[memoryview]
    """Pieces of the part's bytes."""
    sent_at: float


class Stream:
    """What is sent to one peer, under a number that no other stream to it has."""

    def __init__(self, number: int, now: float, worker: bytes = b"") -> None:
        """`worker`: whose stream it is, where the receiver cannot see that by itself."""
        self.moved_at: float = now
        """When something was acknowledged, or began."""
        self.waiting_bytes: int = 0
        """Of frames that have not been acknowledged."""
        self.number: int = number
        self._worker = worker
        self._window = Window()
        self._frames: deque[deque[memoryview]] = deque()
        """Pieces of each, as far as they have not been cut off."""
        self._sizes: deque[int] = deque()
        """Of the frames that have not all arrived."""
        self._arrived = 0
        """Bytes of the first of these."""
        self._position = 0
        self._sent: deque[Sent] = deque()
        self._under_way = 0
        self._patience = STALLED_SECONDS

    @property
    def is_busy(self) -> bool:
        """Whether something of it has not been acknowledged."""
        return self.waiting_bytes > 0

    @property
    def progress(self) -> Progress | None:
        """Of the frame that is on its way, the first one if there are several."""
        return Progress(self._arrived, self._sizes[0]) if self._sizes else None

    def add(self, frame: Iterable[Bytes], now: float) -> None:
        """One more frame, in pieces that are not copied; it is not empty."""
        if not self.is_busy:
            self.moved_at = now
        pieces = deque(memoryview(piece) for piece in frame if len(piece))
        size = sum(map(len, pieces))
        self._frames.append(pieces)
        self._sizes.append(size)
        self.waiting_bytes += size

    def due(self, now: float) -> list[Sent]:
        """The parts to be sent now."""
        due: list[Sent] = []
        if self._sent and now >= self.moved_at + self._patience:
            due += [one._replace(sent_at=now) for one in self._sent]
            self._sent = deque(due)
            self._patience = max(2 * self._patience, STALLED_SECONDS)
        while self._frames and (not self._sent or self._under_way + self._part_bytes <= self._window.size):
            due.append(self._cut(now))
        return due

    def send_again(self) -> None:
        """What is under way may be lost: all of it is due."""
        self._patience = 0.0

    @property
    def _part_bytes(self) -> int:
        return min(max(self._window.size // PARTS_IN_WINDOW, PART_BYTES_LEAST), PART_BYTES_MOST)

    def _cut(self, now: float) -> Sent:
        frame, room = self._frames[0], self._part_bytes
        body: list[memoryview] = []
        while frame and room:
            piece = frame.popleft()
            if len(piece) > room:
                frame.appendleft(piece[room:])
                piece = piece[:room]
            body.append(piece)
            room -= len(piece)
        if not frame:
            self._frames.popleft()
        size = sum(map(len, body))
        sent = Sent(Part(self.number, self._position, sum(map(len, frame)), size, self._worker), body, now)
        self._position += size
        self._under_way += size
        self._sent.append(sent)
        return sent

    def arrived(self, number: int, position: int, now: float) -> None:
        """All up to this position is there; of another stream that says nothing."""
        while number == self.number and self._sent and self._sent[0].part.position < position:
            part, _, sent_at = self._sent.popleft()
            self._under_way -= part.size
            self.waiting_bytes -= part.size
            self._arrived += part.size
            while self._sizes and self._arrived >= self._sizes[0]:
                self._arrived -= self._sizes.popleft()
            self._window.arrived(part.size, sent_at, now)
            self.moved_at, self._patience = now, STALLED_SECONDS


class Assembly:
    """What one peer sends in parts."""

    def __init__(self, most: int = MAX_FRAME_BYTES) -> None:
        """`most`: bytes of a frame; the parts of a larger one are not taken."""
        self.number: int = 0
        self.position: int = 0
        """Of the stream with this number, all up to here has come."""
        self._most = most
        self._frame = bytearray()
        self._left = 0

    @property
    def held_bytes(self) -> int:
        """Of a frame that is not whole."""
        return len(self._frame)

    @property
    def progress(self) -> Progress | None:
        """Of a frame that is not whole."""
        return Progress(len(self._frame), len(self._frame) + self._left) if self._frame else None

    def put(self, part: Part, body: Bytes) -> Bytes | None:
        """A part came; the frame that it completes, if it does. Raises ProtocolError: the frame is too large."""
        if part.stream != self.number and part.position == 0:
            self.number, self.position = part.stream, 0
            self._frame = bytearray()
        if (part.stream, part.position) != (self.number, self.position):
            return None
        if (size := len(self._frame) + len(body) + part.left) > self._most:
            raise ProtocolError(f"a message of {size} bytes in parts, more than {self._most}")
        self._frame += body
        self._left = part.left
        self.position += len(body)
        if part.left:
            return None
        frame, self._frame = self._frame, bytearray()
        return memoryview(frame)
