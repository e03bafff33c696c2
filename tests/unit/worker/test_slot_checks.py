"""What a slot says is believed only if a slot in its senses can say it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.slot.output_spool import Spool
from penstock.slot.protocol import INDEX, PIECE, STARTED, UNIT, Done, FromSlot, Ran, Ready, Running, Unfit, frame
from penstock.wire.messages import BatchHead, Lease
from penstock.worker.contract import Run
from penstock.worker.slot_checks import nonsense
from penstock.worker.slot_handle import Ended, SlotHandle


@pytest.fixture
def handle() -> Iterator[SlotHandle]:
    """Of a slot that has the pieces 1 (jobs 10 to 19), which is to be cut behind 14, and 2 (jobs 20 to 29)."""
    handle = SlotHandle(0, 1, (Spool(), Spool()))
    lease, head = Lease(1, bytes(16), 0, 30, 0, 30, Stamp(), 0), BatchHead(bytes(16), BatchSpec(), bytes(16), 0, 0)
    handle.ready(77)
    for piece in (1, 2):
        handle.run(Run(0, piece, lease, head, 10 * piece, 10 * piece + 10), b"", b"")
    handle.cuts[1] = 15
    yield handle
    handle.close_files()
    handle.close()


def ran(start: int, stop: int, state: JobState = JobState.SUCCEEDED, size: int = 4) -> Ran:
    return Ran(start, stop, state, 1.0, 0.5, size)


@pytest.mark.parametrize(
    "message",
    [
        Done(1, ()),
        Done(1, (ran(10, 12),)),
        Done(1, (ran(10, 12), ran(12, 15, JobState.FAILED))),
    ],
)
def test_what_a_slot_says_is_believed(handle: SlotHandle, message: Done) -> None:
    """All of a piece up to its cut, some, or none."""
    assert nonsense(message, 4 * len(message.ran), handle) == ""


@pytest.mark.parametrize(
    ("message", "size"),
    [
        (Done(7, ()), 0),
        (Done(2, (ran(20, 30),)), 4),
        (Done(1, (ran(9, 12),)), 4),
        (Done(1, (ran(10, 16),)), 4),
        (Done(1, (ran(10, 12), ran(13, 15))), 8),
        (Done(1, (ran(10, 12), ran(11, 15))), 8),
        (Done(1, (ran(10, 10),)), 4),
        (Done(1, (ran(10, 12, JobState.DEAD),)), 4),
        (Done(1, (ran(10, 12),)), 3),
        (Ready(78), 0),
        (Unfit("tired"), 0),
    ],
)
def test_what_no_slot_says_is_nonsense(handle: SlotHandle, message: FromSlot, size: int) -> None:
    """Pieces that it does not have or that are not next, jobs that are not the piece's or behind its cut, ends that are
    none, sizes that are not those of the payload, a second beginning."""
    assert nonsense(message, size, handle)


def test_of_a_slot_that_is_ended_other_pieces_may_come_first(handle: SlotHandle) -> None:
    """The one it is ended for is not waited for."""
    handle.ended = Ended(JobState.CANCELLED, "cancelled", Running(1, 10, 1, 1))
    assert nonsense(Done(2, ()), 0, handle) == ""


@pytest.mark.parametrize("values", [(-1.0, 0.5, 4), (1.0, float("nan"), 4), (1.0, -0.5, 4), (1.0, 0.5, -4)])
def test_numbers_that_cannot_be_are_no_frame(handle: SlotHandle, values: Any) -> None:
    """Times and sizes go on to stations that would not take them, and to sums."""
    wrong = msgspec.structs.replace(ran(10, 11), started_time=values[0], elapsed=values[1], size=values[2])
    os.write(handle.files()[0], frame(Done(1, (wrong,)), 4))
    assert handle.stream.receive() == []
    assert "cannot be read" in handle.stream.nonsense


def test_what_is_no_frame_is_known_at_its_first_byte(handle: SlotHandle) -> None:
    """Nobody waits for the rest of it; what came before it is taken."""
    os.write(handle.files()[0], frame(Done(1, ())) + b"x")
    assert handle.stream.receive() == [(Done(1, ()), b"")]
    assert handle.stream.nonsense == "no frame begins there"


def test_half_a_frame_is_waited_for(handle: SlotHandle) -> None:
    """Wherever it is cut."""
    whole = frame(Done(1, ()))
    for at in range(len(whole)):
        os.write(handle.files()[0], whole[at : at + 1])
        assert handle.stream.receive() == ([(Done(1, ()), b"")] if at == len(whole) - 1 else [])
    assert handle.stream.nonsense == ""


@pytest.mark.parametrize(("index", "unit", "started"), [(9, 1, 0), (20, 1, 0), (19, 2, 0), (12, 0, 0), (12, 1, -1)])
def test_a_page_that_names_a_job_of_no_piece_names_none(
    handle: SlotHandle, index: int, unit: int, started: int
) -> None:
    """It is the piece that runs, whichever of its jobs: nobody else's may be taken for dead."""
    for cell, value in ((INDEX, index), (STARTED, started), (UNIT, unit), (PIECE, 1)):
        handle.page.cells[cell] = value
    assert handle.running() == Running(1, 10, 0, 10)
    handle.page.cells[PIECE] = 3
    assert handle.running() is None
