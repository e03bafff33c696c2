"""How the starts of a host's slots go: when to try again, and when to say that it does not work."""

from __future__ import annotations

from penstock.worker.contract import SlotUnfit

RESPAWN_DELAY = 0.5
"""Seconds before the next try after a slot could not be started, so that a lasting cause costs no core; they double."""
RESPAWN_DELAY_MAX = 5.0
"""Seconds after which at the latest it is seen that the cause is gone."""
TWICE = 2
"""Failures in a row that are no accident."""


class Starts:
    """Of all slots of a host."""

    def __init__(self) -> None:
        self._failures: dict[int, int] = {}

    def went_well(self, slot: int) -> None:
        """Its process waits for pieces."""
        self._failures.pop(slot, None)

    def failed(self, slot: int, cause: str) -> list[SlotUnfit]:
        """Its process did not come so far; what is to be said of it."""
        self._failures[slot] = self._failures.get(slot, 0) + 1
        return [SlotUnfit(slot, cause)] if self._failures[slot] >= TWICE else []

    def delay(self, *slots: int) -> float:
        """Seconds before the next try, of the one of these that failed most often."""
        failures = max((self._failures.get(slot, 0) for slot in slots), default=0)
        return min(RESPAWN_DELAY * 2.0 ** max(0, failures - TWICE), RESPAWN_DELAY_MAX) if failures else 0.0
