"""Log lines that would repeat for ever come ever more seldom."""

from __future__ import annotations

import math

REPEAT_MAX = 60.0
"""Seconds between two of them in the end: often enough to be among the last lines of a log, and no flood."""


class Repeated:
    """One such line: at once, then after `first` seconds, twice as many, and so on. After a minute in which it would
    not have come anyway it begins anew."""

    def __init__(self, first: float) -> None:
        self._first = self._wait = first
        self._due_at = -math.inf

    def is_due(self, now: float) -> bool:
        """Whether it is to be written this time."""
        if now < self._due_at:
            return False
        self._wait = self._first if now >= self._due_at + REPEAT_MAX else min(2 * self._wait, REPEAT_MAX)
        self._due_at = now + self._wait
        return True
