"""What jobs print, all of it.

File descriptors 1 and 2 of a slot are pipes, so Python, C and child processes are caught alike. The slot itself
empties them when a job ends, which makes the output that job's; a silent job costs one poll. While a job prints more
than a pipe holds, or prints and runs on, the agent moves what is there to a *spool*, a file of its own: the job is
never blocked for long, whoever holds the GIL, and no memory grows. A lock on the page's file keeps slot and agent from
reading at the same time; the page tells the slot where in the spool its job's output is.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import sys
from collections.abc import Callable
from typing import NamedTuple

from penstock.job.originals import os, select
from penstock.job.spooled_output import Extent, Segments, Spooled
from penstock.slot.originals import fcntl
from penstock.slot.output_spool import Spool
from penstock.slot.protocol import COLLECTED, PIECE, SPOOL_LOST, SPOOL_START, SPOOLED, TAKEN, Page

PIPE_BYTES = 65_536
"""One read empties a pipe (its default size, pipe(7))."""
LOST_MAX = 1 << 62
"""No disk lacks room for so many bytes."""
HALF_FULL = PIPE_BYTES // 2
"""A reading of this size means that the job prints fast."""

_IONBF = 2
"""Of stdio.h, for setvbuf: no buffer."""

Output = Spooled
"""What went to stdout and to stderr."""


class Taken(NamedTuple):
    """An output, and how many bytes of either stream the agent's disk had no room for."""

    output: Output
    lost: tuple[int, int]


class Moved(NamedTuple):
    """What was in the pipes: the piece that wrote it (0: not known), and of each stream from where on and what."""

    piece: int
    streams: tuple[tuple[int, bytes], ...]

    @property
    def size(self) -> int:
        """Bytes of the larger reading."""
        return max(len(data) for _, data in self.streams)


class Drain:
    """The reading ends of a slot's two pipes, as the slot has them, and the agent."""

    def __init__(self, page: Page, pipes: tuple[int, int]) -> None:
        self._page = page
        self._pipes = pipes

    def take(self) -> Taken:
        """Take all there is, and leave the pipes empty (the slot's part; the agent's once the slot is dead). What is
        in the spools is named, not read."""
        fcntl.lockf(self._page.fd, fcntl.LOCK_EX)
        try:
            output = self._take(0), self._take(1)
            cells = self._page.cells
            lost = cells[SPOOL_LOST], cells[SPOOL_LOST + 1]
            cells[SPOOL_LOST] = cells[SPOOL_LOST + 1] = cells[TAKEN] = 0
        finally:
            fcntl.lockf(self._page.fd, fcntl.LOCK_UN)
        return Taken(output, lost)

    def _take(self, stream: int) -> Segments:
        # one pipe's worth at most: a child that outlives its job may go on printing for ever
        data = _read(self._pipes[stream])
        cells = self._page.cells
        found: list[bytes | Extent] = []
        if spooled := cells[SPOOLED + stream]:
            start = cells[SPOOL_START + stream]
            found.append((start, start + spooled))
            cells[SPOOL_START + stream], cells[SPOOLED + stream] = start + spooled, 0
        if data:
            found.append(data)
        return tuple(found)

    def close(self) -> None:
        """Close both ends of the pipes."""
        for pipe in self._pipes:
            os.close(pipe)


