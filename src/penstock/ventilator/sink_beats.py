"""Beats to the sink, and what its echoes of them mean.

The sink answers each beat with its head, in order with what it has recorded. So once the echo of a beat is here, all
that the sink had recorded when the beat came to it is applied: what was not recorded by then is not there. Whoever
needs to know that waits for a *barrier*: the number of a beat that is still to be sent.
"""

from __future__ import annotations

import math

from penstock.ventilator.leases import COUNTER_BITS

RECOVERY_GRACE = 2.0
"""Seconds after a start in which workers come back and say what they hold. More than their reconnect interval and a
beat."""


class SinkBeats:
    """Which beat is next, and when; which echo ends the recovery after a restart."""

    def __init__(self, life: int, interval: float, now: float) -> None:
        """`interval`: seconds between two beats."""
        self._life = life
        self.number: int = life << COUNTER_BITS
        """Of the newest beat: greater than that of any beat of a former life."""
        self._interval = interval
        self._sent_at = now
        self._wanted = 0
        self._recovers_at = math.inf
        """When the grace after a restart ends: the next beat is the barrier of the recovery."""
        self._recovery: float = math.inf

    def is_of_this_life(self, echo: int) -> bool:
        """Whether it is the echo of a beat that was sent since the start."""
        return echo > self._life << COUNTER_BITS

    def expect_recovery(self, now: float) -> None:
        """What was given out before the restart is not known yet: workers have a while to say what they hold."""
        self._recovers_at = now + RECOVERY_GRACE

    def barrier(self) -> int:
        """A beat that is sent in this turn: its echo covers all that the sink has recorded by now."""
        self._wanted = self.number + 1
        return self._wanted

    def hasten(self, now: float) -> None:
        """The next beat is due."""
        self._sent_at = now - self._interval

    def next(self, now: float, *, is_known: bool) -> int | None:
        """The number of the beat to send now, at each interval, and at once when somebody waits for its echo; None: it
        is not time, or the sink is not known (`is_known`)."""
        due = now >= min(self._sent_at + self._interval, self._recovers_at)
        if due:
            self._sent_at = now
        if not is_known or not (due or self._wanted > self.number):
            return None
        self.number += 1
        if now >= self._recovers_at:
            self._recovery, self._recovers_at = self.number, math.inf
        return self.number

    def ends_recovery(self, echo: int) -> bool:
        """Whether this echo, or an earlier one, is that of the first beat after the grace."""
        return echo >= self._recovery

    def next_wakeup(self, *, is_known: bool) -> float:
        """When a beat is due even if nothing happens."""
        regular = self._sent_at + self._interval
        return min(regular, self._recovers_at) if is_known else regular
