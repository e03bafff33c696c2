"""What jobs print, shown where the client was started: a pager that waits or a stopped terminal holds up nobody.

Promises:

1. Nothing here blocks: what cannot be written now waits, in order, and goes as soon as there is room.
2. What waits is bounded; what does not fit is counted, and said once there is room. The outcomes have it all the same.
3. A reader that has had enough (`| head`) ends the showing and nothing else.
"""

from __future__ import annotations

import os
import select

PIPE_BUF = select.PIPE_BUF
"""Bytes that a pipe takes without blocking when it polls writable (pipe(7))."""
WAITING_BYTES = 8 << 20
"""Of one stream: some minutes of a chatty program, small beside an agent."""
FLUSH_INTERVAL = 0.05
"""Seconds until the next look whether there is room."""


class TerminalOutput:
    """One file descriptor that others read."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._waiting = bytearray()
        self._left_out = 0
        self._is_over = False

    @property
    def waits(self) -> bool:
        """Whether something is still to be shown."""
        return bool(self._waiting)

    def show(self, text: bytes) -> None:
        """Behind what waits already."""
        room = WAITING_BYTES - len(self._waiting)
        if len(text) > room:
            self._left_out += len(text)
        elif not self._is_over:
            self._waiting += text
        self.flush()

    def flush(self, timeout: float = 0.0) -> None:
        """Show as much as there is room for; wait for room at most `timeout` seconds at a time."""
        while self._waiting or self._left_out:
            if not self._poll.poll(timeout * 1000):
                return
            if not self._waiting:
                note = f"[penstock: {self._left_out} bytes are not shown; the outcomes have them]\n"
                self._waiting += note.encode()
                self._left_out = 0
            try:
                del self._waiting[: os.write(self._fd, bytes(self._waiting[:PIPE_BUF]))]
            except OSError:
                self._is_over = True
                self._waiting.clear()
                self._left_out = 0
