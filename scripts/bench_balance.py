"""Jobs of very different lengths: how much later the last one ends than it had to."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable
from typing import NamedTuple

from bench_parts import NewRow, durable, nap

PARETO_SETS = 5
"""The order of a few long jobs decides by some per cent either way: one set alone is a matter of luck."""


class Load(NamedTuple):
    """Sleeps, in seconds, and what runs them."""

    sleeps: list[float]
    workers: int
    slots: int
    """Of each worker."""
    cost: bool = False
    """Whether the pipeline is told how long each will take."""

    @property
    def all_slots(self) -> int:
        """Of all workers together."""
        return self.workers * self.slots


Bound = Callable[[list[float], int], float]


def list_schedule(lengths: list[float], slots: int) -> float:
    """The makespan when each job in order goes to the slot that is free first (Graham 1966)."""
    free = [0.0] * slots
    for length in lengths:
        heapq.heapreplace(free, free[0] + length)
    return max(free)


def lower_bound(lengths: list[float], slots: int) -> float:
    """What no schedule can beat: the longest job, and the mean load."""
    return max(*lengths, sum(lengths) / slots)


class Balance:
    """The measurements; `short` takes smaller ones. A job's length is what its sleep really took."""

    def __init__(self, row: NewRow, *, short: bool) -> None:
        self._row = row
        self._short = short

    def skew(self) -> None:
        """Three long jobs among short ones, two hosts."""
        long = 0.5 if self._short else 2.0
        load = Load([long if number in (0, 100, 200) else 0.02 for number in range(203)], 2, 2)
        name = f"203 sleeps, {long:g} s at 0, 100, 200, others 20 ms, 4 slots on 2 workers / list scheduling"
        self._measure(name, [load], list_schedule, 1.02)

    def pareto(self) -> None:
        """A heavy tail, four hosts; in the order of submission."""
        name = "{} x 200 Pareto sleeps, 4 slots on 4 workers / list scheduling"
        self._measure(name, self._pareto(cost=False), list_schedule, 1.02)

    def cost(self) -> None:
        """The same with the costs told."""
        name = "{} x 200 Pareto sleeps with cost=, 4 slots on 4 workers / lower bound"
        self._measure(name, self._pareto(cost=True), lower_bound, 1.03)

    def middle(self) -> None:
        """One long job in the middle of many tiny ones, one host."""
        jobs, long = (2_000, 0.5) if self._short else (10_000, 2.0)
        load = Load([long if number == jobs // 2 else 0.001 for number in range(jobs)], 1, 2)
        self._measure(f"{jobs:,} x 1 ms, one of {long:g} s in the middle / lower bound", [load], lower_bound, 1.05)

    def _pareto(self, *, cost: bool) -> list[Load]:
        loads = []
        for seed in range(7, 8 if self._short else 7 + PARETO_SETS):
            chance = random.Random(seed)
            loads.append(Load([min(1.5, 0.01 * chance.paretovariate(1.3)) for _ in range(200)], 4, 1, cost))
        return loads

    def _measure(self, name: str, loads: list[Load], bound: Bound, reach: float) -> None:
        row = self._row(name.format(len(loads)), "s", "less", reach)
        with durable(loads[0].workers, loads[0].slots) as pipeline:
            list(pipeline.map(nap, [0.0] * 16))
            for _ in range(1 if self._short else 3):
                ours = theirs = 0.0
                for load in loads:
                    costs = load.sleeps if load.cost else None
                    begun = time.perf_counter()
                    lengths = list(pipeline.map(nap, load.sleeps, cost=costs))
                    ours += time.perf_counter() - begun
                    assert all(took >= asked for took, asked in zip(lengths, load.sleeps, strict=True))
                    theirs += bound(lengths, load.all_slots)
                row.ours.append(ours)
                row.theirs.append(theirs)
