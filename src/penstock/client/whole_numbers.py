"""Options that are whole numbers, and how they are checked."""

from __future__ import annotations

from collections.abc import Callable

from penstock.job.spec import WHOLE_END


def whole(lowest: int) -> Callable[[object, str], int]:
    """What checks an option of that name, which is a whole number from `lowest` on. Raises ValueError, TypeError."""

    def parse(value: object, name: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be a whole number, not {type(value).__name__}")
        if not lowest <= value < WHOLE_END:
            raise ValueError(f"{name} must be from {lowest} to {WHOLE_END - 1}, not {value}")
        return value

    return parse


priority: Callable[[object, str], int] = whole(-WHOLE_END)
"""Checks the priority of a batch."""


def limit(value: object, name: str) -> int | None:
    """Checks how many jobs of a batch may run at once; None: as many as there are. Raises ValueError, TypeError."""
    return None if value is None else whole(1)(value, name)
