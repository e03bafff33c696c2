"""What the ventilator answers, over a recording wire."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.keys.roles import EVERYONE, Peer, Role
from penstock.station.clock import Clock
from penstock.ventilator.desk import LARGE, Desk
from penstock.wire.bounds import LIMITS, Limits
from penstock.wire.desk_messages import (
    Accepted,
    Arguments,
    AskBatches,
    AskPipeline,
    BatchesInfo,
    BatchLine,
    Digests,
    Filtered,
    FilteredBatch,
    GivenChunk,
    Gone,
    GoneLine,
    JobLine,
    JobsInfo,
    PipelineInfo,
    VentilatorToClient,
    WorkerLine,
)
from penstock.wire.frames import Decoder, encode
from penstock.wire.parts import Inbound
from penstock.wire.records import Bytes, Message, PartsTaken
from penstock.wire.sockets import Received
from support.surroundings import QuietLinks

CLIENT = b"c" * 16
FRAME_BYTES = 64 << 10
"""Half a second at 1 Mbit/s."""
RATE = 125_000
"""Bytes a second of that link."""
_decoder = Decoder(VentilatorToClient)


class LinkClock(Clock):
    """The time that a link has needed."""

    time = 0.0

    def now(self) -> float:
        """Seconds."""
        return self.time


class Socket(QuietLinks):
    """Records frames."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[bytes] = []

    def send(self, name: str, message: Message, *payload: Bytes, peer: bytes = b"") -> bool:
        """Record it."""
        assert (name, peer) == ("desk", CLIENT)
        self.frames.append(encode(message, *payload))
        return True


def many(count: int, record: Any) -> tuple[Any, ...]:
    return (record,) * count


LINE = BatchLine(CLIENT, BatchSpec(), 1, 1, {"failed": 1}, 0, 1.0)
WORKER = WorkerLine(CLIENT, "name", "host", 1, 1, 0, 0, False, "3")
ANSWERS: dict[type[Message], tuple[Message, bytes]] = {
    PipelineInfo: (PipelineInfo(1, 1, "0.3", "3", 0, 0, 0, True, 0, many(10_000, WORKER)), b""),
    BatchesInfo: (BatchesInfo(1, many(10_000, LINE)), b""),
    Digests: (Digests(1, bytes(1 << 20)), b""),
    JobsInfo: (JobsInfo(1, many(10_000, JobLine(CLIENT, 0, 1, JobState.QUEUED, Stamp()))), b""),
    Arguments: (Arguments(1, 0, (GivenChunk(0, 1, 1 << 20, 1 << 20),)), bytes(1 << 20)),
    Filtered: (Filtered(1, many(10_000, FilteredBatch(LINE, 0, 1, ()))), b""),
    Gone: (Gone(1, many(10_000, GoneLine(CLIENT, "NoSuchBatch", "it is gone"))), b""),
}


@pytest.mark.parametrize("kind", LARGE)
def test_no_answer_holds_up_a_slow_link(kind: type[Message]) -> None:
    """Its frames are short, and together they are the answer; what is small overtakes it. An older client is sent it
    whole."""
    socket, message_and_payload = Socket(), ANSWERS[kind]
    clock = LinkClock()
    desk = Desk(socket, clock, LIMITS)
    desk.on_message(CLIENT, EVERYONE, AskPipeline(1))
    desk.answer(CLIENT, *message_and_payload)
    whole = encode(*message_and_payload)
    assert socket.frames == [whole]
    desk.on_message(CLIENT, EVERYONE, AskPipeline(1, parts=True))
    socket.frames.clear()
    desk.answer(CLIENT, *message_and_payload)
    desk.answer(CLIENT, Accepted(2))
    assert socket.frames[-1] == encode(Accepted(2))
    del socket.frames[-1]
    inbound, found = Inbound(), None
    while socket.frames:
        frame = socket.frames.pop(0)
        assert len(frame) <= FRAME_BYTES
        clock.time += len(frame) / RATE
        found = inbound.whole(Received("desk", b"", frame), lambda received: _decoder.decode(received.frame), 0.0)
        for _, _, taken in inbound.taken(0.0):
            desk.on_message(CLIENT, EVERYONE, PartsTaken(taken.stream, taken.position))
    assert found is not None
    assert bytes(found[0].frame) == whole


def test_who_takes_nothing_is_answered_nothing_more() -> None:
    """Also where most of it has not been sent yet."""
    desk = Desk(Socket(), LinkClock(), Limits(answer_bytes=1 << 20))
    eve = Peer("eve", Role.OBSERVE, "1")
    desk.on_message(CLIENT, eve, AskBatches(1, "", 1, parts=True))
    assert desk.has_room(CLIENT)
    desk.answer(CLIENT, *ANSWERS[Arguments])
    assert not desk.has_room(CLIENT)
