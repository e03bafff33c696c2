"""Whether a worker can run anything: no process can be started for any of its slots, or what it ran cannot leave it.

Promises:

1. Each change is said once; while it lasts the newest reason is kept for whoever asks.
2. A worker with one slot that works is not broken: it runs fewer jobs at once.
3. That jobs use up their processes is said, and not for each of them.
4. Who cannot deliver is broken too: what it ran would stay with it.
"""

from __future__ import annotations

from penstock.station.contract import Log

REPLACED_INTERVAL = 60.0
"""Seconds between two lines about slots that were replaced: there may be a hundred in a second."""


class Fitness:
    """Of a worker with so many slots, whose socket to the sink is the `outlet`, in words."""

    def __init__(self, slots: int, outlet: str) -> None:
        self._slots = slots
        self._outlet = outlet
        self._unfit: dict[int, str] = {}
        self._replaced_at = float("-inf")
        self._no_slot = self._no_outlet = ""

    @property
    def broken(self) -> str:
        """Why nothing can be run here; empty: something can."""
        return self._no_slot or self._no_outlet

    def unfit(self, slot: int, cause: str) -> list[Log]:
        """No process can be started for this one; what changes by that."""
        is_first, was_broken = not self._unfit, bool(self._no_slot)
        self._unfit[slot] = cause
        if len(self._unfit) == self._slots:
            self._no_slot = cause
            return [] if was_broken else [Log("broken", {"reason": cause})]
        return [Log("slot_unfit", {"slot": slot, "reason": cause})] if is_first else []

    def replaced(self, slot: int, cause: str, now: float) -> list[Log]:
        """A job has used up the process of this one (empty: nobody's doing)."""
        if not cause or now < self._replaced_at + REPLACED_INTERVAL:
            return []
        self._replaced_at = now
        return [Log("slot_replaced", {"slot": slot, "reason": cause})]

    def ready(self, slot: int) -> list[Log]:
        """This one has a process."""
        self._unfit.pop(slot, None)
        if not self._no_slot:
            return []
        self._no_slot = ""
        return [Log("healed", {})]

    def delivers(self, *, can: bool) -> list[Log]:
        """Whether its outcomes reach the sink; what changes by that."""
        if can is not bool(self._no_outlet):
            return []
        if not can:
            self._no_outlet = f"its outcomes do not reach the sink at {self._outlet}: run `penstock doctor` there"
            return [Log("undelivered", {"to": self._outlet})]
        self._no_outlet = ""
        return [Log("delivered_again", {"to": self._outlet})]
