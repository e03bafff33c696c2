"""The sink's store: the log of outcomes with their values, until their batch is deleted.

Promises:

1. `save` is all or nothing, and giving the same saves again changes nothing: that is what to do after `reopen`.
2. No call reads more lines than it gives out; `recorded` reads a few rows per batch, however many outcomes it has.
3. Of an outcome that was superseded (its job was opened again) readers get the fact, not the value.
4. A value or a line that changed on the disk is a StoreError, never an outcome.
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
from penstock.sink.contract import SaveClaim, SaveOutput, SaveRecorded, SaveRow, SaveTrimmed, SinkSave
from penstock.sink.hash_chain import completion
from penstock.sink.output_store import DoomedOutputs, add_part, part_at
from penstock.station.contract import Bytes, DeleteBatch
from penstock.station.recorded_jobs import RecordedLine, StoredRecord
from penstock.station.store_file import DELETE_BYTES, DELETE_ROWS, StoreFile, checksum
from penstock.wire.frames import join
from penstock.wire.messages import Completion, OutcomeHead, credit_cost

FETCH_BYTES = 8 << 20
"""What one `rows_in` gives out at most; who wants more goes on from there."""
FETCH_ROWS = 50_000
"""Lines in one answer at most: half of what a message may hold."""

SCRIPTS = tuple(
    Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("results.sql", "results_output.sql")
)
KIND = ord("R")

ATTEMPT, FINAL, OPENING = range(3)
"""Kinds of lines."""

Rows = tuple[tuple[OutcomeHead, ...], Bytes, tuple[int, int] | None]
RowsAfter = tuple[tuple[OutcomeHead, ...], Bytes, int, bool]

_encode = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(OutcomeHead).decode
_decode_spans = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...]).decode
_decode_generations = msgspec.msgpack.Decoder(tuple[tuple[int, int, int], ...]).decode
_decode_attempts = msgspec.msgpack.Decoder(tuple[tuple[int, int, Stamp], ...]).decode
_NOTHING = _encode(())

ADD_BATCH = """
    INSERT INTO batch (batch, longest, as_of, spans, generations, attempts) VALUES (?1, ?2, 0, ?3, ?3, ?3)
    ON CONFLICT (batch) DO UPDATE SET longest = max(longest, excluded.longest)"""
ADD_LINE = """
    INSERT INTO line (seq, batch, start, stop, kind, worker, chain, crc, head, body)
    VALUES (?, (SELECT number FROM batch WHERE batch = ?), ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (seq) DO NOTHING"""
SET_RECORDED = "UPDATE batch SET as_of = ?, spans = ?, generations = ?, attempts = ? WHERE batch = ?"
RECORDED = """
    SELECT number, batch, as_of, spans, generations, attempts,
        (SELECT seq FROM line INDEXED BY line_position WHERE line.batch = number ORDER BY seq DESC LIMIT 1)
    FROM batch ORDER BY number"""
CLAIMS = "SELECT batch.batch, reader, claim.number, start, stop FROM claim JOIN batch ON claim.batch = batch.number"
SET_CLAIM = "INSERT OR REPLACE INTO claim SELECT number, ?2, ?3, ?4, ?5 FROM batch WHERE batch = ?1"
LINES_SINCE = "SELECT head FROM line INDEXED BY line_position WHERE batch = ? AND seq > ? ORDER BY seq"
ROWS_AFTER = """
    SELECT seq, kind, crc, head, body FROM line INDEXED BY line_position
    WHERE batch = (SELECT number FROM batch WHERE batch = ?) AND seq > ? ORDER BY seq LIMIT ?"""
ROWS_IN = """
    SELECT seq, crc, head, body FROM line INDEXED BY line_start
    WHERE batch = (SELECT number FROM batch WHERE batch = ?1) AND start < ?3 AND stop > ?2
        AND start > ?2 - (SELECT longest FROM batch WHERE batch = ?1) AND start >= ?4 AND (start, seq) > (?4, ?5)
    ORDER BY start, seq LIMIT ?6"""
HAS_OPENINGS = """
    SELECT 1 FROM line INDEXED BY line_opening WHERE batch = (SELECT number FROM batch WHERE batch = ?) AND kind = 2
    LIMIT 1"""
OPENINGS = """
    SELECT start, stop FROM line INDEXED BY line_opening
    WHERE batch = (SELECT number FROM batch WHERE batch = ?1) AND kind = 2 AND start < ?3 AND stop > ?2
        AND start > ?2 - (SELECT longest FROM batch WHERE batch = ?1) AND seq > ?4"""
LOG_AFTER = "SELECT seq, worker, chain, head FROM line WHERE seq > ? ORDER BY seq LIMIT ?"
LINES_AFTER = """
    SELECT seq, worker, chain, head FROM line
    WHERE seq > ? AND batch IN (SELECT number FROM batch) ORDER BY seq LIMIT ?"""
LAST_LINE = "SELECT seq, chain FROM line INDEXED BY line_position WHERE batch = ? ORDER BY seq DESC LIMIT 1"
DOOMED_LINES = "SELECT seq, length(body) FROM line INDEXED BY line_position WHERE batch = ? ORDER BY seq LIMIT ?"


class ResultStore(StoreFile):
    """results.db in the data folder; see the module. Every method raises StoreError."""

    def __init__(self, folder: str | Path, durable: bool = True, *, scratch: bool = False) -> None:
        super().__init__(Path(folder), "results.db", KIND, SCRIPTS, durable, scratch)
        self._load()

    def reopen(self) -> None:
        super().reopen()
        self._load()

    def _load(self) -> None:
        """What is kept in memory of the file: a few numbers."""
        with self.guard():
            meta: Any = self.db.execute("SELECT seq, chain, hole, hole_chain FROM meta").fetchone()
            self._seq, self._chain, self._hole, self._hole_chain = meta
            self._doomed = self.doomed()
            self._doomed_outputs = DoomedOutputs(self.db)

    @property
    def untidy(self) -> bool:
        return super().untidy or bool(self._doomed_outputs)

    # ------------------------------------------------------------------------------------------------ reading

    def head(self) -> tuple[int, bytes]:
        """The last line of the log and its chain; ``(0, b"")`` before the first."""
        return self._seq, self._chain

    def recorded(self) -> Iterator[StoredRecord]:
        """What is recorded of every batch: its last checkpoint (SaveRecorded) and the few lines after it."""
        with self.guard():
            rows: list[Any] = self.db.execute(RECORDED).fetchall()
        for number, batch, as_of, spans, generations, attempts, last in rows:
            with self.guard():
                record = StoredRecord(
                    batch,
                    _decode_spans(spans),
                    _decode_generations(generations),
                    _decode_attempts(attempts),
                    tuple(self._lines_since(number, as_of)),
                    last or 0,
                )
            yield record

    def claims(self) -> Iterator[SaveClaim]:
        """The newest claim of each reader of each batch."""
        with self.guard():
            rows: list[Any] = self.db.execute(CLAIMS).fetchall()
        return (SaveClaim(*row) for row in rows)

    def _lines_since(self, number: int, as_of: int) -> Iterator[RecordedLine]:
        rows: list[Any] = self.db.execute(LINES_SINCE, (number, as_of)).fetchall()
        for (blob,) in rows:
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
            reopened = self.db.execute(HAS_OPENINGS, (batch,)).fetchone() is not None
            rows: Any = self.db.execute(ROWS_AFTER, (batch, after, FETCH_ROWS + 1))
            for seq, kind, crc, blob, body in rows:
                if cost >= limit_bytes or len(heads) >= FETCH_ROWS:
                    return tuple(heads), join(bodies), position, True
                position = seq
                if kind == ATTEMPT:
                    continue
                head = self._checked(seq, crc, blob, body)
                pieces = self._pieces(seq, head) if reopened and kind == FINAL else [head]
                heads += pieces
                bodies += [body if piece.size else b"" for piece in pieces]
                cost += credit_cost(tuple(pieces), body)
        return tuple(heads), join(bodies), position, False

    def _pieces(self, seq: int, head: OutcomeHead) -> list[OutcomeHead]:
        """A final line in the order of its jobs, without the values of what was opened again after it."""
        gone = SpanSet()
        for start, stop in self.db.execute(OPENINGS, (head.batch, head.start, head.stop, seq)):
            gone.add(max(start, head.start), min(stop, head.stop))
        whole = [(span, True) for span in gone.gaps(head.start, head.stop)] + [(span, False) for span in gone]
        return [_piece(head, *span, whole=is_whole) for span, is_whole in sorted(whole)]

    def rows_in(self, batch: bytes, start: int, stop: int, cursor: tuple[int, int] = (0, 0)) -> Rows:
        """All that is recorded of the jobs [start, stop) behind `cursor`: superseded outcomes, attempts that were not
        final and openings too, in order of their first jobs; and the cursor to go on from, None: that is all."""
        heads: list[OutcomeHead] = []
        bodies: list[Bytes] = []
        size = 0
        with self.guard():
            rows: Any = self.db.execute(ROWS_IN, (batch, start, stop, *cursor, FETCH_ROWS + 1))
            for seq, crc, head, body in rows:
                size += len(head) + len(body)
                if heads and (size > FETCH_BYTES or len(heads) == FETCH_ROWS):
                    return tuple(heads), join(bodies), cursor
                heads.append(self._checked(seq, crc, head, body))
                bodies.append(body)
                cursor = (heads[-1].start, seq)
        return tuple(heads), join(bodies), None

    def output_at(self, batch: bytes, index: int, stream: int, position: int) -> tuple[int, bytes]:
        """Some bytes of what a job wrote, and where they begin: see `part_at`."""
        with self.guard():
            return part_at(self.db, batch, index, stream, position)

    def log_after(self, seq: int, limit: int) -> tuple[bytes | None, tuple[Completion, ...], bool]:
        """The chain of line `seq`, up to `limit` lines after it, whether there are more.

        No chain (None): there is no such line, or lines after it are deleted.
        """
        with self.guard():
            chain = self._chain_at(seq)
            if chain is None:
                return None, (), False
            rows: list[Any] = self.db.execute(LOG_AFTER, (seq, limit + 1)).fetchall()
        lines: list[Completion] = []
        previous = chain
        for number, worker, stored, packed in rows[:limit]:
            with self.guard():
                line = completion(number, _decode_head(packed), worker, previous)
            if line.chain != stored:
                raise self.damaged(f"line {number}")
            lines.append(line)
            previous = stored
        return chain, tuple(lines), len(rows) > limit

    def lines_after(self, seq: int, limit: int) -> tuple[int, int, bytes, tuple[Completion, ...]]:
        """Up to `limit` lines after line `seq` that are not of deleted batches: the number of the last one, or of the
        log's end if there are no more, the end and its chain, and the lines."""
        with self.guard():
            rows: list[Any] = self.db.execute(LINES_AFTER, (seq, limit)).fetchall()
        lines = tuple(
            replace(completion(number, _decode_head(head), worker, b""), chain=chain)
            for number, worker, chain, head in rows
        )
        position = lines[-1].seq if len(lines) == limit else self._seq
        return position, self._seq, self._chain, lines

    def _chain_at(self, seq: int) -> bytes | None:
        if seq <= self._hole:
            return self._hole_chain if seq == self._hole else None
        row: Any = self.db.execute("SELECT chain FROM line WHERE seq = ?", (seq,)).fetchone()
        return None if row is None else bytes(row[0])

    def _checked(self, seq: int, crc: int, head: bytes, body: bytes) -> OutcomeHead:
        if checksum(head, body) != crc:
            raise self.damaged(f"line {seq}")
        return _decode_head(head)

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
                    case SaveRecorded():
                        self._save_rows(cursor, rows)
                        record = (_encode(save.spans), _encode(save.generations), _encode(save.attempts))
                        cursor.execute(SET_RECORDED, (self._seq, *record, save.batch))
                    case SaveClaim():
                        self._save_rows(cursor, rows)
                        cursor.execute(SET_CLAIM, (save.batch, save.reader, save.number, save.start, save.stop))
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
                cursor.execute("UPDATE meta SET seq = ?, chain = ?", (self._seq, self._chain))
            if self._doomed:
                self._delete_slice(cursor, self._doomed[0])
            elif self._doomed_outputs:
                self._doomed_outputs.delete_some(cursor)

    def _save_rows(self, cursor: apsw.Cursor, rows: list[SaveRow]) -> None:
        """Insert what has piled up; leaves `rows` empty."""
        if not rows:
            return
        longest: dict[bytes, int] = {}
        for row in rows:
            longest[row.head.batch] = max(longest.get(row.head.batch, 0), row.head.stop - row.head.start)
        for batch, jobs in longest.items():
            cursor.execute(ADD_BATCH, (batch, jobs, _NOTHING))
        before = self.db.total_changes()
        cursor.executemany(ADD_LINE, (_line(row) for row in rows))
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
            cursor.execute("INSERT INTO doomed (number) VALUES (?)", (number,))
            self._doomed.append(number)
            last: Any = cursor.execute(LAST_LINE, (number,)).fetchone()
            if last is not None and last[0] > self._hole:
                self._hole, self._hole_chain = last
                cursor.execute("UPDATE meta SET hole = ?, hole_chain = ?", last)

    def _delete_slice(self, cursor: apsw.Cursor, number: int) -> None:
        lines: list[Any] = cursor.execute(DOOMED_LINES, (number, DELETE_ROWS)).fetchall()
        deleted_bytes = 0
        for seq, size in lines:
            cursor.execute("DELETE FROM line WHERE seq = ?", (seq,))
            deleted_bytes += size
            if deleted_bytes >= DELETE_BYTES:
                return
        if len(lines) < DELETE_ROWS:
            cursor.execute("DELETE FROM doomed WHERE number = ?", (number,))
            self._doomed.remove(number)


def _piece(head: OutcomeHead, start: int, stop: int, *, whole: bool) -> OutcomeHead:
    """A part of a final line; if not `whole`, only that it was there."""
    elapsed = head.elapsed * (stop - start) / (head.stop - head.start)
    part = replace(head, start=start, stop=stop, offset=head.offset + start - head.start, elapsed=elapsed)
    return part if whole else replace(part, final=False, size=0, note=None)


def _line(row: SaveRow) -> tuple[Any, ...]:
    head = _encode(row.head)
    return (
        row.seq,
        row.head.batch,
        row.head.start,
        row.head.stop,
        FINAL if row.head.final else OPENING if row.head.stamp.opens else ATTEMPT,
        row.worker,
        row.chain,
        checksum(head, row.body),
        head,
        row.body,
    )
