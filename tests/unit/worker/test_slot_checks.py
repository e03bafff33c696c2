"""What a slot says is believed only if a slot in its senses can say it: whatever a job writes to its slot's socket or
page, the agent goes on, and others can read what it passes on."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.job.spooled_output import size_of
from penstock.slot.framing import MAGIC, PREFIX
from penstock.slot.output_spool import Spool
from penstock.slot.protocol import (
    INDEX,
    LIMIT_CELLS,
    LIMITS,
    PIECE,
    STARTED,
    UNIT,
    Done,
    FromSlot,
    Ran,
    Ready,
    Running,
    Unfit,
    frame,
)
from penstock.wire import frames
from penstock.wire.messages import Outcomes, Prints, WorkerToSink
from penstock.wire.records import BatchHead, Lease, Note, OutcomeHead, Print
from penstock.worker.contract import Run
from penstock.worker.output_notes import noted_all
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


# ---------------------------------------------------------------------------------------------- anything at all


INT64 = st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 40) | st.sampled_from([2**62, 2**63 - 1, -(2**63), 2**40])
CELLS = LIMITS + LIMIT_CELLS + 2
decoder = frames.Decoder(WorkerToSink)


@pytest.fixture
def attacked() -> Iterator[SlotHandle]:
    """Of a slot that has the pieces 1 (jobs 10 to 19, the second lease) and 2 (jobs 20 to 29); one job has printed."""
    attacked = SlotHandle(0, 1, (Spool(), Spool()))
    lease, head = Lease(1, bytes(16), 0, 30, 0, 30, Stamp(), 0), BatchHead(bytes(16), BatchSpec(), bytes(16), 0, 0)
    attacked.ready(77)
    for piece in (1, 2):
        attacked.run(Run(0, piece, lease, head, 10 * piece, 10 * piece + 10), b"", b"")
    yield attacked
    attacked.close_files()
    attacked.close()
    for spool in attacked.spools:
        spool.close()


def reset(attacked: SlotHandle) -> None:
    """As it is at first, whatever came before."""
    for cell in range(CELLS):
        attacked.page.cells[cell] = 0
    attacked.ended = None
    attacked._known.clear()
    attacked._said.clear()


def passed_on(ran: Ran) -> None:
    """What leaves the agent is read by the sink as it was said."""
    head = OutcomeHead(
        bytes(16), ran.start, ran.stop, ran.state, True, Stamp(), 1, 0, ran.started_time, ran.elapsed, ran.size,
        False, ran.note, ran.offset,
    )  # fmt: skip
    message = Outcomes(bytes(16), "w", (head,), ())
    assert decoder.decode(frames.encode(message, bytes(ran.size))).message == message
    assert 10 <= ran.start < ran.stop <= 30
    if ran.spooled is not None:
        assert all(size_of(segment) >= 0 for segments in ran.spooled for segment in segments)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(
    st.dictionaries(st.integers(0, CELLS - 1), INT64, max_size=12),
    st.sampled_from([0, 1, 2, 3, 2**62]),
    st.binary(max_size=60),
    st.sampled_from([None, 0, 1]),
)
def test_a_page_can_say_what_it_likes(
    attacked: SlotHandle, cells: dict[int, int], piece: int, journal: bytes, ended: int | None
) -> None:
    """No cell ends the agent, and what it makes of them is of the jobs that the slot has."""
    reset(attacked)
    for cell, value in cells.items():
        attacked.page.cells[cell] = value
    attacked.page.cells[PIECE] = piece
    attacked.page.journal[: len(journal)] = journal
    os.write(attacked.files()[2], b"out")
    moved = attacked.drain.move()
    assert moved is not None
    for is_error, (position, data) in enumerate(moved.streams):
        prints = Prints(bytes(16), "w", (Print(bytes(16), 1, 1, Stamp(), bool(is_error), position, len(data)),), (), 0)
        assert decoder.decode(frames.encode(prints, data)).message == prints
    running = attacked.running()
    if ended is not None:
        attacked.ended = Ended(JobState.CANCELLED, "cancelled", running)
    attacked.time_left(), attacked.overdue(), attacked.idle_with_orders(), attacked.running_or_next()
    for number, start in ((1, 10), (2, 20)):
        assert start <= attacked.hold_back(number, running) <= start + 10
    found = attacked.saved()
    if found is not None:
        for ran in found[0].ran:
            passed_on(ran)
    died = attacked.death(running, "cause", -9)
    assert died.index is None or 10 <= died.index < 30
    passed_on(Ran(10, 11, JobState.FAILED, died.started_time, died.elapsed, 0, died.note, died.spooled))


def rarely(some: st.SearchStrategy[Any], usual: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(range(8)).flatmap(lambda chance: st.just(usual) if chance else some)


RANS = st.builds(
    Ran,
    st.integers(8, 22) | INT64,
    st.integers(8, 22) | INT64,
    rarely(st.sampled_from(JobState), JobState.SUCCEEDED),
    rarely(st.floats(), 1.0),
    rarely(st.floats(), 0.5),
    rarely(INT64, 0),
    st.none()
    | st.builds(
        Note,
        st.text(max_size=5),
        st.text(max_size=5),
        st.binary(max_size=9),
        st.binary(max_size=9),
        st.none() | INT64,
        rarely(INT64, None),
        st.none() | INT64,
        rarely(INT64, 0),
        rarely(INT64, 0),
    ),
    st.none() | st.tuples(*[st.lists(st.binary(max_size=4) | st.tuples(INT64, INT64), max_size=2).map(tuple)] * 2),
    rarely(st.tuples(INT64, INT64), (0, 0)),
    rarely(INT64, 0),
)


@st.composite
def plausible(draw: st.DrawFn) -> tuple[Ran, ...]:
    """Records that are in order, with anything else wrong about them."""
    found, at = [], 10
    for ran in draw(st.lists(RANS, max_size=3)):
        stop = at + draw(st.integers(1, 3))
        found.append(msgspec.structs.replace(ran, start=at, stop=stop))
        at = stop
    return tuple(found)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=500, deadline=None)
@given(st.lists(RANS, max_size=2).map(tuple) | plausible(), st.sampled_from([1, 1, 1, 2, 7]), st.booleans())
def test_records_are_refused_or_can_be_passed_on(
    attacked: SlotHandle, ran: tuple[Ran, ...], piece: int, goes_on: bool
) -> None:
    """Nobody behind the agent gets what it cannot read; what is refused is said in words."""
    reset(attacked)
    attacked.spools[0].write(b"printed", 0)
    message = Done(piece, ran, goes_on)
    size = sum(one.size for one in ran)
    if size > 1000:
        return  # so many bytes did not come
    try:
        data = msgspec.msgpack.encode(message)
        decoded = msgspec.msgpack.decode(data, type=Done)
    except (ValueError, OverflowError):
        return
    if nonsense(decoded, size, attacked):
        return
    for one in noted_all(decoded.ran, attacked.spools, 100):
        passed_on(one)


def test_frames_of_any_bytes_end_nothing(attacked: SlotHandle) -> None:
    """Garbage, sizes beyond all bounds, nesting without end: a stream that is no longer read, and little memory."""
    dice = random.Random(1)
    deep = b"\x91" * 100_000 + b"\xc0"
    whole = frame(Done(1, (Ran(10, 11, JobState.SUCCEEDED, 1.0, 0.5, 4),)), 4) + b"abcd"
    cases = [
        PREFIX.pack(MAGIC, 2**32 - 1, 0), PREFIX.pack(MAGIC, 1, 2**64 - 1), PREFIX.pack(MAGIC, 5, 2**39) + b"x" * 50,
        PREFIX.pack(MAGIC, len(deep), 0) + deep, PREFIX.pack(MAGIC, 5, 0) + b"\xdd" + struct.pack(">I", 2**32 - 1),
    ]  # fmt: skip
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(dice.randrange(1, 4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        cases.append(bytes(data))
    for number, case in enumerate(cases):
        one = SlotHandle(0, 1, (Spool(), Spool()))
        os.write(one.files()[0], case[:60_000])
        if len(case) > 60_000:
            os.write(one.files()[0], case[60_000:])
        found = one.stream.receive()
        assert one.stream.nonsense or (number >= 5 and len(found) <= 1)
        one.close_files()
        one.close()
