"""What jobs print, shown where the worker was started: what its reader does not take in is counted, and said once there
is room. The outcomes have it all the same."""

from __future__ import annotations

from penstock.station.unblocked_output import UnblockedOutput

WAITING_BYTES = 8 << 20
"""Of one stream: some minutes of a chatty program, small beside an agent."""
FLUSH_INTERVAL = 0.05
"""Seconds until the next look whether there is room."""


class TerminalOutput(UnblockedOutput):
    """One of the worker's own streams."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd, WAITING_BYTES)

    def flush(self, timeout: float = 0.0) -> None:
        """As of any output; then what was left out is said."""
        super().flush(timeout)
        if self.has_left_out and not self.waits:
            _, size = self.take_left_out()
            self.show(f"[penstock: {size} bytes are not shown; the outcomes have them]\n".encode())
