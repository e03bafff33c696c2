"""What jobs print, between the slot, which takes it, and the agent, which moves it away."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from penstock.slot.output_capture import Moved, Spooler, Taken
from penstock.slot.output_spool import Spool, read_at
from penstock.slot.protocol import COLLECTED, PIECE, SPOOL_LOST, Page

Bench = tuple[Page, Spooler, tuple[Spool, Spool], list[int]]


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A page, the agent's end, its spools, and what to write to as 1 and 2."""
    page, spools = Page.create(), (Spool(), Spool())
    pipes = [os.pipe(), os.pipe()]
    for reader, _ in pipes:
        os.set_blocking(reader, False)
    drain = Spooler(page, (pipes[0][0], pipes[1][0]), spools)
    yield page, drain, spools, [writer for _, writer in pipes]
    drain.close()
    page.close()
    for spool in spools:
        spool.close()
    for _, writer in pipes:
        os.close(writer)


def test_what_is_moved_is_known_to_be_of_the_piece_that_runs(bench: Bench) -> None:
    """With its place in the output; what comes when the slot has begun to collect may be of nobody that runs."""
    page, drain, spools, writers = bench
    moved = []
    for piece, collected in ((7, 0), (7, 0), (7, 7), (8, 7)):
        page.cells[PIECE], page.cells[COLLECTED] = piece, collected
        os.write(writers[0], b"out")
        os.write(writers[1], b"error")
        moved.append(drain.move())
        if collected == piece:
            taken = drain.take()
            assert taken == Taken((((0, 9),), ((0, 15),)), (0, 0))
            assert read_at(spools[0], taken.output[0], 0, 9) == b"out" * 3
    assert moved == [
        Moved(7, ((0, b"out"), (0, b"error"))),
        Moved(7, ((3, b"out"), (5, b"error"))),
        Moved(0, ((6, b"out"), (10, b"error"))),
        Moved(8, ((0, b"out"), (0, b"error"))),
    ]


def test_an_output_is_what_is_in_the_spool_and_then_what_is_in_the_pipe(bench: Bench) -> None:
    """Each job's begins where the one before ended; a short one never sees the spool."""
    _, drain, spools, writers = bench
    os.write(writers[0], b"short")
    assert drain.take() == Taken(((b"short",), ()), (0, 0))
    for text in (b"first", b"second"):
        os.write(writers[0], text)
        drain.move()
        os.write(writers[0], b" end")
        out, err = drain.take().output
        assert read_at(spools[0], out, 0, 100) == text + b" end"
        assert err == ()


def test_what_the_disk_has_no_room_for_is_counted(bench: Bench) -> None:
    """Once."""
    page, drain, spools, writers = bench
    spools[0].write = lambda *_: 1  # type: ignore[method-assign]
    os.write(writers[0], b"three")
    drain.move()
    assert page.cells[SPOOL_LOST] == 4
    assert drain.take() == Taken((((0, 1),), ()), (4, 0))
    assert drain.take() == Taken(((), ()), (0, 0))
