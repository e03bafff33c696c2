"""The agent's end of the stream to a slot: frames out, frames in, and never a wait."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from itertools import islice

from penstock.errors import ProtocolError
from penstock.slot.protocol import MAGIC, PREFIX, Bytes, FromSlot, SlotMessage, frame, from_slot

READ_BYTES = 1 << 18
JOINED_BYTES = 1 << 16
"""A payload up to this size is copied behind its header, to be one write."""
WRITE_BUFFERS = 64
"""Frames written at once: a slot is woken once for all that it is told in a turn (Linux takes 1,024)."""
MAX_BYTES = 1 << 40
"""No frame of a slot is larger; a job that writes to its slot's socket may claim anything."""

Received = tuple[FromSlot, bytes | memoryview]


class SeatStream:
    """Over this end of a socket pair."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        connection.setblocking(False)
        self.is_gone = False
        """Nothing more will come from there."""
        self.nonsense = ""
        """What came instead of a frame: a job has written to its slot's socket."""
        self._out: deque[memoryview] = deque()
        self._in = bytearray()
        self._large: tuple[FromSlot, bytearray, int] | None = None

    @property
    def wants_write(self) -> bool:
        """Whether something waits until the slot reads."""
        return bool(self._out)

    def send(self, message: SlotMessage, payload: Bytes = b"") -> None:
        """To be written by `flush`."""
        head = frame(message, payload)
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
                self._parse(found)
        except ProtocolError as error:
            self.nonsense = str(error)
        return found

    def _read(self) -> bool:
        """Read once; False if there is nothing more for now."""
        try:
            if self._large is not None:
                return self._read_large(*self._large)
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        self.is_gone = not data
        self._in += data
        return bool(data)

    def _read_large(self, message: FromSlot, body: bytearray, at: int) -> bool:
        with memoryview(body) as view:
            count = self.socket.recv_into(view[at:])
        self.is_gone = not count
        self._large = (message, body, at + count)
        return count > 0

    def _parse(self, found: list[Received]) -> None:
        if self._large is not None:
            message, body, at = self._large
            if at == len(body):
                found.append((message, memoryview(body)))
                self._large = None
            return
        place = 0
        data = self._in
        while len(data) > place:
            if not data.startswith(MAGIC[: len(data) - place], place):
                raise ProtocolError("no frame begins there")
            if len(data) - place < PREFIX.size:
                break
            _, header_size, payload_size = PREFIX.unpack_from(data, place)
            if max(header_size, payload_size) > MAX_BYTES:
                raise ProtocolError("a frame is too large")
            begin = place + PREFIX.size + header_size
            if len(data) < begin:
                break
            with memoryview(data) as view:
                message = _decoded(view[place + PREFIX.size : begin])
            place = begin
            if len(data) - begin >= payload_size:
                found.append((message, bytes(data[begin : begin + payload_size])))
                place = begin + payload_size
                continue
            body = _room(payload_size)
            body[: len(data) - begin] = data[begin:]
            self._large = (message, body, len(data) - begin)
            place = len(data)
        del data[:place]


def _room(size: int) -> bytearray:
    try:
        return bytearray(size)
    except MemoryError:
        raise ProtocolError("a frame is too large") from None


def _decoded(header: memoryview) -> FromSlot:
    try:
        message: FromSlot = from_slot.decode(header)
    except (ValueError, RecursionError) as error:  # msgspec's own, and text that is none
        raise ProtocolError(f"a frame cannot be read: {error}") from error
    return message
