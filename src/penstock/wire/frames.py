"""Frames: how a message and its payload travel as one ZeroMQ frame (messages.py says what stands in them)."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import msgspec

from penstock.errors import ProtocolError, VersionMismatch
from penstock.wire.messages import payload_bytes
from penstock.wire.records import Bytes, Count, Message

VERSION = 1
SIGNATURE = b"PNS" + bytes([VERSION])
PREFIX = struct.Struct("<4sI")
"""What a frame begins with: signature, length of the header."""

ASKED_BYTES = 64 << 10
"""A request is refused by its number only where it is no longer: who errs by more is no client of ours."""


class Wire(NamedTuple):
    """A message with its payload: all that is sent or received at once."""

    message: Any
    payload: Bytes = b""


_encoder = msgspec.msgpack.Encoder()


def encode(message: Message, *payload: Bytes, topic: bytes = b"") -> bytes:
    """The frame of a message; its payload may be given in parts."""
    return b"".join((topic, *pieces(message, *payload)))


def pieces(message: Message, *payload: Bytes) -> list[Bytes]:
    """The frame of a message, not yet put together."""
    header = _encoder.encode(message)
    return [PREFIX.pack(SIGNATURE, len(header)), header, *payload]


class Decoder:
    """Decodes the frames of one union; whatever else arrives is a ProtocolError."""

    def __init__(self, union: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(union)

    def decode(self, frame: Bytes) -> Wire:
        """The message in a frame, and its payload, uncopied.

        Raises VersionMismatch; ProtocolError: a foreign signature, not in the union, out of bounds, a payload that is
        not as long as the header says.
        """
        view = memoryview(frame)
        if len(view) < PREFIX.size:
            raise ProtocolError("not a penstock message")
        signature, length = PREFIX.unpack_from(view)
        if signature != SIGNATURE:
            if signature[:3] == SIGNATURE[:3]:
                raise VersionMismatch(
                    f"protocol version {signature[3]}, this is version {VERSION}: install one penstock on both sides"
                )
            raise ProtocolError("not a penstock message")
        end = PREFIX.size + length
        if end > len(view):
            raise ProtocolError(f"header of {length} bytes in a frame of {len(view)}")
        try:
            message = self._decoder.decode(view[PREFIX.size : end])
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise ProtocolError(str(error)) from None
        payload = view[end:]
        if payload_bytes(message) != len(payload):
            raise ProtocolError(f"payload of {len(payload)} bytes, not {payload_bytes(message)}")
        return Wire(message, payload)


_fields = msgspec.msgpack.Decoder(list[msgspec.Raw])
_number = msgspec.msgpack.Decoder(Count)


def asked_number(frame: Bytes) -> int | None:
    """The number of a request that does not decode, so that it can be refused; None: nobody can tell."""
    view = memoryview(frame)[PREFIX.size :]
    if len(view) > ASKED_BYTES:
        return None
    try:
        return _number.decode(_fields.decode(view[: PREFIX.unpack_from(frame)[1]])[1])
    except (struct.error, msgspec.DecodeError, RecursionError, ValueError, IndexError):
        return None


def split(payload: Bytes, sizes: list[int]) -> list[memoryview]:
    """Cut a payload into consecutive parts of these sizes; ProtocolError if they do not add up."""
    view = memoryview(payload)
    if sum(sizes) != len(view):
        raise ProtocolError(f"payload of {len(view)} bytes where the header says {sum(sizes)}")
    parts: list[memoryview] = []
    at = 0
    for size in sizes:
        parts.append(view[at : at + size])
        at += size
    return parts


def join(parts: list[Bytes]) -> Bytes:
    """One payload from parts; a single part is handed on as it is, uncopied."""
    filled = [part for part in parts if len(part)]
    return filled[0] if len(filled) == 1 else b"".join(filled)


def kept(part: Bytes) -> Bytes:
    """A part of a message in a form that can be kept: a copy, where the part alone would keep more than twice its size
    in memory, because the whole frame lives as long as the smallest view of it."""
    return bytes(part) if isinstance(part, memoryview) and 2 * part.nbytes < memoryview(part.obj).nbytes else part
