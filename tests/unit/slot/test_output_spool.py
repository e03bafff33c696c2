"""The agent's files for large outputs."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from penstock.job.spooled_output import Segments
from penstock.slot.output_spool import Spool, free_all, read_at


@given(st.lists(st.binary(max_size=20) | st.tuples(st.integers(0, 50), st.integers(0, 20))), st.integers(0, 60))
def test_an_output_in_parts_reads_as_one(parts: list[bytes | tuple[int, int]], at: int) -> None:
    """From any place, in any size, wherever its parts are."""
    spool = Spool()
    spool.write(bytes(range(100)), 0)
    output: Segments = tuple(part if isinstance(part, bytes) else (part[0], part[0] + part[1]) for part in parts)
    whole = b"".join(part if isinstance(part, bytes) else bytes(range(part[0], part[1])) for part in output)
    assert read_at(spool, output, at, 30) == whole[at : at + 30]
    spool.close()


def test_what_is_freed_takes_no_room_and_its_neighbours_stay() -> None:
    """A spool grows with what is wanted of it, not with what was ever written."""
    spool = Spool()
    for number in range(64):
        spool.write(bytes([number]) * 65_536, number * 65_536)
    assert spool._fd is not None
    before = os.fstat(spool._fd).st_blocks
    free_all(spool, ((0, 60 * 65_536), b"here"))
    assert os.fstat(spool._fd).st_blocks <= before // 8
    assert spool.read(60 * 65_536, 3) == b"\x3c" * 3
    assert spool.end == 64 * 65_536
    spool.close()
