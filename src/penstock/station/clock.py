"""The clock of all stations."""

from __future__ import annotations

import time


def now() -> float:
    """Seconds on a clock that goes on while the machine sleeps (CLOCK_BOOTTIME) and is never set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
