"""The sink's store: counts of failed jobs by their error, in the transaction of their outcomes.

Promises:

1. Counting costs a row for each error in a transaction, not for each job; jobs that succeed cost nothing.
2. What an opening takes back, however many jobs, is taken out a few jobs at a time, the first of them at once.
3. Lines that are not counted, of an earlier release or because something was found damaged, are counted a few at a
   time, from the end of the log down: until then the groups are `incomplete`, and say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from penstock.job.error_pattern import key_of
from penstock.job.spans import SpanSet
from penstock.sink import store_statements as sql
from penstock.sink.contract import SaveRow
from penstock.sink.failure_groups import MOST, OTHERS, OTHERS_KEY, Group, taken_back
from penstock.station.store_file import DELETE_BYTES, StoreFile
from penstock.wire.messages import ErrorGroup, GroupCursor
from penstock.wire.records import OutcomeHead

JOBS_AT_ONCE = 256
"""That were opened again, in a transaction."""
LINES_AT_ONCE = 1024
"""That are counted later, in a transaction: about 5 ms."""
GROUPS_AT_ONCE = 200
"""In an answer: 500 kB if all are as large as can be."""

_encode = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(OutcomeHead).decode
_decode_workers = msgspec.msgpack.Decoder(tuple[str, ...]).decode
_decode_examples = msgspec.msgpack.Decoder(tuple[int, ...]).decode


class BatchGroups:
    """Groups of one batch that a transaction is about: read when they are asked for, written at its end."""

    def __init__(self, store: StoreFile, cursor: apsw.Cursor, number: int) -> None:
        self._store, self._cursor, self._number = store, cursor, number
        self._groups: dict[bytes, Group] = {}
        self._count: int | None = None
        """How many there are in all, once one is made."""

    def group(self, pattern: str) -> Group:
        """Where a job with this pattern counts. While there are others a group that is not there is not made: some of
        its jobs may count among these."""
        key = key_of(pattern)
        return self._known(key) or self._known(OTHERS_KEY) or self._made(key, pattern)

    def _known(self, key: bytes) -> Group | None:
        if (group := self._groups.get(key)) is not None:
            return group
        row: Any = self._cursor.execute(sql.GROUP_AT, (self._number, key)).fetchone()
        if row is None:
            return None
        is_sound, pattern, jobs, first_time, last_time, workers, examples = row
        if not is_sound:
            raise self._store.damaged("a group of failed jobs")
        names = _decode_workers(workers), _decode_examples(examples)
        self._groups[key] = group = Group(key, pattern, jobs, first_time, last_time, *names)
        return group

    def _made(self, key: bytes, pattern: str) -> Group:
        if self._count is None:
            row: Any = self._cursor.execute(sql.COUNT_GROUPS, (self._number,)).fetchone()
            self._count = row[0]
        self._count += 1
        group = Group(key, pattern) if self._count < MOST else Group(OTHERS_KEY, OTHERS)
        self._groups[group.key] = group
        return group

    def write(self) -> None:
        """Into the file."""
        for group in self._groups.values():
            if group.jobs > 0:
                times = (group.jobs, group.first_time, group.last_time)
                names = (_encode(group.workers), _encode(group.examples))
                self._cursor.execute(sql.SET_GROUP, (self._number, group.key, group.pattern, *times, *names))
            else:
                self._cursor.execute(sql.DELETE_GROUP, (self._number, group.key))


class GroupStore:
    """In the file of `store`."""

    def __init__(self, store: StoreFile) -> None:
        self._store = store
        first: Any = store.db.execute(sql.FIRST_UNCOUNTED).fetchone()
        self._are_openings_left = first is not None
        self._uncounted: int = store.value("SELECT uncounted FROM meta")

    @property
    def incomplete(self) -> bool:
        """Whether something is still to be counted, or to be taken out."""
        return self._are_openings_left or self._uncounted > 0

    def count(self, cursor: apsw.Cursor, rows: Sequence[SaveRow]) -> None:
        """Take in new lines of the log, which are in the file: failures, and openings."""
        of_batch: dict[bytes, list[SaveRow]] = {}
        for row in rows:
            if row.head.is_failure or row.head.stamp.opens:
                of_batch.setdefault(row.head.batch, []).append(row)
        for batch, some in of_batch.items():
            found: Any = cursor.execute("SELECT number FROM batch WHERE batch = ?", (batch,)).fetchone()
            number = found[0]
            groups = self._groups(cursor, number)
            for row in some:
                head = row.head
                if head.stamp.opens:
                    cursor.execute(sql.ADD_UNCOUNTED, (row.seq, number, head.start, head.stop))
                    self._are_openings_left = True
                else:
                    groups.group(head.pattern).add(head, head.start, head.stop)
            groups.write()

    def drop(self, cursor: apsw.Cursor, number: int) -> None:
        """The batch is deleted."""
        cursor.execute("DELETE FROM failure_group WHERE batch = ?", (number,))
        cursor.execute("DELETE FROM uncounted_opening WHERE batch = ?", (number,))

    def take_out_some(self, cursor: apsw.Cursor) -> None:
        """Take some of the jobs out that were opened again."""
        left = JOBS_AT_ONCE
        while self._are_openings_left and left > 0:
            opening: Any = cursor.execute(sql.FIRST_UNCOUNTED).fetchone()
            if opening is None:
                self._are_openings_left = False
                return
            seq, number, start, stop = opening
            end = min(stop, start + left)
            self._take_out(cursor, seq, number, start, end)
            if end == stop:
                cursor.execute("DELETE FROM uncounted_opening WHERE seq = ?", (seq,))
            else:
                cursor.execute(f"{sql.UNCOUNTED.change(start='?2')} WHERE seq = ?1", (seq, end))
            left -= end - start

    def _take_out(self, cursor: apsw.Cursor, seq: int, number: int, start: int, stop: int) -> None:
        rows: list[Any] = cursor.execute(sql.ENDS_BEFORE, (number, start, stop, self._uncounted, seq)).fetchall()
        groups = self._groups(cursor, number)
        for pattern, jobs in taken_back((_decode_head(head) for (head,) in rows), start, stop).items():
            groups.group(pattern).take_out(jobs)
        groups.write()

    def count_some(self, cursor: apsw.Cursor) -> None:
        """Count some of the lines that are not: what was opened again after them is left out. Only when no openings are
        left, which know nothing of these lines."""
        if self._are_openings_left or not self._uncounted:
            return
        last = self._uncounted
        position, size = max(0, last - LINES_AT_ONCE), 0
        changed: dict[int, BatchGroups] = {}
        rows = self._store.db.execute(sql.FINALS_DOWN, (last, LINES_AT_ONCE))
        found: Any
        for found in rows:
            seq, number, packed = found
            head = _decode_head(packed)
            if head.is_failure:
                self._count_late(cursor, seq, head, changed.setdefault(number, self._groups(cursor, number)))
            size += len(packed)
            if size >= DELETE_BYTES:
                position = seq - 1
                rows.close()
                break
        for groups in changed.values():
            groups.write()
        cursor.execute(sql.META.change(uncounted="?1"), (position,))
        self._uncounted = position

    @staticmethod
    def _count_late(cursor: apsw.Cursor, seq: int, head: OutcomeHead, groups: BatchGroups) -> None:
        opened = SpanSet()
        for start, stop in cursor.execute(sql.OPENINGS, (head.batch, head.start, head.stop, seq)):
            opened.add(max(start, head.start), min(stop, head.stop))
        if left := opened.gaps(head.start, head.stop):
            group = groups.group(head.pattern)
            for start, stop in left:
                group.add(head, start, stop)

    def _groups(self, cursor: apsw.Cursor, number: int) -> BatchGroups:
        return BatchGroups(self._store, cursor, number)

    def groups(self, batch: bytes, after: GroupCursor) -> tuple[tuple[ErrorGroup, ...], GroupCursor | None]:
        """Groups of a batch, or of all (empty), behind `after`, and where to go on, None: that is all. One that is
        damaged is a DamagedRow."""
        query, values = (sql.GROUPS_OF, (batch,)) if batch else (sql.GROUPS_OF_ALL, ())
        rows: list[Any] = self._store.db.execute(query, (*after, GROUPS_AT_ONCE, *values)).fetchall()
        if not all(row[0] for row in rows):
            raise self._store.damaged("a group of failed jobs", ("group", 0))
        groups = tuple(_group_of(row[2:]) for row in rows)
        return groups, (rows[-1][1], rows[-1][3]) if len(rows) == GROUPS_AT_ONCE else None


def _group_of(row: Sequence[Any]) -> ErrorGroup:
    batch, key, pattern, jobs, first_time, last_time, workers, examples = row
    names = _decode_workers(workers), _decode_examples(examples)
    return ErrorGroup(batch, key, pattern, jobs, first_time, last_time, *names)
