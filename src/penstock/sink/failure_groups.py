"""Failed jobs of a batch, grouped by their error.

Promises:

1. A job counts in the group of its newest outcome, if that is a failure; since it was opened again, in none.
2. What a group is grows neither with the number of its jobs nor with that of the workers: counts, and a few names.
3. A batch has at most MOST groups; what fails of more errors counts in one group, OTHERS.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from penstock.job.error_pattern import key_of
from penstock.job.spans import SpanSet
from penstock.wire.records import OutcomeHead

MOST = 1_000
"""Groups of a batch: what one has beyond that nobody reads, and it must not fill the disk."""
WORKERS = 20
EXAMPLES = 5
"""More than one, as a retry takes them back."""
OTHERS = "other errors"
OTHERS_KEY = key_of(OTHERS)


class Group(msgspec.Struct):
    """What failed alike. Times are wall clock, by the workers', 0: not known; of jobs that were opened again times and
    workers stay."""

    key: bytes
    pattern: str
    jobs: int = 0
    first_time: float = 0.0
    last_time: float = 0.0
    workers: tuple[str, ...] = ()
    examples: tuple[int, ...] = ()

    def add(self, head: OutcomeHead, start: int, stop: int) -> None:
        """The jobs [start, stop) of this outcome failed of it."""
        self.jobs += stop - start
        ended_time = head.started_time + head.elapsed if head.started_time else 0.0
        self.first_time = min(self.first_time or ended_time, ended_time or self.first_time)
        self.last_time = max(self.last_time, ended_time)
        if head.worker and head.worker not in self.workers and len(self.workers) < WORKERS:
            self.workers = (*self.workers, head.worker)
        self.examples += tuple(range(start, min(stop, start + EXAMPLES - len(self.examples))))

    def take_out(self, jobs: SpanSet) -> None:
        """These were opened again."""
        self.jobs -= jobs.count
        self.examples = tuple(index for index in self.examples if index not in jobs)


def taken_back(lines: Iterable[OutcomeHead], start: int, stop: int) -> dict[str, SpanSet]:
    """Which of the jobs [start, stop) count as failed after these lines, in their order, by their patterns."""
    failed: dict[str, SpanSet] = {}
    for head in lines:
        first, last = max(head.start, start), min(head.stop, stop)
        if head.is_failure:
            failed.setdefault(head.pattern, SpanSet()).add(first, last)
        elif head.stamp.opens:
            for jobs in failed.values():
                jobs.remove(first, last)
    return failed
