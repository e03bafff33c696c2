"""The count of scripts/chaos, made from three sources that know nothing of each other.

They are what a reader saw, what the files say, and what the jobs themselves wrote when they started.
"""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from chaos_load import KINDS

SAFE_MARGIN = 1.0
"""Seconds that word of a recorded outcome may take to reach a worker that holds another copy of the job."""

Job = tuple[str, int]
"""Batch and index."""


@dataclass
class Fault:
    """What was done to whom; `end` is when it was put right."""

    what: str
    target: str
    begin: float
    names: frozenset[str]
    end: float = field(default=float("inf"))


class Counted(NamedTuple):
    """What the two files say of all jobs that were ever accepted."""

    lost: list[str]
    twice: list[str]
    disagreements: list[str]


class Seen:
    """The outcomes that a reader saw, each with its time."""

    def __init__(self) -> None:
        self.states: dict[Job, str] = {}
        self.times: dict[Job, float] = {}
        self.twice: list[str] = []
        self.wrong: list[str] = []
        self.starts = 0
        """Of the jobs that were accepted."""

    def add(self, job: Job, state: str, problem: str) -> None:
        """One more; `problem` says what is wrong with it."""
        if job in self.states:
            self.twice.append(f"{job[0]}:{job[1]} {self.states[job]}, then {state}")
        self.states[job] = state
        self.times[job] = time.time()
        if problem:
            self.wrong.append(problem)


def count_outcomes(expected: dict[Job, str], seen: Seen) -> list[str]:
    """Outcomes that are not what the job must come to, and those that no reader ever saw."""
    unseen = [f"{kind} {batch}:{index} was never seen" for (batch, index), kind in expected.items()
              if (batch, index) not in seen.states]  # fmt: skip
    return seen.wrong + unseen


# ------------------------------------------------------------------------------------------------ the files


def count_files(data: Path, acknowledged: set[str]) -> Counted:
    """Compare what the ventilator accepted with what the sink recorded."""
    accepted = _rows(data / "queue.db", "SELECT batch, accepted, counts FROM batch")
    lines = _rows(data / "results.db", "SELECT b.batch, start, stop FROM line JOIN batch b ON line.batch = number "
                  "WHERE kind = 1 ORDER BY b.batch, start")  # fmt: skip
    recorded: dict[str, list[int]] = defaultdict(list)
    for batch, start, stop in lines:
        recorded[batch.hex()] += range(start, stop)
    counted = Counted([], [], [])
    known: set[str] = set()
    for batch, count, states in accepted:
        name = batch.hex()
        found = set(recorded[name])
        known |= {f"{name}:{index}" for index in range(count)}
        counted.lost.extend(f"{name}:{index} has no outcome" for index in range(count) if index not in found)
        if sum(msgspec.msgpack.decode(states).values()) != len(found):
            counted.disagreements.append(f"{name}: {msgspec.msgpack.decode(states)} against {len(found)} recorded")
        counted.disagreements.extend(f"{name}:{index} was never accepted" for index in found if index >= count)
    counted.lost.extend(f"{job} is not in queue.db" for job in acknowledged - known)
    for name, indexes in recorded.items():
        counted.twice.extend(f"{name}:{index}" for index, after in pairwise(sorted(indexes)) if index == after)
    return counted


def _rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


# ------------------------------------------------------------------------------------------------ the starts


class Start(NamedTuple):
    """A line that a job wrote."""

    at: float
    attempt: int
    worker: str


class Starts(NamedTuple):
    """What is wrong with them."""

    after_safe: list[str]
    unexplained: list[str]
    forbidden: list[str]
    total: int


def count_starts(path: Path, kinds: dict[Job, str], seen: Seen, faults: list[Fault]) -> Starts:
    """Every start must have a reason: the first one, the job's own attempts, or a fault that took an earlier one."""
    starts: dict[Job, list[Start]] = defaultdict(list)
    for line in path.read_text().splitlines() if path.exists() else []:
        name, attempt, _, worker, at = line.split()
        batch, index = name.split(":")
        starts[batch, int(index)].append(Start(float(at), int(attempt), worker))
    found = Starts([], [], [], sum(len(lines) for job, lines in starts.items() if job in kinds))
    for job, all_of_it in starts.items():
        kind = kinds.get(job)
        if kind is None:
            continue  # of a submit that was never acknowledged
        all_of_it.sort()
        name = f"{kind} {job[0]}:{job[1]}"
        safe_at = seen.times.get(job, float("inf")) + SAFE_MARGIN
        found.after_safe.extend(
            f"{name} started {start.at - safe_at + SAFE_MARGIN:.1f} s after it"
            for start in all_of_it
            if start.at > safe_at
        )
        if kind == "once" and len(all_of_it) > 1:
            found.forbidden.append(f"{name} {all_of_it}")
        if not KINDS[kind].has_own_attempts:
            found.unexplained.extend(
                f"{name} {first} and {again}"
                for first, again in pairwise(all_of_it)
                if not _explained(first, again, faults)
            )
    return found


def _explained(first: Start, again: Start, faults: list[Fault]) -> bool:
    """Whether a fault of the first one's worker, or of something in it, lies between the two."""
    return any(
        (first.worker in fault.names or (first.worker == "-" and any("worker" in name for name in fault.names)))
        and "SIGTERM" not in fault.what
        and fault.begin <= again.at
        and first.at <= fault.end
        for fault in faults
    )
