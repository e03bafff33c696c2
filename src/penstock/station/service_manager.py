"""What a service manager is told of a station that it has started: systemd, by sd_notify(3).

Promises:

1. It hears once that the station is up.
2. While the station's loop turns it hears of that, in time for its watchdog; of a station that hangs it hears nothing.
3. Jobs, and whatever else the station starts, know nothing of it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping

SOCKET, WATCHDOG_TIME, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
"""Variables in a service's environment: sd_notify(3), sd_watchdog_enabled(3)."""
MICROSECONDS = 1e6


class ServiceManager:
    """The one that started this process, or nobody."""

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        """`environment`: where it says how to reach it, which is read once, and taken out; None: nobody is there."""
        variables = {} if environment is None else environment
        at, time = variables.pop(SOCKET, ""), variables.pop(WATCHDOG_TIME, "")
        is_meant = variables.pop(WATCHDOG_PID, str(os.getpid())) == str(os.getpid())
        self._at = f"\0{at[1:]}" if at.startswith("@") else at
        self.interval: float | None = None
        """Seconds between two signs of life, half of what its watchdog waits for; None: it has none."""
        if self._at and is_meant and time.isdecimal() and int(time):
            self.interval = int(time) / MICROSECONDS / 2
        self._alive_at = float("-inf")

    def say_ready(self) -> None:
        """The station is up."""
        self._say(b"READY=1")

    def say_alive(self, now: float) -> None:
        """The station's loop turns; said as often as the watchdog needs it."""
        if self.interval is not None and now >= self._alive_at + self.interval:
            self._alive_at = now
            self._say(b"WATCHDOG=1")

    def _say(self, word: bytes) -> None:
        if self._at:
            # what cannot be said to it now is no reason to end what runs
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.setblocking(False)
                manager.sendto(word, self._at)
