"""Whether the wall clock can say how long something was kept.

Promises:

1. Somebody who sets the wall clock, for good or for a minute, gets nothing deleted by that: how long something was kept
   is counted by the boot clock within a life of the ventilator, and by the wall clock only over the lives before.
2. When the wall clock has been set, nothing is deleted for its age until it has been steady for a day.
"""

from __future__ import annotations

from collections.abc import Iterator

STEP = 60.0
"""Seconds by which the wall clock moves against the boot clock from one turn to the next only if it is set."""
STEPS_BITS = 24
"""Of the number of a setting: steps of one life, one in each turn for months."""
STEADY_TIME = 24 * 3600.0
"""Seconds without a step after which what the wall clock says is believed: somebody has seen the warning by then."""


class ClockSteps:
    """The steps of a wall clock that is `offset` seconds ahead of the core's clock, in this life."""

    def __init__(self, offset: float, life: int) -> None:
        self.offset = offset
        self.setting: int = life << STEPS_BITS
        """By which it goes: greater than every one before, of whatever life."""
        self._step = 0.0
        """Seconds of the last one."""
        self._ends_at = 0.0

    def follow(self, offset: float, now: float) -> float:
        """It is so far ahead now: by how many seconds it was set since the last look; 0: it was not."""
        step, self.offset = offset - self.offset, offset
        if abs(step) <= STEP:
            return 0.0
        self._step, self._ends_at = step, now + STEADY_TIME
        self.setting += 1
        return step

    def is_steady(self, now: float) -> bool:
        """Whether it was set long ago, or never."""
        return now >= self._ends_at

    def warnings(self, now: float) -> Iterator[str]:
        """For people who look after this machine."""
        if not self.is_steady(now):
            hours = (self._ends_at - now) / 3600
            yield (
                f"the wall clock of the ventilator was set by {self._step:+,.0f} s: nothing is deleted for its age for"
                f" {hours:.0f} h more; see to it that the clock is right (`timedatectl`)"
            )