class Spooler(Drain):
    """The agent's, which moves what the pipes hold to the slot's spools while its job runs. A job may have written to
    the page: where this life of the slot has its output the agent knows by itself."""

    def __init__(self, page: Page, pipes: tuple[int, int], spools: tuple[Spool, Spool]) -> None:
        super().__init__(page, pipes)
        self._spools = spools
        self._begins = [spool.end for spool in spools]
        self._ends = [spool.end for spool in spools]
        page.cells[SPOOL_START], page.cells[SPOOL_START + 1] = self._begins

    def has(self, output: Spooled) -> bool:
        """Whether this is of this life's output, as far as it is in the spools."""
        return all(
            isinstance(segment, bytes) or begin <= segment[0] <= segment[1] <= end
            for begin, end, segments in zip(self._begins, self._ends, output, strict=True)
            for segment in segments
        )

    def take(self) -> Taken:
        """What is left of a slot that is gone."""
        self._put_right()
        return super().take()

    def _put_right(self) -> None:
        cells = self._page.cells
        for stream, (begin, end) in enumerate(zip(self._begins, self._ends, strict=True)):
            start = cells[SPOOL_START + stream]
            if not begin <= start <= end or cells[SPOOLED + stream] != end - start:
                cells[SPOOL_START + stream], cells[SPOOLED + stream] = end, 0
            if not 0 <= cells[SPOOL_LOST + stream] < LOST_MAX:
                cells[SPOOL_LOST + stream] = 0

    def move(self) -> Moved | None:
        """Empty the pipes; None: the slot is reading just now."""
        try:
            fcntl.lockf(self._page.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        cells = self._page.cells
        before = cells[TAKEN]
        try:
            # said before the pipes are emptied: the slot looks at the pipes first
            cells[TAKEN] = 1
            self._put_right()
            out, err = self._move(0), self._move(1)
            cells[TAKEN] = before or bool(out[1] or err[1])
            # looked up behind the reading: what it brought is the piece's, unless its slot has come to collect
            piece = cells[PIECE]
            return Moved(piece if piece != cells[COLLECTED] else 0, (out, err))
        finally:
            fcntl.lockf(self._page.fd, fcntl.LOCK_UN)

    def _move(self, stream: int) -> tuple[int, bytes]:
        data, cells = _read(self._pipes[stream]), self._page.cells
        position = cells[SPOOLED + stream]
        if data:
            written = self._spools[stream].write(data, self._ends[stream])
            self._ends[stream] += written
            cells[SPOOLED + stream] = position + written
            cells[SPOOL_LOST + stream] += len(data) - written
        return position, data


def _read(pipe: int) -> bytes:
    try:
        return os.read(pipe, PIPE_BYTES)
    except BlockingIOError:
        return b""


class Stream(io.TextIOWrapper):
    """sys.stdout or sys.stderr of a slot: line by line to its pipe; `before` is called before anything is written."""

    before: Callable[[], None] | None = None

    def __init__(self, fd: int) -> None:
        raw = io.BufferedWriter(io.FileIO(fd, "w", closefd=False))
        super().__init__(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)

    def write(self, text: str, /) -> int:
        """Write, as a text file does."""
        if Stream.before is not None:
            Stream.before()
        return super().write(text)


class Capture:
    """The slot's side: file descriptors 1 and 2, sys.stdout and sys.stderr, and what was printed to them."""

    def __init__(self, page: Page, writers: tuple[int, int], readers: tuple[int, int]) -> None:
        self._cells = page.cells
        self._drain = Drain(page, readers)
        self.readers = readers
        self._writers = writers
        self._stdin = _identity(0)
        self._inodes = tuple(os.fstat(writer).st_ino for writer in writers)
        self._poll = select.poll()
        for reader in readers:
            self._poll.register(reader, select.POLLIN)
        self._out, self._err = Stream(1), Stream(2)
        _unbuffer_c()
        self.restore()

    def restore(self, *, renewed: bool = False) -> None:
        """Make 0, 1 and 2 ours again, whatever jobs did to them; `renewed`: Python's streams over them, too."""
        if _identity(0) != self._stdin:
            _open_null()
        if sys.stdin is None or sys.stdin.closed or sys.stdin is not sys.__stdin__:
            sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc]  # noqa: SIM115
        for fd, writer, inode in zip((1, 2), self._writers, self._inodes, strict=True):
            try:
                intact = os.fstat(fd).st_ino == inode
            except OSError:
                intact = False
            if not intact:
                os.dup2(writer, fd)
        if renewed or self._out.closed or self._err.closed:
            self._out, self._err = Stream(1), Stream(2)
        sys.stdout = sys.__stdout__ = self._out  # type: ignore[misc]  # who writes there means the same
        sys.stderr = sys.__stderr__ = self._err  # type: ignore[misc]

    def collect(self) -> Taken | None:
        """What was printed since the last time; None if nothing."""
        try:
            self._out.flush()
            self._err.flush()
        except (OSError, ValueError):
            self.restore(renewed=True)  # the job closed them, or what they write to
        if sys.stdout is not self._out or sys.stderr is not self._err:
            self._keep_foreign()
        self._cells[COLLECTED] = self._cells[PIECE]
        if not self._poll.poll(0) and not self._cells[TAKEN]:
            return None
        taken = self._drain.take()
        return taken if any(taken.output) or any(taken.lost) else None

    def _keep_foreign(self) -> None:
        """A job put streams of its own in place and left them there."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        sys.stdout, sys.stderr = self._out, self._err


def _identity(fd: int) -> tuple[int, int, bool] | None:
    """Which file it is, and whether it can be read; None: it is closed."""
    try:
        found = os.fstat(fd)
        mode = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    except OSError:
        return None
    return found.st_dev, found.st_ino, mode != os.O_WRONLY


def _open_null() -> None:
    """Nothing comes from 0."""
    fd = os.open(os.devnull, os.O_RDONLY)
    os.dup2(fd, 0, inheritable=True)
    if fd:
        os.close(fd)
    else:
        os.set_inheritable(0, True)


def _unbuffer_c() -> None:
    """What C code prints shall be in the pipe when its job ends, not in a buffer of stdio."""
    libc = ctypes.CDLL(None)
    with contextlib.suppress(ValueError, AttributeError):
        libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, _IONBF, 0)
