"""Text for a reader who may not read; logs that others truncate."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.station.unblocked_output import UnblockedOutput, for_log

MOST = 1 << 16


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Reading and writing end, which blocks."""
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    yield ends
    for fd in ends:
        with contextlib.suppress(OSError):
            os.close(fd)


def test_texts_without_room_are_counted(pipe: tuple[int, int]) -> None:
    """For whoever says so; those that wait come in order when there is room."""
    reader, writer = pipe
    output = UnblockedOutput(writer, MOST)
    texts = [b"%06d" % number * 100 for number in range(1000)]
    for text in texts:
        output.show(text)
    assert output.has_left_out
    count, size = output.take_left_out()
    shown = b""
    while output.waits:
        shown += os.read(reader, MOST)
        output.flush()
    shown += os.read(reader, MOST)
    assert shown == b"".join(texts[: len(texts) - count])
    assert size == 600 * count
    assert output.take_left_out() == (0, 0)


def test_where_a_disk_is_full_texts_wait() -> None:
    """As for any reader: there may be room later."""
    with Path("/dev/full").open("wb") as full:
        output = UnblockedOutput(full.fileno(), MOST)
        output.show(b"text")
        assert output.waits


def test_another_writer_of_a_pipe_blocks_nobody(pipe: tuple[int, int]) -> None:
    """It takes the room between the look and the write: that does not block either. Its own end goes on blocking."""
    _, writer = pipe
    own = for_log(writer)
    try:
        os.write(own, bytes(1 << 22))
        with pytest.raises(BlockingIOError):
            os.write(own, b"more than there is room for")
        assert os.get_blocking(writer)
        assert not os.get_inheritable(own)
    finally:
        os.close(own)


def test_a_log_file_is_appended_to(tmp_path: Path) -> None:
    """However it was opened: what follows a truncation is at its beginning."""
    path = tmp_path / "log"
    with path.open("wb", buffering=0) as file:
        output = UnblockedOutput(for_log(file.fileno()), MOST)
        output.show(b"before\n")
        os.truncate(path, 0)
        output.show(b"after\n")
    assert path.read_bytes() == b"after\n"
