"""The agent's end of the stream to a slot: frames out, frames in, and never a wait."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from itertools import islice

from penstock.errors import ProtocolError
from penstock.slot.framing import Bytes, FrameReader
from penstock.slot.protocol import FROM_SLOT_BYTES, FromSlot, SlotMessage, frame, from_slot

READ_BYTES = 1 << 18
JOINED_BYTES = 1 << 16
"""A payload up to this size is copied behind its header, to be one write."""
WRITE_BUFFERS = 64
"""Frames written at once: a slot is woken once for all that it is told in a turn (Linux takes 1,024)."""

Received = tuple[FromSlot, bytes | memoryview]


class SlotStream:
    """Over this end of a socket pair."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        connection.setblocking(False)
        self.is_gone: bool = False
        """Nothing more will come from there."""
        self.nonsense: str = ""
        """What came instead of a frame: a job has written to its slot's socket."""
        self._out: deque[memoryview] = deque()
        self._frames = FrameReader(from_slot, FROM_SLOT_BYTES)

    @property
    def wants_write(self) -> bool:
        """Whether something waits until the slot reads."""
        return bool(self._out)

    def send(self, message: SlotMessage, payload: Bytes = b"") -> None:
        """To be written by `flush`."""
        head = frame(message, len(payload))
        if len(payload) <= JOINED_BYTES:
            self._out.append(memoryview(head + bytes(payload)))
        else:
            self._out.append(memoryview(head))
            self._out.append(memoryview(payload).cast("B"))

    def hang_up(self) -> None:
        """Say that nothing will come any more."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def flush(self) -> None:
        """Write what the socket takes. A slot that is gone is reported by the fork server."""
        while self._out:
            try:
                sent = self.socket.sendmsg(list(islice(self._out, WRITE_BUFFERS)))
            except BlockingIOError:
                return
            except OSError:
                self._out.clear()
                return
            while self._out and sent >= len(self._out[0]):
                sent -= len(self._out.popleft())
            if sent:
                self._out[0] = self._out[0][sent:]

    def receive(self) -> list[Received]:
        """Whatever whole messages have come; `is_gone` and `nonsense` then say whether these were the last."""
        found: list[Received] = []
        try:
            while self._read():
                while (received := self._frames.next()) is not None:
                    found.append(received)
        except ProtocolError as error:
            self.nonsense = str(error)
        return found

    def _read(self) -> bool:
        """Read once; False if there is nothing more for now."""
        try:
            if self._frames.is_filling:
                with self._frames.space() as space:
                    count = self.socket.recv_into(space)
                self._frames.filled(count)
            else:
                data = self.socket.recv(READ_BYTES)
                count = len(data)
                self._frames.feed(data)
        except BlockingIOError:
            return False
        except OSError:
            count = 0
        self.is_gone = not count
        return count > 0
