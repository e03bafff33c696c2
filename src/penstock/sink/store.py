"""The sink's store: the log of outcomes with their values, until their batch is deleted.

Promises:

1. `save` is all or nothing, and giving the same saves again changes nothing: that is what to do after `reopen`.
2. No call reads more lines than it gives out; `recorded` reads a few rows per batch, however many outcomes it has.
3. Of an outcome that was superseded (its job was opened again) readers get the fact, not the value.
4. A row that changed on the disk is a DamagedRow, never an outcome: `contain` takes it out (store_damage.py).
5. Deleting a batch takes effect at once for those who read it; its lines leave the file a few at a time. The log then
   has a hole, and answers nobody who would need what was in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, assert_never

import apsw
import msgspec
from msgspec.structs import replace

from penstock.errors import StoreError
from penstock.job.spans import SpanSet
from penstock.job.spec import Stamp
from penstock.sink import store_statements as sql
from penstock.sink.contract import Known, SaveClaim, SaveKnown, SaveOutput, SaveRecorded, SaveRow, SaveTrimmed, SinkSave
from penstock.sink.group_store import GroupStore
from penstock.sink.hash_chain import completion
from penstock.sink.line_rows import ATTEMPT, FINAL, line_row, piece
from penstock.sink.output_store import DoomedOutputs, add_part, part_at
from penstock.sink.store_damage import Containment
from penstock.station.checked_rows import DamagedRow, fill, is_whole
from penstock.station.contract import Bytes, DeleteBatch
from penstock.station.recorded_jobs import RecordedLine, StoredRecord
from penstock.station.store_file import DAMAGED, DELETE_BYTES, DELETE_ROWS, StoreFile
from penstock.wire.frames import join
from penstock.wire.messages import ErrorGroup, GroupCursor, credit_cost
from penstock.wire.records import Completion, OutcomeHead

FETCH_BYTES = 8 << 20
"""What one `rows_in` gives out at most; who wants more goes on from there."""
FETCH_ROWS = 50_000
"""Lines in one answer at most: half of what a message may hold."""

_CHECKED = (sql.BATCH, sql.CLAIM, sql.DOOMED, sql.OUTPUT, sql.DOOMED_OUTPUT)
"""Tables whose rows are given their checksums by the third script, beside those to which it gives them itself."""
_first, _second, _third, _fourth = (
    Path(__file__).with_name(name).read_text(encoding="utf-8")
    for name in ("results.sql", "results_output.sql", "results_checksums.sql", "results_groups.sql")
)
SCRIPTS = (_first, _second, _third + fill(_CHECKED), _fourth)
KIND = ord("R")

Rows = tuple[tuple[OutcomeHead, ...], Bytes, tuple[int, int] | None]
RowsAfter = tuple[tuple[OutcomeHead, ...], Bytes, int, bool]

_encode = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(OutcomeHead).decode
_decode_spans = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...]).decode
_decode_generations = msgspec.msgpack.Decoder(tuple[tuple[int, int, int], ...]).decode
_decode_attempts = msgspec.msgpack.Decoder(tuple[tuple[int, int, Stamp], ...]).decode
_NOTHING = _encode(())


class ResultStore(StoreFile):
    """results.db in the data folder; see the module. Every method raises StoreError."""

    def __init__(self, folder: str | Path, durable: bool = True, *, scratch: bool = False) -> None:
        super().__init__(Path(folder), "results.db", KIND, SCRIPTS, durable, scratch, meta=sql.META)
        self._load()

    def reopen(self) -> None:
        super().reopen()
        self._load()

    def _load(self) -> None:
        """What is kept in memory of the file: a few numbers."""
        self._containment = Containment(self)
        if self.is_reindexed:
            self._containment.everything()
            self.is_reindexed = False
        self._load_meta()
        with self.guard():
            self._doomed = self.doomed()
            self._doomed_outputs = DoomedOutputs(self.db)

    def _load_meta(self) -> None:
        with self.guard():
            meta: Any = self.db.execute("SELECT seq, chain, hole, hole_chain, damaged FROM meta").fetchone()
            self._seq, self._chain, self._hole, self._hole_chain, damaged_to = meta
            self.damaged_to: int = damaged_to
            self._groups = GroupStore(self)

    @property
    def untidy(self) -> bool:
        return super().untidy or bool(self._doomed_outputs) or self._groups.incomplete

    # ------------------------------------------------------------------------------------------------ reading

    def head(self) -> tuple[int, bytes]:
        """The last line of the log and its chain; ``(0, b"")`` before the first."""
        return self._seq, self._chain

    def known(self, *, accepts_older: bool) -> Known:
        """What is known of the ventilator."""
        with self.guard():
            row: Any = self.db.execute("SELECT pipeline, life, accepted FROM meta").fetchone()
        return Known(row[0], row[1], row[2], accepts_older)

    def take_found(self) -> list[str]:
        """What was found damaged since the last call, and what became of it: for people."""
        return self._containment.take_found()

    def recorded(self) -> list[StoredRecord]:
        """What is recorded of every batch: its last checkpoint (SaveRecorded) and the few lines after it."""
        while True:
            try:
                return self._records(sql.ALL_RECORDED)
            except DamagedRow as damage:
                self.contain(damage)

    def records(self, batches: Iterable[bytes]) -> tuple[list[StoredRecord], list[SaveClaim]]:
        """What is recorded of these batches, as far as they are here, and their claims. A damaged line is a
        DamagedRow."""
        records: list[StoredRecord] = []
        claims: list[SaveClaim] = []
        for batch in batches:
            if found := self._records(sql.RECORDED_OF, batch):
                records += found
                claims += self._claims(batch)
        return records, claims

    def _records(self, query: str, *values: Any) -> list[StoredRecord]:
        return [self._record(row) for row in self._batches(query, values)]

    def _batches(self, query: str, values: tuple[Any, ...]) -> list[Any]:
        with self.guard():
            rows: list[Any] = self.db.execute(query, values).fetchall()
            if damaged := [row for row in rows if not row[0]]:
                self._containment.batches(damaged)
                rows = self.db.execute(query, values).fetchall()
        if not all(row[0] for row in rows):
            raise StoreError(f"{self.path}: {DAMAGED}")
        return rows

    def _record(self, row: Any) -> StoredRecord:
        _, number, batch, as_of, spans, generations, attempts, last = row
        with self.guard():
            return StoredRecord(
                batch,
                _decode_spans(spans),
                _decode_generations(generations),
                _decode_attempts(attempts),
                tuple(self._lines_since(number, as_of)),
                last or 0,
            )

    def mend_log(self) -> int:
        """Make anew what is recorded of all batches, from the lines that are here: so many."""
        self._containment.log()
        self._load_meta()
        with self.guard():
            return int(self.value("SELECT count(*) FROM line"))

    def contain(self, damage: DamagedRow) -> bool:
        """Take a damaged row out; whether it was a line, so that what is recorded may be less now. Raises
        StoreError."""
        match damage.key:
            case "line", seq:
                self._containment.line(seq)
                self._load_meta()
                return True
            case "group", _:
                self._containment.groups()
                self._load_meta()
                return False
            case "output", rowid:
                self._containment.output(rowid)
                return False
            case _:
                raise damage

    def _claims(self, batch: bytes) -> list[SaveClaim]:
        with self.guard():
            return [SaveClaim(*row) for row in self.db.execute(sql.CLAIMS_OF, (batch,))]

    def _lines_since(self, number: int, as_of: int) -> Iterator[RecordedLine]:
        rows: list[Any] = self.db.execute(sql.LINES_SINCE, (number, as_of)).fetchall()
        for is_sound, seq, blob in rows:
            if not is_sound:
                raise self._damaged_line(seq)
            head = _decode_head(blob)
            yield RecordedLine(head.start, head.stop, head.stamp, head.final)

    def rows_after(self, batch: bytes, after: int, limit_bytes: int) -> RowsAfter:
        """Final outcomes and openings recorded after the line `after`, in order: heads, values, the line to go on from,
        whether there are more. It stops when they cost `limit_bytes` of a follower's credit; the last line may exceed
        it."""
        heads: list[OutcomeHead] = []
        bodies: list[Bytes] = []
        position, cost = after, 0
        with self.guard():
            reopened = self.db.execute(sql.HAS_OPENINGS, (batch,)).fetchone() is not None
            rows: Any = self.db.execute(sql.ROWS_AFTER, (batch, after, FETCH_ROWS + 1))
            for is_sound, seq, kind, crc, blob, body in rows:
                if cost >= limit_bytes or len(heads) >= FETCH_ROWS:
                    return tuple(heads), join(bodies), position, True
                position = seq
                if is_sound and kind == ATTEMPT:
                    continue
                head = self._checked(is_sound, seq, crc, blob, body)
                pieces = self._pieces(seq, head) if reopened and kind == FINAL else [head]
                heads += pieces
                bodies += [body if piece.size else b"" for piece in pieces]
                cost += credit_cost(tuple(pieces), body)
        return tuple(heads), join(bodies), position, False

    def _pieces(self, seq: int, head: OutcomeHead) -> list[OutcomeHead]:
        """A final line in the order of its jobs, without the values of what was opened again after it."""
        gone = SpanSet()
        for start, stop in self.db.execute(sql.OPENINGS, (head.batch, head.start, head.stop, seq)):
            gone.add(max(start, head.start), min(stop, head.stop))
        whole = [(span, True) for span in gone.gaps(head.start, head.stop)] + [(span, False) for span in gone]
        return [piece(head, *span, whole=is_whole) for span, is_whole in sorted(whole)]

    def rows_in(self, batch: bytes, start: int, stop: int, cursor: tuple[int, int] = (0, 0)) -> Rows:
        """All that is recorded of the jobs [start, stop) behind `cursor`: superseded outcomes, attempts that were not
        final and openings too, in order of their first jobs; and the cursor to go on from, None: that is all."""
        heads: list[OutcomeHead] = []
        bodies: list[Bytes] = []
        size = 0
        with self.guard():
            rows: Any = self.db.execute(sql.ROWS_IN, (batch, start, stop, *cursor, FETCH_ROWS + 1))
            for is_sound, seq, crc, head, body in rows:
                size += len(head) + len(body)
                if heads and (size > FETCH_BYTES or len(heads) == FETCH_ROWS):
                    return tuple(heads), join(bodies), cursor
                heads.append(self._checked(is_sound, seq, crc, head, body))
                bodies.append(body)
                cursor = (heads[-1].start, seq)
        return tuple(heads), join(bodies), None

    def output_at(self, batch: bytes, index: int, stream: int, position: int) -> tuple[int, bytes]:
        """Some bytes of what a job wrote, and where they begin: see `part_at`."""
        with self.guard():
            return part_at(self, batch, index, stream, position)

    def failures(self, batch: bytes, after: GroupCursor) -> tuple[tuple[ErrorGroup, ...], GroupCursor | None, bool]:
        """Groups of failed jobs: see `GroupStore.groups`; and whether they are incomplete."""
        with self.guard():
            return *self._groups.groups(batch, after), self._groups.incomplete

    def log_after(self, seq: int, limit: int) -> tuple[bytes | None, tuple[Completion, ...], bool]:
        """The chain of line `seq`, up to `limit` lines after it, whether there are more.

        No chain (None): there is no such line, or lines after it are deleted.
        """
        with self.guard():
            chain = self._chain_at(seq)
            if chain is None:
                return None, (), False
            rows: list[Any] = self.db.execute(sql.LOG_AFTER, (seq, limit + 1)).fetchall()
        lines: list[Completion] = []
        previous = chain
        for is_sound, number, worker, stored, packed in rows[:limit]:
            if not is_sound:
                raise self._damaged_line(number)
            with self.guard():
                line = completion(number, _decode_head(packed), worker, previous)
            if line.chain != stored:
                raise self._damaged_line(number)
            lines.append(line)
            previous = stored
        return chain, tuple(lines), len(rows) > limit

    def lines_after(self, seq: int, limit: int) -> tuple[int, int, bytes, tuple[Completion, ...]]:
        """Up to `limit` lines after line `seq` that are not of deleted batches: the number of the last one, or of the
        log's end if there are no more, the end and its chain, and the lines."""
        with self.guard():
            rows: list[Any] = self.db.execute(sql.LINES_AFTER, (seq, limit)).fetchall()
        if damaged := [number for is_sound, number, *_ in rows if not is_sound]:
            raise self._damaged_line(damaged[0])
        with self.guard():
            lines = tuple(
                replace(completion(number, _decode_head(head), worker, b""), chain=chain)
                for _, number, worker, chain, head in rows
            )
        position = lines[-1].seq if len(lines) == limit else self._seq
        return position, self._seq, self._chain, lines

    def _chain_at(self, seq: int) -> bytes | None:
        if seq <= self._hole:
            return self._hole_chain if seq == self._hole else None
        row: Any = self.db.execute(sql.CHAIN_AT, (seq,)).fetchone()
        if row is not None and not row[0]:
            raise self._damaged_line(seq)
        return None if row is None else bytes(row[2])

    def _checked(self, is_sound: int, seq: int, crc: int, head: bytes, body: bytes) -> OutcomeHead:
        if not is_sound or not is_whole(crc, head, body):
            raise self._damaged_line(seq)
        return _decode_head(head)

    def _damaged_line(self, seq: int) -> DamagedRow:
        return self.damaged(f"line {seq}", ("line", seq))

    # ------------------------------------------------------------------------------------------------ writing

    def save(self, saves: Iterable[SinkSave]) -> None:
        """All that a turn decided, in one transaction, in the order given."""
        with self.transaction() as cursor:
            seq = self._seq
            rows: list[SaveRow] = []
            for save in saves:
                match save:
                    case SaveRow():
                        rows.append(save)
                    case SaveKnown(pipeline, life, accepted):
                        cursor.execute(
                            sql.META.change(pipeline="?1", life="?2", accepted="?3"), (pipeline, life, accepted)
                        )
                    case SaveRecorded():
                        self._save_rows(cursor, rows)
                        record = (_encode(save.spans), _encode(save.generations), _encode(save.attempts))
                        cursor.execute(sql.SET_RECORDED, (save.batch, self._seq, *record))
                    case SaveClaim():
                        self._save_rows(cursor, rows)
                        cursor.execute(sql.SET_CLAIM, (save.batch, save.reader, save.number, save.start, save.stop))
                    case SaveOutput():
                        add_part(cursor, save)
                    case SaveTrimmed(batch, bound):
                        self._doomed_outputs.doom(cursor, batch, max(1, bound))
                    case DeleteBatch(batch):
                        self._save_rows(cursor, rows)
                        self._delete_batch(cursor, batch)
                    case _:
                        assert_never(save)
            self._save_rows(cursor, rows)
            if self._seq != seq:
                cursor.execute(sql.META.change(seq="?1", chain="?2"), (self._seq, self._chain))
            self._groups.take_out_some(cursor)
            if self._doomed:
                self._delete_slice(cursor, self._doomed[0])
            elif self._doomed_outputs:
                self._doomed_outputs.delete_some(cursor)
            else:
                self._groups.count_some(cursor)

    def _save_rows(self, cursor: apsw.Cursor, rows: list[SaveRow]) -> None:
        """Insert what has piled up; leaves `rows` empty."""
        if not rows:
            return
        longest: dict[bytes, int] = {}
        for row in rows:
            longest[row.head.batch] = max(longest.get(row.head.batch, 0), row.head.stop - row.head.start)
        for batch, jobs in longest.items():
            cursor.execute(sql.ADD_BATCH, (batch, jobs, _NOTHING))
            if self.db.changes():
                cursor.execute(sql.SUM_BATCH, (batch,))
            else:
                cursor.execute(sql.SET_LONGEST, (batch, jobs))
        before = self.db.total_changes()
        cursor.executemany(sql.ADD_LINE, (line_row(row) for row in rows))
        self._groups.count(cursor, [row for row in rows if row.seq > self._seq])  # the others are here, and counted
        last = rows[-1]
        if self.db.total_changes() - before != len(rows) and self._chain_at(last.seq) != last.chain:
            raise StoreError(f"{self.path}: another line {last.seq} is here already; two sinks wrote this file")
        if last.seq > self._seq:
            self._seq, self._chain = last.seq, last.chain
        rows.clear()

    def _delete_batch(self, cursor: apsw.Cursor, batch: bytes) -> None:
        self._doomed_outputs.doom(cursor, batch)
        numbers: list[Any] = cursor.execute("DELETE FROM batch WHERE batch = ? RETURNING number", (batch,)).fetchall()
        for (number,) in numbers:
            cursor.execute("DELETE FROM claim WHERE batch = ?", (number,))
            self._groups.drop(cursor, number)
            cursor.execute(sql.ADD_DOOMED, (number,))
            self._doomed.append(number)
            last: Any = cursor.execute(sql.LAST_LINE, (number,)).fetchone()
            if last is not None and last[1] > self._hole:
                self._hole, self._hole_chain = last[1:] if last[0] else (self._seq, self._chain)
                cursor.execute(sql.META.change(hole="?1", hole_chain="?2"), (self._hole, self._hole_chain))

    def _delete_slice(self, cursor: apsw.Cursor, number: int) -> None:
        lines: list[Any] = cursor.execute(sql.DOOMED_LINES, (number, DELETE_ROWS)).fetchall()
        deleted_bytes = 0
        for seq, size in lines:
            cursor.execute("DELETE FROM line WHERE seq = ?", (seq,))
            deleted_bytes += size
            if deleted_bytes >= DELETE_BYTES:
                return
        if len(lines) < DELETE_ROWS:
            cursor.execute("DELETE FROM doomed WHERE number = ?", (number,))
            self._doomed.remove(number)
