"""The ventilator's store: accepted jobs until they are done, and a while longer.

Promises:

1. `save` is all or nothing, and giving the same saves again changes nothing: that is what to do after `reopen`.
2. No call reads more rows than it gives out, however many lie in the file; only `batches` reads every batch.
3. A finished chunk stays for KEEP_TIME, within KEEP_BYTES, for the case that the sink lost the end of its log.
4. Deleting a batch takes effect at once; its chunks leave the file a few at a time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, assert_never

import apsw
import msgspec

from penstock.errors import StoreError
from penstock.job.spec import BatchSpec
from penstock.station.contract import DeleteBatch
from penstock.station.store_file import DELETE_BYTES, DELETE_ROWS, StoreFile, checksum
from penstock.ventilator.contract import (
    EndedPart,
    OpenPart,
    SaveApplied,
    SaveBatch,
    SaveCancelled,
    SaveChunk,
    SaveCounts,
    SaveEnded,
    SaveForgotten,
    SaveOpen,
    SaveRetried,
    SaveSpec,
    SaveTotal,
    StoredBatch,
    StoredChunk,
    VentilatorSave,
)
from penstock.ventilator.store_statements import (
    ADD_BATCH,
    ADD_CHUNK,
    ADD_DIGESTS,
    ADD_FUNCTION,
    ADD_PAYLOAD,
    BATCHES,
    CHUNK_AT,
    DELETE_DIGESTS,
    DIGESTS,
    DOOMED_CHUNKS,
    FINISH,
    KEPT,
    OLDEST_FINISHED,
    OPEN_AGAIN,
    OPEN_CHUNKS,
    PAYLOAD,
    SET_ACCEPTED,
    SET_ENDED,
    SET_PARTS,
    SET_RETRIED,
)
from penstock.wire.messages import DIGEST_BYTES

KEEP_TIME = 24 * 3600.0
"""Seconds a finished chunk is kept: a day is enough to notice and restore a sink's lost disk."""
KEEP_BYTES = 256 << 20
"""Payload of finished chunks that is kept at most, and PRUNE_COST for each of them."""
DIGESTS_BYTES = 1 << 20
"""In one answer: 65,536 jobs."""
PRUNE_COST = 256
"""Bytes a kept chunk takes beside its payload: its rows and index entries."""
PRUNE_ROWS = 8
"""Finished chunks that a transaction deletes at most beside twice as many as it finished itself."""

SCRIPTS = (Path(__file__).with_name("queue.sql").read_text(encoding="utf-8"),)
KIND = ord("Q")

_encode = msgspec.msgpack.Encoder().encode
_decode_spec = msgspec.msgpack.Decoder(BatchSpec).decode
_decode_counts = msgspec.msgpack.Decoder(dict[str, int]).decode
_decode_parts = msgspec.msgpack.Decoder(tuple[OpenPart, ...]).decode
_decode_ended = msgspec.msgpack.Decoder(tuple[EndedPart, ...]).decode
_decode_asked = msgspec.msgpack.Decoder(tuple[tuple[bytes, int], ...]).decode
_decode_spans = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...]).decode
_NO_COUNTS = _encode({})
_NO_SPANS = _encode(())


