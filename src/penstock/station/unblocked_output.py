"""Text for a reader who may not read: a pager that waits, a stopped terminal, or a log's reader that hangs.

Promises:

1. Nothing here blocks: what cannot be written now waits, in order, and goes as soon as there is room.
2. What waits is bounded; what does not fit is counted, for whoever says so once there is room.
3. A reader that is gone (`| head`) ends the showing and nothing else.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat

PIPE_BUF = select.PIPE_BUF
"""Bytes that a pipe takes without blocking when it polls writable (pipe(7))."""
LATER = {errno.EAGAIN, errno.ENOSPC, errno.EDQUOT}
"""Of a write: there may be room later."""


class UnblockedOutput:
    """One file descriptor that others read."""

    def __init__(self, fd: int, most_bytes: int) -> None:
        """`most_bytes`: of what waits."""
        self._fd = fd
        self._most = most_bytes
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._waiting = bytearray()
        self._left_out = 0, 0
        self._is_over = False

    @property
    def waits(self) -> bool:
        """Whether something is still to be shown."""
        return bool(self._waiting)

    @property
    def has_left_out(self) -> bool:
        """Whether there was no room for something."""
        return self._left_out[0] > 0

    def take_left_out(self) -> tuple[int, int]:
        """For how many texts, and bytes, there was no room since the last call."""
        found, self._left_out = self._left_out, (0, 0)
        return found

    def show(self, text: bytes) -> None:
        """Behind what waits already."""
        if len(text) > self._most - len(self._waiting):
            self._left_out = self._left_out[0] + 1, self._left_out[1] + len(text)
        elif not self._is_over:
            self._waiting += text
        self.flush()

    def flush(self, timeout: float = 0.0) -> None:
        """Show as much as there is room for; wait for room at most `timeout` seconds at a time."""
        while self._waiting and self._poll.poll(timeout * 1000):
            try:
                del self._waiting[: os.write(self._fd, bytes(self._waiting[:PIPE_BUF]))]
            except OSError as error:
                if error.errno in LATER:
                    return
                self._is_over = True
                self._waiting.clear()
                self._left_out = 0, 0


def for_log(fd: int) -> int:
    """A descriptor for a log that this one is. A file can be truncated from now on: what follows is at its end. Of a
    pipe it is one of our own, which does not block, whoever else writes to it at that moment."""
    kind = os.fstat(fd).st_mode
    if stat.S_ISREG(kind):
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
    elif stat.S_ISFIFO(kind):
        try:
            return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # it is another user's, or its reader is gone
            return fd
    return fd
