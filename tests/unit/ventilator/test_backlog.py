"""Parts of chunks: one place per job, cut anywhere, in turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.job.spec import BatchSpec, Stamp
from penstock.ventilator.backlog import Backlog
from penstock.ventilator.contract import OpenPart, StoredBatch, StoredChunk
from penstock.ventilator.jobs_model import MOVES, Batch, Chunk, Place, is_any


def batch_of(backlog: Backlog, *, name: bytes = b"b", priority: int = 0) -> Batch:
    """An empty batch."""
    spec = BatchSpec(priority=priority)
    return backlog.add_batch(StoredBatch(name * 16, spec, b"f" * 16, 1, 0.0, 0, None, {}, None))


def chunk_of(backlog: Backlog, batch: Batch, first: int, count: int) -> Chunk:
    """A queued chunk."""
    stored = StoredChunk(first, count, 1, (OpenPart(first, first + count),))
    chunk = backlog.add_chunk(batch, stored)
    for part in chunk.parts:
        backlog.move(part, Place.QUEUED)
    return chunk


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.sampled_from(list(Place))), max_size=12))
def test_parts_partition_the_open_jobs(moves: list[tuple[int, int, Place]]) -> None:
    """However a chunk is cut and moved: each job is in one part, and the count of queued parts is right."""
    backlog = Backlog()
    chunk = chunk_of(backlog, batch_of(backlog), 0, 20)
    for start, stop, place in moves:
        for part in backlog.carve(chunk, start, stop):
            assert start <= part.start < part.stop <= stop
            if place in MOVES[part.place] - {Place.ENDED}:
                backlog.move(part, place, int(place is Place.LEASED))
        assert [index for part in chunk.parts for index in range(part.start, part.stop)] == list(range(20))
        assert backlog.queued_parts == sum(part.place is Place.QUEUED for part in chunk.parts)
        assert chunk.batch.leased == sum(part.jobs for part in chunk.parts if part.place is Place.LEASED)


def test_every_queued_part_comes_once() -> None:
    """Also those that were cut while they waited."""
    backlog = Backlog()
    batch = batch_of(backlog)
    chunk = chunk_of(backlog, batch, 0, 10)
    chunk_of(backlog, batch, 10, 5)
    backlog.carve(chunk, 3, 6)
    spans = []
    while (part := backlog.next(is_any)) is not None:
        backlog.move(part, Place.LEASED, 1)
        spans.append((part.start, part.stop))
    assert spans == [(0, 3), (3, 6), (6, 10), (10, 15)]
    assert backlog.queued_parts == 0


def test_a_part_that_was_moved_away_is_not_given_out() -> None:
    """What is adopted or cancelled while it is queued leaves the queue."""
    backlog = Backlog()
    chunk = chunk_of(backlog, batch_of(backlog), 0, 4)
    backlog.move(chunk.parts[0], Place.VERDICT)
    assert backlog.next(is_any) is None


def test_batches_of_one_priority_take_turns() -> None:
    """Larger priority first."""
    backlog = Backlog()
    for name, priority in ((b"1", 0), (b"2", 0), (b"3", 9)):
        batch = batch_of(backlog, name=name, priority=priority)
        chunk_of(backlog, batch, 0, 1)
        chunk_of(backlog, batch, 1, 1)
    order = []
    while (part := backlog.next(is_any)) is not None:
        backlog.move(part, Place.LEASED, 1)
        order.append(part.chunk.batch.id[:1])
    assert order == [b"3", b"3", b"1", b"2", b"1", b"2"]


def test_what_is_stored_joins_neighbours_that_are_alike() -> None:
    """The stored form grows with the differences among the jobs, not with the cuts."""
    backlog = Backlog()
    chunk = chunk_of(backlog, batch_of(backlog), 0, 10)
    for start in range(0, 10, 2):
        backlog.carve(chunk, start, start + 2)
    newer = Stamp(attempt=2)
    for part in backlog.carve(chunk, 4, 6):
        part.stamp = newer
    assert chunk.open_parts() == (OpenPart(0, 4), OpenPart(4, 6, newer), OpenPart(6, 10))


def test_a_chunk_is_found_by_each_of_its_indexes() -> None:
    """And no other one is."""
    backlog = Backlog()
    batch = batch_of(backlog)
    low, high = chunk_of(backlog, batch, 0, 3), chunk_of(backlog, batch, 5, 2)
    assert [batch.chunk_at(index) for index in range(8)] == [low, low, low, None, None, high, high, None]
    backlog.drop_chunk(low)
    assert batch.chunk_at(1) is None