class QueueStore(StoreFile):
    """queue.db in the data folder; see the module. Every method raises StoreError."""

    def __init__(self, folder: str | Path, durable: bool = True, *, scratch: bool = False) -> None:
        super().__init__(Path(folder), "queue.db", KIND, SCRIPTS, durable, scratch)
        self._load()

    def reopen(self) -> None:
        super().reopen()
        self._load()

    def _load(self) -> None:
        """What is kept in memory of the file: a few numbers."""
        with self.guard():
            meta: Any = self.db.execute("SELECT kept_bytes, applied FROM meta").fetchone()
            self._kept_bytes, self._applied = meta
            self._payloads: int = self.value("SELECT coalesce(max(number), 0) FROM payload")
            self._finished = 0
            self._doomed = self.doomed()

    # ------------------------------------------------------------------------------------------------ reading

    def begin_life(self) -> int:
        """Count a start of the ventilator; lease numbers begin with it, so that none is ever used twice."""
        with self.transaction() as cursor:
            cursor.execute("UPDATE meta SET life = life + 1")
        with self.guard():
            return int(self.value("SELECT life FROM meta"))

    def applied(self) -> tuple[int, bytes]:
        """The last line of the sink's log that is applied here, and its chain."""
        with self.guard():
            row: Any = self.db.execute("SELECT applied, chain FROM meta").fetchone()
        return row[0], row[1]

    def batches(self) -> list[StoredBatch]:
        """Every batch, oldest first: one index probe each, whatever its size."""
        with self.guard():
            return [_stored_batch(row) for row in self.db.execute(BATCHES)]

    def forgotten(self) -> list[bytes]:
        """Deleted batches that the sink may still have."""
        with self.guard():
            rows: list[Any] = self.db.execute("SELECT batch FROM forgotten").fetchall()
        return [batch for (batch,) in rows]

    def open_chunks(self, batch: bytes, first: int, limit: int) -> tuple[StoredChunk, ...]:
        """The batch's chunks with open jobs that begin at `first` or later, in order, at most `limit`."""
        with self.guard():
            return tuple(_stored_chunk(row) for row in self.db.execute(OPEN_CHUNKS, (batch, first, limit)))

    def open_chunk_at(self, batch: bytes, index: int) -> StoredChunk | None:
        """The chunk that has the job `index`; None if no job of it is open."""
        with self.guard():
            row: Any = self.db.execute(CHUNK_AT, (batch, index)).fetchone()
        if row is None or row[5] is not None or index >= row[0] + row[1]:
            return None
        return _stored_chunk(row)

    def kept(self, batch: bytes, start: int, stop: int) -> tuple[StoredChunk, ...]:
        """The chunks with jobs in [start, stop), in order, as far as they are kept; finished ones without parts."""
        with self.guard():
            return tuple(_stored_chunk(row) for row in self.db.execute(KEPT, (batch, start, stop)))

    def chunk(self, batch: bytes, first: int) -> bytes:
        """The payload of the chunk that begins at `first`; StoreError when there is none or it is damaged."""
        with self.guard():
            row = self.db.execute(PAYLOAD, (batch, first)).fetchone()
        return self._checked(row, f"chunk {batch.hex()}:{first}")

    def function(self, digest: bytes) -> bytes:
        """A function's serialized form; StoreError when it is not here or damaged."""
        with self.guard():
            row = self.db.execute("SELECT crc, code FROM function WHERE digest = ?", (digest,)).fetchone()
        return self._checked(row, f"function {digest.hex()}")

    def digests(self, batch: bytes, start: int) -> bytes:
        """The digests of the jobs from `start` on, about DIGESTS_BYTES of them; empty: there are no more."""
        found = b""
        with self.guard():
            for first, digests in self.db.execute(DIGESTS, (batch, start)):
                found += digests[max(0, start - first) * DIGEST_BYTES :]
                if len(found) >= DIGESTS_BYTES:
                    break
        return found

    def _checked(self, row: Any, name: str) -> bytes:
        if row is None:
            raise StoreError(f"{self.path}: {name} is not here")
        crc, content = row
        if checksum(content) != crc:
            raise self.damaged(name)
        return bytes(content)

    # ------------------------------------------------------------------------------------------------ writing

    def save(self, saves: Iterable[VentilatorSave]) -> None:
        """All that a turn decided, in one transaction, in the order given."""
        with self.transaction() as cursor:
            kept_bytes, self._finished = self._kept_bytes, 0
            for save in saves:
                self._save_one(cursor, save)
            self._tidy(cursor)
            if self._kept_bytes != kept_bytes:
                cursor.execute("UPDATE meta SET kept_bytes = ?", (self._kept_bytes,))

    def _save_one(self, cursor: apsw.Cursor, save: VentilatorSave) -> None:
        match save:
            case SaveBatch():
                self._save_batch(cursor, save)
            case SaveSpec(batch, spec):
                cursor.execute("UPDATE batch SET spec = ? WHERE batch = ?", (_encode(spec), batch))
            case SaveChunk():
                self._save_chunk(cursor, save)
            case SaveOpen():
                self._save_open(cursor, save)
            case SaveTotal(batch, total):
                cursor.execute("UPDATE batch SET total = ? WHERE batch = ?", (total, batch))
            case SaveCounts(batch, counts):
                cursor.execute("UPDATE batch SET counts = ? WHERE batch = ?", (_encode(counts), batch))
            case SaveCancelled(batch, spans):
                cursor.execute("UPDATE batch SET cancelled = ? WHERE batch = ?", (_encode(spans), batch))
            case SaveRetried(batch, generation, asked):
                cursor.execute(SET_RETRIED, (generation, _encode(asked), batch))
            case SaveApplied(seq, chain):
                cursor.execute("UPDATE meta SET applied = ?, chain = ?", (seq, chain))
                self._applied = seq
            case SaveEnded(batch, ended_time):
                cursor.execute("UPDATE batch SET ended_time = ? WHERE batch = ?", (ended_time, batch))
            case SaveForgotten(batch):
                cursor.execute("DELETE FROM forgotten WHERE batch = ?", (batch,))
            case DeleteBatch(batch):
                self._delete_batch(cursor, batch)
            case _:
                assert_never(save)

    def _save_batch(self, cursor: apsw.Cursor, save: SaveBatch) -> None:
        cursor.execute(
            ADD_BATCH, (save.batch, _encode(save.spec), save.function, save.created_time, _NO_COUNTS, _NO_SPANS)
        )
        if self.db.changes():
            cursor.execute(ADD_FUNCTION, (save.function, checksum(save.code), save.code))

    def _save_chunk(self, cursor: apsw.Cursor, save: SaveChunk) -> None:
        number, size = self._payloads + 1, len(save.payload)
        cursor.execute(ADD_CHUNK, (save.batch, save.first, save.count, size, number))
        if self.db.changes():
            cursor.execute(ADD_PAYLOAD, (number, checksum(save.payload), save.payload))
            cursor.execute(SET_ACCEPTED, (save.first + save.count, save.batch))
            self._payloads = number
            if save.digests:
                cursor.execute(ADD_DIGESTS, (save.batch, save.first, save.digests))

    def _save_open(self, cursor: apsw.Cursor, save: SaveOpen) -> None:
        ended = _encode(save.ended) if save.ended else None
        if not save.parts:
            values = (ended, self._applied, time.time(), save.batch, save.first)
            finished: list[Any] = cursor.execute(FINISH, values).fetchall()
            for (size,) in finished:
                self._kept_bytes += size + PRUNE_COST
                self._finished += 1
            if not finished:
                cursor.execute(SET_ENDED, (ended, save.batch, save.first))
            return
        parts = _encode(save.parts)
        if not cursor.execute(SET_PARTS, (parts, ended, save.batch, save.first)).fetchall():
            for (size,) in cursor.execute(OPEN_AGAIN, (parts, ended, save.batch, save.first)):
                self._kept_bytes -= size + PRUNE_COST

    def _delete_batch(self, cursor: apsw.Cursor, batch: bytes) -> None:
        deleted = "DELETE FROM batch WHERE batch = ? RETURNING number, function"
        rows: list[Any] = cursor.execute(deleted, (batch,)).fetchall()
        for number, digest in rows:
            cursor.execute("INSERT INTO doomed (number) VALUES (?)", (number,))
            cursor.execute("INSERT OR IGNORE INTO forgotten (batch) VALUES (?)", (batch,))
            cursor.execute("UPDATE function SET users = users - 1 WHERE digest = ?", (digest,))
            cursor.execute("DELETE FROM function WHERE digest = ? AND users <= 0", (digest,))
            self._doomed.append(number)

    # ----------------------------------------------------------------------------------------------- tidying

    def _tidy(self, cursor: apsw.Cursor) -> None:
        if self._doomed:
            self._delete_slice(cursor, self._doomed[0])
        if self._kept_bytes:
            self._prune(cursor)

    def _delete_slice(self, cursor: apsw.Cursor, number: int) -> None:
        chunks: list[Any] = cursor.execute(DOOMED_CHUNKS, (number, DELETE_ROWS)).fetchall()
        deleted_bytes = 0
        for first, size, payload, finished in chunks:
            self._delete_chunk(cursor, number, first, payload)
            if finished is not None:
                self._kept_bytes -= size + PRUNE_COST
            deleted_bytes += size
            if deleted_bytes >= DELETE_BYTES:
                return
        if len(chunks) == DELETE_ROWS:
            return
        cursor.execute(DELETE_DIGESTS, (number, DELETE_ROWS))
        if self.db.changes() < DELETE_ROWS:
            cursor.execute("DELETE FROM doomed WHERE number = ?", (number,))
            self._doomed.remove(number)

    def _prune(self, cursor: apsw.Cursor) -> None:
        """Finished chunks that are too old or too many go, oldest first."""
        limit = PRUNE_ROWS + (2 * self._finished if self._kept_bytes > KEEP_BYTES else 0)
        oldest: list[Any] = cursor.execute(OLDEST_FINISHED, (limit,)).fetchall()
        for batch, first, size, payload, finished_time in oldest:
            if self._kept_bytes <= KEEP_BYTES and finished_time > time.time() - KEEP_TIME:
                return
            self._delete_chunk(cursor, batch, first, payload)
            self._kept_bytes -= size + PRUNE_COST

    def _delete_chunk(self, cursor: apsw.Cursor, batch: int, first: int, payload: int) -> None:
        cursor.execute("DELETE FROM chunk WHERE batch = ? AND first = ?", (batch, first))
        cursor.execute("DELETE FROM payload WHERE number = ?", (payload,))


def _stored_batch(row: Any) -> StoredBatch:
    batch, spec, function, created_time, accepted, total, counts, cancelled, generation, asked, ended_time, *rest = row
    size, open_from = rest
    return StoredBatch(
        batch=batch,
        spec=_decode_spec(spec),
        function=function,
        function_size=size,
        created_time=created_time,
        accepted=accepted,
        total=total,
        counts=_decode_counts(counts),
        open_from=open_from,
        cancelled=_decode_spans(cancelled),
        generation=generation,
        asked=_decode_asked(asked),
        ended_time=ended_time,
    )


def _stored_chunk(row: Any) -> StoredChunk:
    """From first, count, size, parts, ended, and finished where it may not be NULL."""
    first, count, size, parts, ended, *finished = row
    found: tuple[OpenPart, ...] = (OpenPart(first, first + count),)
    if parts is not None:
        found = _decode_parts(parts)
    elif finished and finished[0] is not None:
        found = ()
    return StoredChunk(first, count, size, found, () if ended is None else _decode_ended(ended))
