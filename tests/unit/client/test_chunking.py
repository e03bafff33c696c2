"""Input cut into chunks."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.client import chunking
from penstock.client.chunking import CHUNK_BYTES, Cutter
from penstock.job.payload import chunk_blob, load_chunk


def serialize(items: Sequence[Any], first: int) -> bytes:
    """As a map of one iterable does it."""
    return chunk_blob("item", items, "pickle", first)


def cut(items: Iterable[Any], target: int, first: int = 8) -> tuple[list[list[Any]], Cutter]:
    """All chunks, decoded."""
    cutter = Cutter(iter(items), serialize, target, first)
    chunks: list[list[Any]] = []
    while (chunk := cutter.next_chunk()) is not None:
        assert len(chunk.payload) <= CHUNK_BYTES or chunk.jobs == 1
        chunks.append(pickle.loads(chunk.payload)[1])
        assert len(chunks[-1]) == chunk.jobs
    return chunks, cutter


@given(st.lists(st.integers() | st.binary(max_size=2000), max_size=300), st.integers(1, 100), st.integers(1, 20))
def test_every_item_leaves_once_and_in_order(items: list[Any], target: int, first: int) -> None:
    """Whatever the sizes."""
    chunks, cutter = cut(items, target, first)
    assert [item for chunk in chunks for item in chunk] == items
    assert cutter.drawn == len(items)
    assert cutter.exhausted
    assert cutter.error is None


def test_chunks_reach_the_target_after_a_small_first_one() -> None:
    """The first items show how large they are."""
    chunks, _ = cut(range(1000), 200)
    assert [len(chunk) for chunk in chunks] == [8, 64, 200, 200, 200, 200, 128]


@given(st.integers(-(10**30), 10**30), st.integers(0, 300), st.integers(-3, 3).filter(bool), st.integers(1, 100))
def test_a_range_leaves_as_ranges(start: int, count: int, step: int, target: int) -> None:
    """In order, every number once; by msgpack, which knows no ranges, as lists."""
    items = range(start, start + count * step, step)
    cutter = Cutter(items, serialize, target, 8)
    chunks = [pickle.loads(chunk.payload)[1] for chunk in iter(cutter.next_chunk, None)]
    assert all(type(chunk) is range for chunk in chunks)
    assert [number for chunk in chunks for number in chunk] == list(items)
    assert (cutter.drawn, cutter.exhausted) == (count, True)
    small = range(start % 1000, start % 1000 + count)
    assert load_chunk(chunk_blob("item", small, "msgpack"), "msgpack") == ("item", list(small))


def test_a_chunk_is_at_most_a_megabyte_and_larger_items_travel_alone() -> None:
    """Whatever the target says."""
    small, large = bytes(300_000), bytes(2_000_000)
    chunks, _ = cut([small] * 5 + [large] * 3 + [small] * 2, 1000)
    assert [item for chunk in chunks for item in chunk] == [small] * 5 + [large] * 3 + [small] * 2
    assert [len(chunk) for chunk in chunks if large in chunk] == [1] * 3


def test_what_was_drawn_before_the_input_raised_leaves() -> None:
    """The error comes after it."""

    def items() -> Iterator[int]:
        yield from range(13)
        raise KeyError("no more")

    chunks, cutter = cut(items(), 5)
    assert [item for chunk in chunks for item in chunk] == list(range(13))
    assert isinstance(cutter.error, KeyError)


def test_what_precedes_an_item_that_cannot_be_serialized_leaves() -> None:
    """The error names the job and nothing behind it is drawn."""
    later = iter(range(100))
    items = [0, 1, 2, 3, 4, threading.Lock(), 6]
    chunks, cutter = cut([*items, *later], 50)
    assert [item for chunk in chunks for item in chunk] == [0, 1, 2, 3, 4]
    assert isinstance(cutter.error, pickle.PicklingError)
    assert "of job 5 (lock)" in str(cutter.error)


def test_a_first_item_that_cannot_be_serialized_leaves_nothing() -> None:
    """There is no chunk then."""
    chunks, cutter = cut([threading.Lock()], 50)
    assert chunks == []
    assert "the argument (lock)" in str(cutter.error)


def test_an_item_too_large_for_a_frame_is_an_error_at_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its neighbours travel."""
    monkeypatch.setattr(chunking, "MAX_PART_BYTES", 3 << 20)
    chunks, cutter = cut([b"a", bytes(4 << 20), b"b"], 50)
    assert chunks == [[b"a"]]
    assert "job 1: 4 MB when serialized" in str(cutter.error)


def test_most_bounds_what_is_drawn() -> None:
    """A reader's buffer may have room for less than a chunk."""
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    cutter = Cutter(items(), serialize, 50, 50)
    chunk = cutter.next_chunk(most=7)
    assert chunk is not None
    assert chunk.jobs == 7
    assert len(drawn) == 7
