"""The clock of all stations."""

from __future__ import annotations

import time


def now() -> float:
    """Seconds on a clock that goes on while the machine sleeps (CLOCK_BOOTTIME) and is never set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clock:
    """The time, as the system has it. A station is given one, so that tests can give it another."""

    def now(self) -> float:
        """Seconds, as `now` has them."""
        return now()

    def wall_time(self) -> float:
        """Seconds since 1970, as people and other hosts count them."""
        return time.time()
