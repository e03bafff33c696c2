"""What the sink has recorded of one batch: which jobs have ended, and the newest attempts of those that have not.

Promises:

1. The first final outcome of a job wins, whichever attempt it is of; of an earlier generation it comes too late once an
   attempt of a later one is recorded.
2. Of the attempts that are not final each stamp counts once per job, and only if it is newer than the last one.
3. What is kept grows with the number of gaps, never with the number of jobs.
"""

from __future__ import annotations

from penstock.core.inputs import StoredRecord
from penstock.core.spans import Span, SpanSet
from penstock.job import Stamp
from penstock.messages import OutcomeHead


class Recorded:
    """Of one batch. `last` is the number of its last line in the log."""

    __slots__ = ("attempts", "ended", "last", "unsaved")

    def __init__(self) -> None:
        self.ended = SpanSet()
        self.attempts: dict[Stamp, SpanSet] = {}
        """Jobs that have not ended, by the newest stamp recorded of them."""
        self.last = 0
        self.unsaved = 0
        """Lines since the last checkpoint."""

    @classmethod
    def restore(cls, stored: StoredRecord) -> Recorded:
        """As the results file has it."""
        record = cls()
        record.last = stored.last
        for start, stop, stamp in stored.attempts:
            record._begin_attempt(start, stop, stamp)
        for start, stop in stored.spans:
            record._end(start, stop)
        return record

    def claim(self, head: OutcomeHead) -> list[Span]:
        """Take in what of this outcome is new: these parts of it are to be recorded."""
        new = self.ended.gaps(head.start, head.stop)
        for stamp, jobs in self.attempts.items():
            late = stamp.generation > head.stamp.generation if head.final else stamp >= head.stamp
            if late:
                new = [gap for start, stop in new for gap in jobs.gaps(start, stop)]
        for start, stop in new:
            if head.final:
                self._end(start, stop)
            else:
                self._begin_attempt(start, stop, head.stamp)
        return new

    def attempt_spans(self) -> tuple[tuple[int, int, Stamp], ...]:
        """The attempts, as the results file keeps them."""
        return tuple((start, stop, stamp) for stamp, jobs in self.attempts.items() for start, stop in jobs)

    def checkpoint_is_due(self, lines: int) -> bool:
        """Whether enough came since the last one that writing it costs little beside."""
        return self.unsaved >= lines + self.ended.span_count

    def check(self) -> None:
        """The invariants; AssertionError if one does not hold."""
        seen = self.ended.copy()
        for stamp, jobs in self.attempts.items():
            assert jobs, f"no attempt is kept for nothing: {stamp}"
            for start, stop in jobs:
                assert not seen.overlap(start, stop), "a job has ended, or has one newest attempt"
                seen.add(start, stop)

    def _end(self, start: int, stop: int) -> None:
        self._drop_attempts(start, stop)
        self.ended.add(start, stop)

    def _begin_attempt(self, start: int, stop: int, stamp: Stamp) -> None:
        self._drop_attempts(start, stop)
        self.attempts.setdefault(stamp, SpanSet()).add(start, stop)

    def _drop_attempts(self, start: int, stop: int) -> None:
        for stamp in list(self.attempts):
            self.attempts[stamp].remove(start, stop)
            if not self.attempts[stamp]:
                del self.attempts[stamp]
