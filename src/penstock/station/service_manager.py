"""What a service manager is told of a station that it has started: systemd by sd_notify(3), others by a file that their
probes look at.

Promises:

1. It hears once that the station is up.
2. While the station's loop turns it hears of that, in time for its watchdog; of a station that hangs it hears nothing.
3. The file says whether the station does its work, ``ready`` or ``waiting``, and is written anew while its loop turns.
4. Jobs, and whatever else the station starts, know nothing of it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping
from pathlib import Path

from penstock.errors import ConfigError

SOCKET, WATCHDOG_TIME, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
"""Variables in a service's environment: sd_notify(3), sd_watchdog_enabled(3)."""
MICROSECONDS = 1e6
HEALTH_INTERVAL = 5.0
"""Seconds after which the file is written anew: often enough for a probe that looks at it by the minute."""


class ServiceManager:
    """The one that started this process, or nobody."""

    def __init__(self, environment: MutableMapping[str, str] | None = None, health_file: str = "") -> None:
        """`environment`: where it says how to reach it, which is read once, and taken out; None: nobody is there.
        `health_file`: what its probes look at; empty: nothing. Raises ConfigError: that cannot be written."""
        variables = {} if environment is None else environment
        at, time = variables.pop(SOCKET, ""), variables.pop(WATCHDOG_TIME, "")
        is_meant = variables.pop(WATCHDOG_PID, str(os.getpid())) == str(os.getpid())
        self._at = f"\0{at[1:]}" if at.startswith("@") else at
        self.interval: float | None = None
        """Seconds between two signs of life, half of what its watchdog waits for; None: it has none."""
        if self._at and is_meant and time.isdecimal() and int(time):
            self.interval = int(time) / MICROSECONDS / 2
        self._alive_at = float("-inf")
        self._health = Path(health_file) if health_file else None
        self._was_ready = False
        if self._health is not None:
            self.interval = min(self.interval or HEALTH_INTERVAL, HEALTH_INTERVAL)
            try:
                self._health.unlink(missing_ok=True)  # it is of a life before
                self._health.touch(mode=0o644)
                self._health.unlink()
            except OSError as error:
                raise ConfigError(f"--health-file {self._health}: {error.strerror}") from error

    def say_ready(self) -> None:
        """The station is up."""
        self._say(b"READY=1")

    def say_alive(self, now: float, *, is_ready: bool) -> None:
        """The station's loop turns; said as often as the watchdog needs it, and when it becomes ready or no more so."""
        if self.interval is None or (now < self._alive_at + self.interval and is_ready == self._was_ready):
            return
        self._alive_at, self._was_ready = now, is_ready
        self._say(b"WATCHDOG=1")
        if self._health is not None:
            with contextlib.suppress(OSError):  # a probe that finds it old says enough
                self._health.write_text("ready\n" if is_ready else "waiting\n", encoding="ascii")

    def _say(self, word: bytes) -> None:
        if self._at:
            # what cannot be said to it now is no reason to end what runs
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.setblocking(False)
                manager.sendto(word, self._at)
