"""When a worker goes home by itself: nothing to do for a while, or soon to be ended from outside.

Promises:

1. It is idle from its start, and from the moment it holds nothing: outcomes that no sink has taken keep it.
2. Before its time limit it drains, and shortly before it what still runs is handed back: nothing is cut off with it.
3. Told twice to stop it leaves when what ran has had its grace; told once more, now.
4. Who is to leave within some seconds of being told has left by then: for half of them what runs may end by itself,
   then it is ended and handed back.
"""

from __future__ import annotations

import math

from penstock.station.config import DRAIN_BEFORE, TERM_GRACE

LAST_CALL = 5.0
"""Seconds before the time limit, and beyond the grace, at which what still runs is ended and handed back: for its
outcomes. Never earlier than half of the time to drain."""
LEAVE_PATIENCE = 2.0
"""Seconds that a worker told twice to stop still waits for its outcomes to be closed, beyond the grace of what ran."""


class Lifetime:
    """Of a worker that starts at `now`; instants are infinite where nothing was asked for."""

    def __init__(
        self,
        now: float,
        idle_timeout: float | None = None,
        time_limit: float | None = None,
        drain_before: float = DRAIN_BEFORE,
        grace: float = TERM_GRACE,
        leave_within: float | None = None,
    ) -> None:
        self._idle_timeout = math.inf if idle_timeout is None else idle_timeout
        self._grace = grace
        self._leave_within = math.inf if leave_within is None else leave_within
        self._is_hurried = False
        self.leaves_at: float = math.inf
        """When it leaves, whatever still runs or is not delivered."""
        self._idle_since = now
        self._was_busy = False
        self._ends_at = math.inf if time_limit is None else now + time_limit
        self._drain_at = self._ends_at - drain_before
        self._last_call_at = self._ends_at - min(grace + LAST_CALL, drain_before / 2)

    def tell(self, now: float) -> None:
        """It is told to leave."""
        self._last_call_at = min(self._last_call_at, now + self._leave_within / 2)
        self.leaves_at = min(self.leaves_at, now + self._leave_within)

    def hurry(self, now: float) -> bool:
        """What runs is to be ended, if it is not already: then nothing is waited for any more."""
        first, self._is_hurried = not self._is_hurried, True
        self.leaves_at = min(self.leaves_at, now + self._grace + LEAVE_PATIENCE) if first else now
        return first

    def drains(self, now: float, *, busy: bool) -> str | None:
        """Why it drains now, if it does; `busy`: it holds something."""
        if busy or self._was_busy:
            self._idle_since, self._was_busy = now, busy
        if now >= self._drain_at:
            return "time limit"
        return "idle" if not busy and now >= self._idle_since + self._idle_timeout else None

    def is_over(self, now: float) -> bool:
        """Whether what still runs must be handed back, once."""
        if now < self._last_call_at:
            return False
        self._last_call_at = math.inf
        return True

    def next_wakeup(self, *, draining: bool) -> float:
        """When one of these has something to say."""
        if draining:
            return min(self._last_call_at, self.leaves_at)
        return min(self._drain_at, math.inf if self._was_busy else self._idle_since + self._idle_timeout)
