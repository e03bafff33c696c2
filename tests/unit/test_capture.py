"""The bounded record of what was printed."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.capture import Drain, Moved, Spill
from penstock.kept import KEPT_BYTES
from penstock.slotwire import COLLECTED, PIECE, SPILL_BYTES, Page


def kept(text: bytes) -> bytes:
    """What the promise says of a whole output."""
    missing = len(text) - 2 * KEPT_BYTES
    if missing <= 0:
        return text
    return text[:KEPT_BYTES] + b"\n[... %d bytes cut ...]\n" % missing + text[-KEPT_BYTES:]


@settings(max_examples=60)
@given(st.lists(st.integers(0, 3 * KEPT_BYTES) | st.sampled_from([KEPT_BYTES, KEPT_BYTES + 1, 1]), max_size=8))
def test_head_and_tail_are_kept_whatever_the_pieces(sizes: list[int]) -> None:
    """However output arrives, its first and last 64 KiB stay and the rest is counted."""
    spill = Spill(memoryview(bytearray(SPILL_BYTES)))
    text = b"".join(bytes((n + i) % 251 for n in range(size)) for i, size in enumerate(sizes))
    at = 0
    for size in sizes:
        spill.add(text[at : at + size])
        at += size
    assert spill.take() == kept(text)


def test_taking_empties() -> None:
    """What is recorded after a take is all of the next one."""
    spill = Spill(memoryview(bytearray(SPILL_BYTES)))
    spill.add(b"x" * 3 * KEPT_BYTES)
    spill.take()
    spill.add(b"fresh")
    assert spill.take() == b"fresh"
    assert spill.take() == b""


def test_what_is_moved_is_known_to_be_of_the_piece_that_runs() -> None:
    """With its place in the output; what comes when the slot has begun to collect may be of nobody that runs."""
    page = Page.create()
    pipes = [os.pipe(), os.pipe()]
    for reader, _ in pipes:
        os.set_blocking(reader, False)
    drain = Drain(page, (pipes[0][0], pipes[1][0]))
    try:
        moved = []
        for piece, collected in ((7, 0), (7, 0), (7, 7), (8, 7)):
            page.cells[PIECE], page.cells[COLLECTED] = piece, collected
            os.write(pipes[0][1], b"out")
            os.write(pipes[1][1], b"error")
            moved.append(drain.move())
            if collected == piece:
                assert drain.take() == (b"out" * 3, b"error" * 3)
        assert moved == [
            Moved(7, ((0, b"out"), (0, b"error"))),
            Moved(7, ((3, b"out"), (5, b"error"))),
            Moved(0, ((6, b"out"), (10, b"error"))),
            Moved(8, ((0, b"out"), (0, b"error"))),
        ]
    finally:
        drain.close()
        page.close()
        for _, writer in pipes:
            os.close(writer)
