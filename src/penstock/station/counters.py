"""What a station counts for the metrics of `penstock web`: plain numbers, a few additions for each record or turn.

A family's name is that of its metric without the prefix ``penstock_``. Labels are few and fixed: no batch, job or
client is in one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from penstock.wire.desk_messages import Sample, Spread

Labels = tuple[str, ...]

JOB_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Seconds: the upper ends of the ranges in which times of jobs are counted; longer ones are in one more."""
COMMIT_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0)
"""The same of commits."""


class Histogram:
    """How many values there were in each range, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds: tuple[float, ...] = tuple(bounds)
        self.counts: list[int] = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """So many times this value, which is in the first range whose end is not below it."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def spread(self, family: str, *labels: str) -> Spread:
        """As it is told."""
        return Spread(family, labels, self.bounds, tuple(self.counts), self.sum)


class Counters:
    """Numbers that only grow, by family and labels."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, Labels]] = Counter()

    def count(self, family: str, *labels: str, by: int = 1) -> None:
        """So many more."""
        self._counts[family, labels] += by

    def samples(self) -> tuple[Sample, ...]:
        """As they are told."""
        return tuple(Sample(family, labels, float(value)) for (family, labels), value in self._counts.items())
