"""What jobs print: kept whole up to a bound, then head and tail with a line that says what is missing.

File descriptors 1 and 2 of a slot are pipes, so Python, C and child processes are caught alike. The slot itself
empties them when a job ends, which makes the output that job's; a silent job costs one poll. While a job prints more
than a pipe holds, or prints and runs on, the agent moves what is there to a *spill* in the slot's shared page: the job
is never blocked for long, whoever holds the GIL. A lock on the page's file keeps slot and agent from reading at the
same time; neither memory nor disk grows.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import io
import os
import select
import sys
from collections.abc import Callable
from typing import NamedTuple

from penstock.kept import KEPT_BYTES, cut_line
from penstock.slotwire import COLLECTED, PIECE, TAKEN, Page

PIPE_BYTES = 65_536
"""One read empties a pipe (its default size, pipe(7))."""
HALF_FULL = PIPE_BYTES // 2
"""A reading of this size means that the job prints fast."""

_IONBF = 2
"""Of stdio.h, for setvbuf: no buffer."""

Output = tuple[bytes, bytes]
"""What went to stdout and to stderr."""


class Spill:
    """A bounded record of one stream in shared memory: its length so far, its head, and a ring with its tail."""

    def __init__(self, memory: memoryview) -> None:
        self._total = memory[:8].cast("q")
        self._head = memory[8 : 8 + KEPT_BYTES]
        self._ring = memory[8 + KEPT_BYTES :]

    @property
    def total(self) -> int:
        """Bytes so far, kept or not."""
        return self._total[0]

    def add(self, data: bytes) -> None:
        """Append; what is neither head nor tail any more is gone."""
        at = self._total[0]
        self._total[0] = at + len(data)
        if at < KEPT_BYTES:
            taken = min(KEPT_BYTES - at, len(data))
            self._head[at : at + taken] = data[:taken]
            data, at = data[taken:], at + taken
        data, at = data[-KEPT_BYTES:], at + len(data[:-KEPT_BYTES])
        place = at % KEPT_BYTES
        first = data[: KEPT_BYTES - place]
        self._ring[place : place + len(first)] = first
        self._ring[: len(data) - len(first)] = data[len(first) :]

    def take(self) -> bytes:
        """All that is kept, with a line in place of what is not; empties it."""
        total = self._total[0]
        self._total[0] = 0
        if total <= KEPT_BYTES:
            return bytes(self._head[:total])
        if total <= 2 * KEPT_BYTES:
            return bytes(self._head) + bytes(self._ring[: total - KEPT_BYTES])
        place = total % KEPT_BYTES
        missing = cut_line(total - 2 * KEPT_BYTES)
        return bytes(self._head) + missing + bytes(self._ring[place:]) + bytes(self._ring[:place])

    def close(self) -> None:
        """Let go of the memory."""
        for view in (self._total, self._head, self._ring):
            view.release()


class Moved(NamedTuple):
    """What was in the pipes: the piece that wrote it (0: not known), and of each stream from where on and what."""

    piece: int
    streams: tuple[tuple[int, bytes], ...]

    @property
    def size(self) -> int:
        """Bytes of the larger reading."""
        return max(len(data) for _, data in self.streams)


class Drain:
    """The reading ends of a slot's two pipes with their spills, as the agent and the slot have them."""

    def __init__(self, page: Page, pipes: tuple[int, int]) -> None:
        self._page = page
        self._pipes = pipes
        self._spills = (Spill(page.spills[0]), Spill(page.spills[1]))

    def move(self) -> Moved | None:
        """Move what the pipes hold to the spills (the agent's part); None: the slot is reading just now."""
        try:
            fcntl.lockf(self._page.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        cells = self._page.cells
        before = cells[TAKEN]
        try:
            # said before the pipes are emptied: the slot looks at the pipes first
            cells[TAKEN] = 1
            out, err = self._move(0), self._move(1)
            cells[TAKEN] = before or bool(out[1] or err[1])
            # looked up behind the reading: what it brought is the piece's, unless its slot has come to collect
            piece = cells[PIECE]
            return Moved(piece if piece != cells[COLLECTED] else 0, (out, err))
        finally:
            fcntl.lockf(self._page.fd, fcntl.LOCK_UN)

    def take(self) -> Output:
        """Take all there is, and leave pipes and spills empty (the slot's part; the agent's once the slot is dead)."""
        fcntl.lockf(self._page.fd, fcntl.LOCK_EX)
        try:
            out, err = self._take(0), self._take(1)
            self._page.cells[TAKEN] = 0
        finally:
            fcntl.lockf(self._page.fd, fcntl.LOCK_UN)
        return out, err

    def _move(self, place: int) -> tuple[int, bytes]:
        data, position = _read(self._pipes[place]), self._spills[place].total
        self._spills[place].add(data)
        return position, data

    def _take(self, place: int) -> bytes:
        # one pipe's worth at most: a child that outlives its job may go on printing for ever
        data = _read(self._pipes[place])
        if not self._page.cells[TAKEN]:
            return data
        self._spills[place].add(data)
        return self._spills[place].take()

    def close(self) -> None:
        """Close the pipes and let go of the memory."""
        for spill in self._spills:
            spill.close()
        for pipe in self._pipes:
            os.close(pipe)


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

    def collect(self) -> Output | None:
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
        output = self._drain.take()
        return output if output[0] or output[1] else None

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
