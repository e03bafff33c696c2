"""Frames, however the stream is cut."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import ProtocolError
from penstock.slot.framing import MAGIC, PREFIX, FrameReader
from penstock.slot.protocol import Done, FromSlot, Ready, Unfit, frame, from_slot

PAYLOADS = st.lists(st.binary(max_size=300), max_size=6)


def taken(reader: FrameReader[FromSlot], part: bytes) -> Iterator[tuple[FromSlot, bytes]]:
    """What comes of a part of the stream, fed as by a socket: into the space of a large payload first."""
    while part:
        if reader.is_filling:
            with reader.space() as space:
                count = min(len(space), len(part))
                space[:count] = part[:count]
            reader.filled(count)
        else:
            count = len(part)
            reader.feed(part)
        part = part[count:]
        while (found := reader.next()) is not None:
            yield found[0], bytes(found[1])


@given(PAYLOADS, st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_messages_come_whole_and_in_order(payloads: list[bytes], cuts: list[int]) -> None:
    """Wherever the parts of the stream end, and whatever the payloads say."""
    reader: FrameReader[FromSlot] = FrameReader(from_slot, 1 << 20)
    stream = b"".join(frame(Done(piece, ()), len(body)) + body for piece, body in enumerate(payloads))
    found: list[tuple[FromSlot, bytes]] = []
    for size in itertools.cycle(cuts):
        found += taken(reader, stream[:size])
        stream = stream[size:]
        if not stream:
            break
    assert found == [(Done(piece, ()), body) for piece, body in enumerate(payloads)]


def test_what_came_before_nonsense_is_taken() -> None:
    """And nonsense is known at its first byte."""
    reader: FrameReader[FromSlot] = FrameReader(from_slot, 1 << 20)
    reader.feed(frame(Ready(7)) + b"x")
    assert reader.next() == (Ready(7), b"")
    with pytest.raises(ProtocolError, match="no frame begins there"):
        reader.next()


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (PREFIX.pack(MAGIC, 3, 1 << 50), "too large"),
        (PREFIX.pack(MAGIC, (1 << 32) - 1, 0), "too large"),
        (frame(Unfit("x"))[:-2] + b"\xff\xff", "cannot be read"),
        (PREFIX.pack(MAGIC, 1, 0) + b"\xc1", "cannot be read"),
    ],
)
def test_what_cannot_be_a_frame_is_an_error(stream: bytes, error: str) -> None:
    """A job may have written it; nothing is allocated for what it claims."""
    reader: FrameReader[FromSlot] = FrameReader(from_slot, 1 << 20)
    reader.feed(stream)
    with pytest.raises(ProtocolError, match=error):
        reader.next()
