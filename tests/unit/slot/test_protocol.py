"""Frames and the shared page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock.job.spec import JobState
from penstock.slot.framing import MAGIC, PREFIX
from penstock.slot.protocol import (
    INDEX,
    LIMITS,
    NO_LIMIT,
    PIECE,
    STARTED,
    UNIT,
    Done,
    DropFunction,
    FreeChunk,
    LoadChunk,
    LoadFunction,
    Page,
    Ran,
    Ready,
    Running,
    RunPiece,
    SlotMessage,
    Unfit,
    frame,
    from_slot,
    to_slot,
)
from penstock.wire.records import Note


@pytest.fixture
def page() -> Iterator[Page]:
    """A fresh page."""
    page = Page.create()
    yield page
    page.close()


NOTE = Note("cause", "trace", b"\xff", b"err", -9, 77, -11)


@pytest.mark.parametrize(
    "message",
    [
        LoadFunction(1, 2, b"f", "call", "pickle"),
        DropFunction(b"f"),
        LoadChunk(1, 2, 3, b"b", 4, 5, b"f", "msgpack", False, b"c", "work", ""),
        FreeChunk(3),
        RunPiece(1, 3, 4, 5, 6, 7),
        Ready(77),
        Unfit("no room"),
        Done(1, (Ran(4, 5, JobState.FAILED, 1.5, 0.5, 9, NOTE), Ran(5, 6, JobState.SUCCEEDED, 1.5, 0.5, 0))),
    ],
)
def test_messages_come_back(message: SlotMessage) -> None:
    """A frame says the lengths of header and payload; the header decodes to the same message."""
    data = frame(message, 7)
    magic, header_size, payload_size = PREFIX.unpack_from(data)
    decoder = from_slot if isinstance(message, Ready | Unfit | Done) else to_slot
    assert (magic, payload_size) == (MAGIC, 7)
    assert decoder.decode(data[PREFIX.size :]) == message
    assert len(data) == PREFIX.size + header_size


def test_page_tells_what_runs(page: Page) -> None:
    """Nothing at first; then piece, index, start and unit as the slot wrote them."""
    assert page.running() is None
    for cell, value in ((INDEX, 5), (STARTED, 6), (UNIT, 7), (PIECE, 4)):
        page.cells[cell] = value
    assert page.running() == Running(4, 5, 6, 7)


def test_limits_are_only_lowered(page: Page) -> None:
    """A later, larger limit changes nothing."""
    page.cells[LIMITS] = NO_LIMIT
    assert [page.lower_limit(LIMITS, stop) for stop in (10, 12, 7, 9)] == [10, 10, 7, 7]
