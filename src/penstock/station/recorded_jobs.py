"""What the sink has recorded of one batch: which jobs have ended, and the newest attempts of those that have not.

Promises:

1. The first final outcome of a job wins, whichever attempt it is of; of an earlier generation it comes too late once an
   attempt of a later one is recorded.
2. Of the attempts that are not final each stamp counts once per job, and only if it is newer than the last one.
3. An opening takes jobs back that ended in an older generation; said again, it takes back none.
4. What is kept grows with the number of gaps, never with the number of jobs.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from penstock.job.spans import Span, SpanSet
from penstock.job.spec import Stamp
from penstock.wire.records import Completion, OutcomeHead

Key = TypeVar("Key", Stamp, int)


class RecordedLine(msgspec.Struct, frozen=True):
    """A line of the log, as far as it matters for what is recorded."""

    start: int
    stop: int
    stamp: Stamp
    final: bool


class StoredRecord(msgspec.Struct, frozen=True):
    """What the results file has of a batch: its checkpoint - jobs with a final outcome, which of them are of a later
    generation than 0 (start, stop, generation), other attempts (start, stop, stamp) -, the lines after it in their
    order, and the number of the last one."""

    batch: bytes
    spans: tuple[tuple[int, int], ...]
    generations: tuple[tuple[int, int, int], ...]
    attempts: tuple[tuple[int, int, Stamp], ...]
    tail: tuple[RecordedLine, ...]
    last: int


Line = OutcomeHead | Completion | RecordedLine


class Recorded:
    """Of one batch. `last` is the number of its last line in the log."""

    __slots__ = ("attempts", "ended", "generations", "last", "unsaved")

    def __init__(self) -> None:
        self.ended: SpanSet = SpanSet()
        self.generations: dict[int, SpanSet] = {}
        """Jobs that have ended in a later generation than 0."""
        self.attempts: dict[Stamp, SpanSet] = {}
        """Jobs that have not ended, by the newest stamp recorded of them."""
        self.last: int = 0
        self.unsaved: int = 0
        """Lines since the last checkpoint."""

    @classmethod
    def restore(cls, stored: StoredRecord) -> Recorded:
        """As the results file has it."""
        record = cls()
        record.last = stored.last
        for start, stop, stamp in stored.attempts:
            record._begin_attempt(start, stop, stamp)
        for start, stop in stored.spans:
            record._end(start, stop, 0)
        for start, stop, generation in stored.generations:
            record._end(start, stop, generation)
        for line in stored.tail:
            record.take(line)
        record.unsaved = len(stored.tail)
        return record

    def claim(self, head: OutcomeHead) -> list[Span]:
        """Take in what of this outcome is new: these parts of it are to be recorded."""
        new = self._of_older_generation(head) if head.stamp.opens else self.ended.gaps(head.start, head.stop)
        for stamp, jobs in self.attempts.items():
            late = stamp.generation > head.stamp.generation if head.final else stamp >= head.stamp
            if late:
                new = _without(new, jobs)
        for start, stop in new:
            self._take(start, stop, head)
        return new

    def _of_older_generation(self, head: OutcomeHead) -> list[Span]:
        new = [(head.start, head.stop)]
        for generation, jobs in self.generations.items():
            if generation >= head.stamp.generation:
                new = _without(new, jobs)
        return new

    def take(self, line: Line) -> None:
        """A line of the log: all of it is new."""
        self._take(line.start, line.stop, line)

    def _take(self, start: int, stop: int, line: Line) -> None:
        if line.final:
            self._end(start, stop, line.stamp.generation)
        else:
            self._begin_attempt(start, stop, line.stamp)

    def attempt_spans(self) -> tuple[tuple[int, int, Stamp], ...]:
        """The attempts, as the results file keeps them."""
        return tuple((start, stop, stamp) for stamp, jobs in self.attempts.items() for start, stop in jobs)

    def generation_spans(self) -> tuple[tuple[int, int, int], ...]:
        """The generations of jobs that have ended, as the results file keeps them."""
        return tuple((start, stop, number) for number, jobs in self.generations.items() for start, stop in jobs)

    def checkpoint_is_due(self, lines: int) -> bool:
        """Whether enough came since the last one that writing it costs little beside."""
        kept = self.ended.span_count + sum(jobs.span_count for jobs in self.generations.values())
        return self.unsaved >= lines + kept

    def check(self) -> None:
        """The invariants; AssertionError if one does not hold."""
        seen = self.ended.copy()
        for stamp, jobs in self.attempts.items():
            assert jobs, f"no attempt is kept for nothing: {stamp}"
            for start, stop in jobs:
                assert not seen.overlap(start, stop), "a job has ended, or has one newest attempt"
                seen.add(start, stop)
        later = SpanSet()
        for jobs in self.generations.values():
            for start, stop in jobs:
                assert not self.ended.gaps(start, stop), "what has a generation has ended"
                assert not later.overlap(start, stop), "and in one generation"
                later.add(start, stop)

    def _end(self, start: int, stop: int, generation: int) -> None:
        self._drop(self.attempts, start, stop)
        self.ended.add(start, stop)
        if generation:
            self.generations.setdefault(generation, SpanSet()).add(start, stop)

    def _begin_attempt(self, start: int, stop: int, stamp: Stamp) -> None:
        self._drop(self.attempts, start, stop)
        if stamp.opens:
            self.ended.remove(start, stop)
            self._drop(self.generations, start, stop)
        self.attempts.setdefault(stamp, SpanSet()).add(start, stop)

    @staticmethod
    def _drop(kept: dict[Key, SpanSet], start: int, stop: int) -> None:
        for key in list(kept):
            kept[key].remove(start, stop)
            if not kept[key]:
                del kept[key]


def _without(spans: list[Span], jobs: SpanSet) -> list[Span]:
    return [gap for start, stop in spans for gap in jobs.gaps(start, stop)]
