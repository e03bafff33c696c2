"""Leases that came to a worker, to be reported together a little later."""

from __future__ import annotations

TOOK_DELAY = 0.002
"""Seconds: what has run by then is not reported as taken; its outcome says as much."""


class Receipts:
    """The numbers of those that were not reported yet."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self.due_at: float | None = None
        """When they are to be reported."""

    def add(self, number: int) -> None:
        """Note one lease more that has arrived."""
        self._numbers.append(number)

    def due(self, now: float) -> list[int] | None:
        """Those to be reported now; None: it is not time. The delay begins with the turn that the first one came in."""
        if self._numbers and self.due_at is None:
            self.due_at = now + TOOK_DELAY
        if self.due_at is None or now < self.due_at:
            return None
        numbers, self._numbers, self.due_at = self._numbers, [], None
        return numbers
