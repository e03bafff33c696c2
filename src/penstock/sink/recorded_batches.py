"""What is recorded of each batch: in memory for those that were spoken of last, of all others in the results file.

Promises:

1. There are at most so many, and those that this turn was about.
2. What leaves was saved in an earlier turn: so what is not here is in the file as it was, or nothing is recorded of it.
3. What an input is about is here when it is handled: the process has read it before (`absent`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from penstock.job.spans import Span
from penstock.sink.contract import SaveRecorded
from penstock.station.contract import Actions
from penstock.station.recorded_jobs import Recorded, StoredRecord
from penstock.wire.records import OutcomeHead

CHECKPOINT_LINES = 16
"""Lines of a batch between checkpoints, beside one for each gap: what has to be read again when it comes back."""
IN_MEMORY = 10_000
"""Batches: 8 MB, and more than are under way in most pipelines."""


class RecordedBatches:
    """`most`: how many are in memory."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._records: OrderedDict[bytes, Recorded] = OrderedDict()
        """The one that was spoken of longest ago first."""
        self._used: set[bytes] = set()
        """In this turn."""

    @property
    def here(self) -> frozenset[bytes]:
        """The batches that are in memory."""
        return frozenset(self._records)

    def absent(self, batches: Iterable[bytes]) -> set[bytes]:
        """Those of these that are not."""
        return {batch for batch in batches if batch not in self._records}

    def take_in(self, stored: StoredRecord) -> None:
        """It was read, for what comes next."""
        if stored.batch not in self._records:
            self._records[stored.batch] = Recorded.restore(stored)
            self._used.add(stored.batch)

    def replace(self, records: Iterable[StoredRecord]) -> None:
        """Lines were lost: this is recorded now of all that are here."""
        self._records = OrderedDict((stored.batch, Recorded.restore(stored)) for stored in records)

    def claim(self, head: OutcomeHead) -> list[Span]:
        """Take in what of this outcome is new: these parts of it are to be recorded."""
        record = self._use(head.batch)
        if record is None:
            record = self._records[head.batch] = Recorded()
        return record.claim(head)

    def add_line(self, batch: bytes, seq: int) -> int:
        """A line of a batch, behind the one whose number is returned."""
        record = self._records[batch]
        before, record.last = record.last, seq
        record.unsaved += 1
        return before

    def last(self, batch: bytes) -> int:
        """The number of the last line of a batch; 0: nothing is recorded of it."""
        record = self._use(batch)
        return 0 if record is None else record.last

    def ended(self, batch: bytes, start: int, stop: int) -> list[Span]:
        """Those of the jobs [start, stop) of a batch that have ended."""
        record = self._use(batch)
        return [] if record is None else record.ended.overlap(start, stop)

    def checkpoint(self, batch: bytes) -> Actions:
        """What is recorded of it, if enough lines have come since that was saved."""
        record = self._records[batch]
        if not record.checkpoint_is_due(CHECKPOINT_LINES):
            return []
        record.unsaved = 0
        return [SaveRecorded(batch, tuple(record.ended), record.generation_spans(), record.attempt_spans())]

    def drop(self, batch: bytes) -> None:
        """It is forgotten."""
        self._records.pop(batch, None)

    def close_turn(self) -> list[bytes]:
        """Those that leave the memory."""
        used, self._used = self._used, set()
        left: list[bytes] = []
        while len(self._records) > self._most and (oldest := next(iter(self._records))) not in used:
            del self._records[oldest]
            left.append(oldest)
        return left

    def check(self, seq: int) -> None:
        """The invariants, in a log of so many lines; AssertionError if one does not hold."""
        for record in self._records.values():
            record.check()
            assert 0 < record.last <= seq, "a batch is known by its lines in the log"

    def _use(self, batch: bytes) -> Recorded | None:
        self._used.add(batch)
        record = self._records.get(batch)
        if record is not None:
            self._records.move_to_end(batch)
        return record
