"""What piled up is packed into Submits."""

from __future__ import annotations

from itertools import count

import pytest

from penstock.client.functions import Function
from penstock.client.submit_packing import SUBMIT_BYTES, SUBMIT_RECORDS, Packer, Part, opening
from penstock.job.spec import BatchSpec
from penstock.wire.desk_messages import BatchClose, ChunkHead, Submit
from penstock.wire.frames import split

BATCH = bytes(16)


def chunk(first: int, payload: bytes = b"x", count: int = 1) -> Part:
    """Jobs from `first` on."""
    return Part(ChunkHead(BATCH, first, count, len(payload)), payload)


@pytest.fixture
def packer() -> Packer:
    """Numbers from 1."""
    return Packer(count(1).__next__)


def test_nothing_packs_to_nothing(packer: Packer) -> None:
    """An idle turn sends no message."""
    assert packer.pack() == []


def test_what_came_together_leaves_in_one_message(packer: Packer) -> None:
    """Functions first, then arguments, as the header says."""
    function = Function.of(b"code")
    for part in (opening(BATCH, BatchSpec(), function), chunk(0, b"ab"), chunk(1, b"c"), Part(BatchClose(BATCH, 2))):
        assert packer.add(part) == []
    (packed,) = packer.pack()
    message = packed.message
    assert isinstance(message, Submit)
    assert (message.number, len(message.opens), len(message.chunks), message.closes) == (
        1,
        1,
        2,
        (BatchClose(BATCH, 2),),
    )
    sizes = [one.size for one in message.opens] + [one.size for one in message.chunks]
    assert [bytes(part) for part in split(packed.payload, sizes)] == [b"code", b"ab", b"c"]
    assert packer.pack() == []


def test_what_may_be_refused_shares_its_submits_with_no_other_batch(packer: Packer) -> None:
    """A Submit is refused whole: the batches beside it have nothing to do with that."""
    doubtful, other = b"d" * 16, b"o" * 16
    function = Function.of(b"code")
    packed = [
        one
        for part in (
            opening(other, BatchSpec(), function),
            opening(doubtful, BatchSpec(worker="w", on_missing="fail"), function),
            Part(ChunkHead(doubtful, 0, 1, 1), b"x"),
            Part(BatchClose(doubtful, 1)),
            Part(ChunkHead(other, 0, 1, 1), b"y"),
        )
        for one in packer.add(part)
    ]
    messages = [one.message for one in (*packed, *packer.pack())]
    assert [(len(m.opens), len(m.chunks), len(m.closes)) for m in messages] == [(1, 0, 0), (1, 1, 1), (0, 1, 0)]


def test_a_large_part_travels_alone(packer: Packer) -> None:
    """So that no frame grows beyond its bound by what came before."""
    large = bytes(SUBMIT_BYTES)
    packer.add(chunk(0))
    full = packer.add(chunk(1, large))
    assert [len(packed.payload) for packed in full] == [1, SUBMIT_BYTES]
    assert full[1].payload is large


def test_a_submit_has_a_bounded_number_of_records(packer: Packer) -> None:
    """A message of many records would stall a loop."""
    full = [packed for first in range(SUBMIT_RECORDS) for packed in packer.add(chunk(first))]
    assert [len(packed.message.chunks) for packed in full] == [SUBMIT_RECORDS]
