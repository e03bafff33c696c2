"""Frames of the stream between an agent and a slot: MAGIC, two lengths (header, payload), a msgpack header, the
payload.

Both ends read with the same FrameReader. It reads nothing itself: it is fed what has come, in whatever parts, and says
where the rest of a large payload is to be put, so that this is copied by nobody.
"""

from __future__ import annotations

import struct
from typing import Generic, TypeVar

import msgspec

from penstock.errors import ProtocolError

MAGIC = b"\xf3pst"
"""Begins a frame: what else is written there, text above all, is known for what it is at its first byte."""
PREFIX = struct.Struct("<4sIQ")
"""MAGIC, bytes of the header, bytes of the payload."""
MAX_BYTES = 1 << 40
"""No frame is larger."""

Bytes = bytes | bytearray | memoryview
Message = TypeVar("Message")


def prefix(header: bytes, payload_size: int) -> bytes:
    """The frame of a message up to its payload."""
    return PREFIX.pack(MAGIC, len(header), payload_size) + header


class FrameReader(Generic[Message]):
    """Messages of one union, with their payloads. Every method raises ProtocolError where no frame can be read: a job
    has written to the stream, or read some of it."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[Message], bound: int) -> None:
        """`bound`: bytes that a header, or a payload, has at most; who writes there may claim anything."""
        self._decoder = decoder
        self._bound = bound
        self._data = bytearray()
        self._message: Message | None = None
        self._size = 0
        self._body: bytearray | None = None
        """Of a payload of which a part has not come."""
        self._at = 0

    def feed(self, data: Bytes) -> None:
        """More of the stream has come."""
        self._data += data

    @property
    def is_filling(self) -> bool:
        """Whether what comes next is the rest of a payload, for `space`."""
        return self._body is not None

    def space(self) -> memoryview:
        """Where the rest of the payload is to be put; `filled` says how much of it was."""
        return memoryview(self._body or b"")[self._at :]

    def filled(self, count: int) -> None:
        """So many bytes of `space` have come."""
        self._at += count

    def header(self) -> Message | None:
        """The next message; None: not all of its header has come. Its payload is to be taken before the next one."""
        data = self._data
        if not data.startswith(MAGIC[: len(data)]):
            raise ProtocolError("no frame begins there")
        if len(data) < PREFIX.size:
            return None
        _, header_size, payload_size = PREFIX.unpack_from(data)
        if max(header_size, payload_size) > self._bound:
            raise ProtocolError("a frame is too large")
        end = PREFIX.size + header_size
        if len(data) < end:
            return None
        with memoryview(data) as view:
            message = self._decoded(view[PREFIX.size : end])
        del data[:end]
        self._size = payload_size
        return message

    def payload(self) -> bytes | memoryview | None:
        """That of the message whose header came last; None: not all of it has come."""
        if self._body is None:
            if len(self._data) >= self._size:
                found = bytes(self._data[: self._size])
                del self._data[: self._size]
                return found
            self._body = _room(self._size)
            self._at = len(self._data)
            self._body[: self._at] = self._data
            self._data.clear()
        if self._at < self._size:
            return None
        body, self._body = self._body, None
        return memoryview(body)

    def next(self) -> tuple[Message, bytes | memoryview] | None:
        """The next message with its payload; None: not all of it has come."""
        if self._message is None:
            self._message = self.header()
        if self._message is None or (body := self.payload()) is None:
            return None
        message, self._message = self._message, None
        return message, body

    def _decoded(self, header: memoryview) -> Message:
        try:
            return self._decoder.decode(header)
        except (ValueError, RecursionError) as error:  # msgspec's own, and text that is none
            raise ProtocolError(f"a frame cannot be read: {error}") from error


def _room(size: int) -> bytearray:
    try:
        return bytearray(size)
    except MemoryError:
        raise ProtocolError("a frame is too large") from None
