"""Files of the agent's for what jobs print, where that is more than a pipe holds: memory does not grow with it.

A spool is one file without a name in the folder for temporary files, made when it is first written to; a slot has one
for stdout and one for stderr. What was read is given back to the file system by a hole, so that the file takes no more
room than what is still wanted of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import tempfile

from penstock.job.spooled_output import Extent, Segments, size_of

FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2
"""Of fallocate(2)."""


class Spool:
    """One file that keeps what jobs print, with holes where it is no longer wanted."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self.end: int = 0
        """Where the next life of the slot begins to write."""

    def write(self, data: bytes, place: int) -> int:
        """Write it there; how many bytes of it the disk had room for."""
        written = 0
        with contextlib.suppress(OSError), memoryview(data) as view:
            if self._fd is None:
                self._fd = _nameless_file()
            while written < len(data):
                written += os.pwrite(self._fd, view[written:], place + written)
        self.end = max(self.end, place + written)
        return written

    def read(self, place: int, size: int) -> bytes:
        """The bytes of an extent, fewer if the file ends before."""
        if self._fd is None:
            return b""
        data = os.pread(self._fd, size, place)
        while len(data) < size and (more := os.pread(self._fd, size - len(data), place + len(data))):
            data += more
        return data

    def free(self, extent: Extent) -> None:
        """This is wanted no more. Where there are no holes it stays until the file goes."""
        start, stop = extent
        if self._fd is not None and stop > start and sys.platform == "linux":
            flags = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
            _libc.fallocate(self._fd, flags, ctypes.c_int64(start), ctypes.c_int64(stop - start))

    def close(self) -> None:
        """With all that is in it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def read_at(spool: Spool, segments: Segments, position: int, size: int) -> bytes:
    """So many bytes of an output from `position` on, whose parts are these."""
    found: list[bytes] = []
    for segment in segments:
        length = size_of(segment)
        if position < length and size > 0:
            part = _part(spool, segment, position, min(size, length - position))
            found.append(part)
            size -= len(part)
            position += len(part)
        position = max(0, position - length)
    return b"".join(found)


def _part(spool: Spool, segment: bytes | Extent, position: int, size: int) -> bytes:
    if isinstance(segment, bytes):
        return segment[position : position + size]
    return spool.read(segment[0] + position, size)


def free_all(spool: Spool, segments: Segments) -> None:
    """Nothing of this output is wanted any more."""
    for segment in segments:
        if isinstance(segment, tuple):
            spool.free(segment)


def _nameless_file() -> int:
    with tempfile.TemporaryFile(prefix="penstock-output-") as file:
        return os.dup(file.fileno())


_libc = ctypes.CDLL(None, use_errno=True)
