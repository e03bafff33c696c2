"""How fast a batch that grows is handed in: never more open jobs than may run at once, and each only when it may start.

Promises:

1. A job is handed in only when fewer jobs are open than can run: whoever has seen an outcome and wants no more jobs
   finds that none has started after it.
2. A job is handed in only when every gate lets it through; whoever stops waiting does so at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Protocol

LOOK_INTERVAL = 5.0
"""Seconds between two looks at how many jobs can run: workers join and leave."""
BREATH = 0.05
"""Seconds: long enough that a slot that is there takes no second call meanwhile."""


class Gate(Protocol):
    """A condition that a job waits for before it is submitted."""

    def left(self, now: float) -> float:
        """Seconds (wall clock) until it is worth asking again whether the next job may start; 0: it may."""

    def begun(self, now: float) -> None:
        """A job is handed in, or was seen to have started then."""


class Pace:
    """How fast one batch is submitted. `at_once` tells how many jobs may be open; it may ask the pipeline.

    `read_ahead`: items of the input that are read and not handed in. `as_read`: a job is open until its outcome was
    taken by whoever reads the batch; else until it has come here.
    """

    def __init__(
        self, at_once: Callable[[], int], gates: Sequence[Gate] = (), *, read_ahead: int, as_read: bool
    ) -> None:
        self.read_ahead = read_ahead
        self.as_read = as_read
        self._ask = at_once
        self._gates = gates
        self._at_once = 0
        self._asked_at = float("-inf")

    def at_once(self) -> int:
        """How many jobs may be open; looked up again now and then."""
        now = time.monotonic()
        if now >= self._asked_at + LOOK_INTERVAL:
            self._at_once, self._asked_at = max(1, self._ask()), now
        return self._at_once

    def left(self) -> float:
        """Seconds until the next job may start, as far as is known; 0: it may."""
        now = time.time()
        return max((gate.left(now) for gate in self._gates), default=0.0)

    def begun(self, at: float | None = None) -> None:
        """A job is handed in now, or was seen to have started at that time (by the clock of its worker)."""
        now = time.time()
        for gate in self._gates:
            gate.begun(now if at is None else min(at, now))


class Delay:
    """Lets a job through when so many seconds have passed since the last one started."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = float("-inf")

    def left(self, now: float) -> float:
        """As a Gate does; a clock that was set back does not make it longer."""
        return min(self._seconds, max(0.0, self._last + self._seconds - now))

    def begun(self, now: float) -> None:
        """As a Gate does."""
        self._last = max(self._last, now)


def breath(_: object) -> int:
    """A call that tells which process runs it, and leaves time for the other slots to take one too."""
    time.sleep(BREATH)
    return os.getpid()
