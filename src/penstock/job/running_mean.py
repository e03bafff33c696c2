"""A running mean: what is expected of the next, when the newest say more than the oldest."""

from __future__ import annotations


def running_mean(known: float | None, newest: float, weight: float) -> float:
    """The mean with one more value in it; `weight`: the share that this one has, from 0 to 1. None: nothing is
    known."""
    return newest if known is None else known + weight * (newest - known)
