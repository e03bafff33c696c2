"""What jobs print is shown without waiting for who reads it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

from penstock.worker import terminal_output
from penstock.worker.terminal_output import TerminalOutput

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Reading and writing end."""
    ends = os.pipe()
    yield ends
    for fd in ends:
        with contextlib.suppress(OSError):  # the test has closed it
            os.close(fd)


def read_all(reader: int, shown: TerminalOutput) -> bytes:
    """As long as there is something."""
    found = b""
    while True:
        os.set_blocking(reader, False)
        try:
            part = os.read(reader, 1 << 16)
        except BlockingIOError:
            return found
        found += part
        shown.flush()


def test_what_a_reader_does_not_take_waits_in_order(pipe: Pipe) -> None:
    """More than the pipe holds: nothing blocks, nothing is lost."""
    reader, writer = pipe
    shown = TerminalOutput(writer)
    text = b"".join(b"%d\n" % number for number in range(100_000))
    for at in range(0, len(text), 1000):
        shown.show(text[at : at + 1000])
    assert shown.waits
    assert read_all(reader, shown) == text
    assert not shown.waits


def test_what_waits_is_bounded_and_the_rest_is_counted(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """And said as soon as there is room."""
    monkeypatch.setattr(terminal_output, "WAITING_BYTES", 1 << 17)
    reader, writer = pipe
    shown = TerminalOutput(writer)
    for _ in range(10):
        shown.show(bytes(1 << 16))
    found = read_all(reader, shown)
    note = found.lstrip(b"\0")
    left_out = 10 * (1 << 16) - (len(found) - len(note))
    assert note == b"[penstock: %d bytes are not shown; the outcomes have them]\n" % left_out
    assert left_out > 0


def test_a_reader_that_has_had_enough_ends_the_showing(pipe: Pipe) -> None:
    """Without an error."""
    reader, writer = pipe
    shown = TerminalOutput(writer)
    os.close(reader)
    shown.show(b"unheard")
    shown.show(b"too")
    assert not shown.waits
