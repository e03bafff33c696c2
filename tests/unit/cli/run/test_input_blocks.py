"""Where blocks end. That it is where GNU parallel ends them is compared in contract/."""

from __future__ import annotations

import io
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli.run.input_blocks import AtSeparator, Blocks, Ends, EveryLines, EveryRecords
from penstock.errors import ConfigError

LONGEST = 1 << 16
INPUT = st.lists(st.sampled_from([b"\n", b"\0", b"a", b"bb", b">", b"\n>"]), max_size=80).map(b"".join)
SIZES = st.integers(1, 40)


def blocks(data: bytes, size: int, ends: Ends, *, at_most: int = 1 << 20, longest: int = LONGEST) -> list[bytes]:
    """The blocks of this input, which comes in pieces of at most so many bytes."""
    read = io.BytesIO(data).read
    return list(Blocks(size, ends, longest).of(lambda count: read(min(count, at_most)), lambda _: None))


@given(INPUT, SIZES, st.sampled_from([(b"\n", b""), (b"\0", b""), (b"", b">"), (b"\n", b">"), (b"", b"")]))
def test_blocks_are_the_input_and_end_where_records_do(data: bytes, size: int, ends: tuple[bytes, bytes]) -> None:
    """Nothing is lost, doubled or empty, and each block but the last is of whole records."""
    found = blocks(data, size, AtSeparator(*ends))
    assert b"".join(found) == data
    assert all(found)
    for block, behind in pairwise(found):
        assert block.endswith(ends[0])
        assert behind.startswith(ends[1])


@given(INPUT, SIZES, st.integers(1, 5))
def test_so_many_records_are_a_block(data: bytes, size: int, many: int) -> None:
    """However they lie in what is read: each block but the last has so many."""
    found = blocks(data, size, EveryRecords(b"\n", b"", many))
    assert b"".join(found) == data
    for block in found[:-1]:
        assert block.endswith(b"\n")
        assert block.count(b"\n") in {many, many + 1}  # a line end that a block begins with is no record's end
        assert block.count(b"\n") == many or block.startswith(b"\n")


@given(INPUT, SIZES, st.integers(1, 5))
def test_records_of_several_lines_are_whole(data: bytes, size: int, lines: int) -> None:
    """Each block but the last has a multiple of so many lines."""
    found = blocks(data, size, EveryLines(lines))
    assert b"".join(found) == data
    for block in found[:-1]:
        assert block.endswith(b"\n")
        assert block.count(b"\n") % lines == 0


@given(INPUT, SIZES, st.integers(1, 7))
def test_how_the_input_comes_changes_nothing(data: bytes, size: int, at_most: int) -> None:
    """A slow writer's pieces are put together first."""
    for ends in (AtSeparator(b"\n", b""), EveryRecords(b"\n", b"", 2), EveryLines(2)):
        assert blocks(data, size, ends, at_most=at_most) == blocks(data, size, ends)


def test_a_record_that_is_longer_makes_blocks_larger_and_says_so() -> None:
    """Once, however often they grow."""
    said: list[str] = []
    cut = Blocks(4, AtSeparator(b"\n", b""), LONGEST)
    first, *others = cut.of(io.BytesIO(b"x" * 100 + b"\n" + b"y\n" * 200).read, said.append)
    assert first.startswith(b"x" * 100 + b"\n")
    assert others
    assert said == ["a record is longer than --block 4: blocks become larger"]


@pytest.mark.parametrize("ends", [AtSeparator(b"\n", b""), EveryRecords(b"\n", b"", 2)])
def test_a_record_that_cannot_be_sent_is_refused_before_it_is_all_in_memory(ends: Ends) -> None:
    """An input without a line end is read as far as a message goes, and no further."""
    left = 10 * LONGEST

    def read(count: int) -> bytes:
        nonlocal left
        left -= count
        return bytes(count)

    with pytest.raises(ConfigError, match=f"more than {LONGEST} bytes"):
        list(Blocks(1000, ends, LONGEST).of(read, lambda _: None))
    assert left > 8 * LONGEST


def test_nothing_is_no_block() -> None:
    """An empty input has no jobs."""
    some = partial(blocks, b"", 4)
    assert some(AtSeparator(b"\n", b"")) == some(EveryRecords(b"\n", b"", 2)) == some(EveryLines(2)) == []
