"""The ventilator's store: accepted jobs until they are done, and a while longer.

Promises:

1. `save` is all or nothing, and giving the same saves again changes nothing: that is what to do after `reopen`.
2. No call reads more rows than it gives out, however many lie in the file; only `batches` reads every batch.
   (batch_rows.py has what is read of batches.)
3. A finished chunk stays for KEEP_TIME, within KEEP_BYTES, for the case that the sink lost the end of its log.
4. Deleting a batch takes effect at once; its chunks leave the file a few at a time.
5. A row that changed on the disk is never given out as if it were sound. What of a batch is lost with it is left to the
   comparison with the sink's log (`must_compare`), which ends with an outcome for each job; all else goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, assert_never

import apsw
import msgspec

from penstock.errors import StoreError
from penstock.station.checked_rows import DamagedRow, checksum, fill, is_whole
from penstock.station.contract import DeleteBatch
from penstock.station.store_file import DAMAGED, DELETE_BYTES, DELETE_ROWS, StoreFile
from penstock.ventilator import store_statements as sql
from penstock.ventilator.batch_rows import BatchRows
from penstock.ventilator.contract import (
    EndedPart,
    OpenPart,
    PipelinePause,
    SaveAccepted,
    SaveApplied,
    SaveBatch,
    SaveCancelled,
    SaveChunk,
    SaveClockSet,
    SaveCompared,
    SaveCounts,
    SaveEnded,
    SaveEvent,
    SaveForgotten,
    SaveOpen,
    SavePaired,
    SavePause,
    SaveRetried,
    SaveSpec,
    SaveTotal,
    StoredBatch,
    StoredChunk,
    VentilatorSave,
)
from penstock.ventilator.event_rows import EventRows, saving
from penstock.ventilator.store_damage import Containment, spec_field
from penstock.wire.records import DIGEST_BYTES

KEEP_TIME = 24 * 3600.0
"""Seconds a finished chunk is kept: a day is enough to notice and restore a sink's lost disk."""
KEEP_BYTES = 256 << 20
"""Payload of finished chunks that is kept at most, and PRUNE_COST for each of them."""
DIGESTS_BYTES = 1 << 20
"""In one answer: 65,536 jobs."""
DELETED_KEPT = 10_000
"""Deleted batches whose clients are told why they are gone, and of which nothing is taken in again."""
PRUNE_COST = 256
"""Bytes a kept chunk takes beside its payload: its rows and index entries."""
PRUNE_ROWS = 8
"""Finished chunks that a transaction deletes at most beside twice as many as it finished itself."""

_CHECKED = (sql.FUNCTION, sql.BATCH, sql.CHUNK, sql.DIGEST, sql.DOOMED, sql.FORGOTTEN)
"""Tables whose rows are given their checksums by the second script, but for the one that says what the file is."""
_first, _second, _third = (
    Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")
    for name in ("queue", "queue_checksums", "queue_events")
)
SCRIPTS = (_first, _second + fill(_CHECKED), _third)
KIND = ord("Q")

_encode = msgspec.msgpack.Encoder().encode
_decode_parts = msgspec.msgpack.Decoder(tuple[OpenPart, ...]).decode
_decode_ended = msgspec.msgpack.Decoder(tuple[EndedPart, ...]).decode
_NO_COUNTS, _NO_SPANS = _encode({}), _encode(())


class QueueStore(StoreFile):
    """queue.db in the data folder; see the module. Every method raises StoreError."""

    def __init__(self, folder: str | Path, durable: bool = True, *, scratch: bool = False) -> None:
        functions = {"spec_field": spec_field}
        super().__init__(Path(folder), "queue.db", KIND, SCRIPTS, durable, scratch, meta=sql.META, functions=functions)
        self.batch_rows: BatchRows = BatchRows(self)
        self.event_rows: EventRows = EventRows(self)
        self._load()

    def reopen(self) -> None:
        super().reopen()
        self._load()

    def _load(self) -> None:
        """What is kept in memory of the file: a few numbers."""
        with self.guard():
            meta: Any = self.db.execute("SELECT kept_bytes, applied, accepted, pipeline, paired FROM meta").fetchone()
            self._kept_bytes, self._applied, accepted, pipeline, paired = meta
            self.accepted: int = accepted
            self.pipeline: bytes = pipeline
            self.is_paired: bool = bool(paired)
            """Whether a sink's file knows this one."""
            self._payloads: int = self.value("SELECT coalesce(max(payload.number), 0) FROM payload")
            self._finished, self.believes_clock = 0, True
            """Whether the wall clock can say how old something is; else nothing is."""
            self._ends: dict[bytes, int] = {}
        self._containment = Containment(self)
        if self.is_reindexed:
            self._containment.everything()
            self.is_reindexed = False
        with self.guard():
            self._doomed = self.doomed()

    # ------------------------------------------------------------------------------------------------ reading

    @property
    def must_compare(self) -> bool:
        """Whether something is lost here: every job is to be compared with the sink's log."""
        return self._containment.must_compare

    def take_found(self) -> list[str]:
        """What was found damaged since the last call, and what became of it: for people."""
        return self._containment.take_found()

    def note(self, what: str) -> None:
        """Something that cannot be read, said and remembered once."""
        self._containment.note(what)

    def begin_life(self, more: int = 1) -> int:
        """Count a start of the ventilator, or so many; lease numbers begin with it, so that none is ever used twice."""
        with self.transaction() as cursor:
            cursor.execute(sql.META.change(life="life + ?1"), (more,))
        with self.guard():
            return int(self.value("SELECT life FROM meta"))

    def applied(self) -> tuple[int, bytes]:
        """The last line of the sink's log that is applied here, and its chain."""
        with self.guard():
            row: Any = self.db.execute("SELECT applied, chain FROM meta").fetchone()
        return row[0], row[1]

    def pause(self) -> PipelinePause:
        """Whether the whole pipeline is paused."""
        return PipelinePause(*self.only_row("SELECT paused_time, paused_by FROM meta"))

    def batches(self) -> list[StoredBatch]:
        """Every batch, oldest first."""
        return self.batch_rows.all()

    def forgotten(self) -> list[bytes]:
        """Deleted batches that the sink may still have."""
        with self.guard():
            return [batch for (batch,) in self.db.execute("SELECT batch FROM forgotten")]

    def deleted(self) -> list[tuple[bytes, str, str]]:
        """The batches that were deleted last, oldest first: id, the kind of error for whoever asks, and why."""
        query = f"SELECT batch, kind, why FROM deleted WHERE {sql.DELETED.is_sound} ORDER BY number"
        with self.guard():
            rows: list[Any] = self.db.execute(query).fetchall()
        return [(batch, kind, why) for batch, kind, why in rows]

    def open_chunks(self, batch: bytes, first: int, limit: int) -> tuple[StoredChunk, ...]:
        """The batch's chunks with open jobs that begin at `first` or later, in order, at most `limit`."""
        return self._chunks(sql.OPEN_CHUNKS, (batch, first, limit))

    def open_chunk_at(self, batch: bytes, index: int) -> StoredChunk | None:
        """The chunk that has the job `index`; None if no job of it is open."""
        for chunk in self._chunks(sql.CHUNK_AT, (batch, index)):
            if chunk.parts and index < chunk.first + chunk.count:
                return chunk
        return None

    def kept(self, batch: bytes, start: int, stop: int) -> tuple[StoredChunk, ...]:
        """The chunks with jobs in [start, stop), in order, as far as they are kept; finished ones without parts."""
        return self._chunks(sql.KEPT, (batch, start, stop))

    def _chunks(self, query: str, values: tuple[Any, ...]) -> tuple[StoredChunk, ...]:
        with self.guard():
            return tuple(_stored_chunk(row[2:]) for row in self.sound(query, values, Containment.chunks))

    def sound(
        self, query: str, values: tuple[Any, ...], contain: Callable[[Containment, list[Any]], None]
    ) -> list[Any]:
        """The rows that it finds, each of which says first whether it is sound; damaged ones are contained before."""
        with self.guard():
            rows: list[Any] = self.db.execute(query, values).fetchall()
            if damaged := [row for row in rows if not row[0]]:
                contain(self._containment, damaged)
                rows = self.db.execute(query, values).fetchall()
            if not all(row[0] for row in rows):
                raise StoreError(f"{self.path}: {DAMAGED}")
        return rows

    def chunk(self, batch: bytes, first: int) -> bytes:
        """The payload of the chunk that begins at `first`; DamagedRow when there is none or it is damaged."""
        with self.guard():
            row = self.db.execute(sql.PAYLOAD, (batch, first)).fetchone()
        return self._checked(row, f"chunk {batch.hex()}:{first}")

    def function(self, digest: bytes) -> bytes:
        """A function's serialized form; DamagedRow when it is not here or damaged."""
        with self.guard():
            row = self.db.execute(sql.FUNCTION_CODE, (digest,)).fetchone()
        return self._checked(row, f"function {digest.hex()}")

    def digests(self, batch: bytes, start: int) -> bytes:
        """The digests of the jobs from `start` on, about DIGESTS_BYTES of them; empty: there are no more."""
        found, end = bytearray(), 0
        with self.guard():
            for is_sound, first, digests in self.db.execute(sql.DIGESTS, (batch, start)):
                if not is_sound or first > max(start, end):
                    raise self.damaged(f"what tells the jobs of batch {batch.hex()} from others")
                end = first + len(digests) // DIGEST_BYTES
                found += digests[max(0, start - first) * DIGEST_BYTES :]
                if len(found) >= DIGESTS_BYTES:
                    return bytes(found)
            accepted: Any = self.db.execute(sql.ACCEPTED, (batch,)).fetchone()
        if end and (accepted is None or end < accepted[0]):
            raise self.damaged(f"what tells the jobs of batch {batch.hex()} from others")
        return bytes(found)

    def _checked(self, row: Any, name: str) -> bytes:
        """Of a row that says whether it is sound, the checksum of its content, and that."""
        if row is None:
            raise DamagedRow(f"{self.path}: {name} is not here")
        if not row[0] or not is_whole(row[1], row[2]):
            raise self.damaged(name)
        return bytes(row[2])

    # ------------------------------------------------------------------------------------------------ writing

    def save(self, saves: Iterable[VentilatorSave]) -> None:
        """All that a turn decided, in one transaction, in the order given."""
        with self.transaction() as cursor:
            kept_bytes, self._finished, self._ends = self._kept_bytes, 0, {}
            for save in saves:
                self._save_one(cursor, save)
            ends, self._ends = self._ends, {}
            cursor.executemany(sql.SET_ACCEPTED, ends.items())
            self._tidy(cursor)
            if self._kept_bytes != kept_bytes:
                cursor.execute(sql.META.change(kept_bytes="?1"), (self._kept_bytes,))

    def _save_one(self, cursor: apsw.Cursor, save: VentilatorSave) -> None:
        match save:
            case SaveBatch():
                self._save_batch(cursor, save)
            case SaveSpec(batch, spec):
                cursor.execute(sql.SET_SPEC, (batch, _encode(spec)))
            case SaveChunk():
                self._save_chunk(cursor, save)
            case SaveOpen():
                self._save_open(cursor, save)
            case SaveTotal(batch, total):
                cursor.execute(sql.SET_TOTAL, (batch, total))
            case SaveCounts(batch, counts):
                cursor.execute(sql.SET_COUNTS, (batch, _encode(counts)))
            case SaveCancelled(batch, spans):
                cursor.execute(sql.SET_CANCELLED, (batch, _encode(spans)))
            case SaveRetried(batch, generation, asked):
                cursor.execute(sql.SET_RETRIED, (batch, generation, _encode(asked)))
            case SaveApplied(seq, chain):
                cursor.execute(sql.META.change(applied="?1", chain="?2"), (seq, chain))
                self._applied = seq
            case SaveAccepted(accepted):
                cursor.execute(sql.META.change(accepted="?1"), (accepted,))
            case SavePaired(pipeline):
                cursor.execute(sql.META.change(pipeline="?1", paired="1"), (pipeline,))
            case SavePause(since, by):
                cursor.execute(sql.META.change(paused_time="?1", paused_by="?2"), (since, by))
            case SaveCompared():
                self._containment.must_compare = False
                cursor.execute(sql.META.change(compare="0"))
            case SaveEnded(batch, ended_time, retain, clock):
                cursor.execute(sql.SET_ENDED_TIME, (batch, ended_time, retain, clock))
            case SaveClockSet(step, before, after):
                cursor.execute(sql.SET_CLOCK, (step, before, after))
            case SaveEvent():
                for statement in saving(save, time.time()):
                    cursor.execute(*statement)
            case SaveForgotten(batch):
                cursor.execute("DELETE FROM forgotten WHERE batch = ?", (batch,))
            case DeleteBatch():
                self._delete_batch(cursor, save)
            case _:
                assert_never(save)

    def _save_batch(self, cursor: apsw.Cursor, save: SaveBatch) -> None:
        values = (save.batch, _encode(save.spec), save.function, save.created_time, _NO_COUNTS, _NO_SPANS)
        cursor.execute(sql.ADD_BATCH, (*values, save.spec.name, save.spec.once))
        if self.db.changes():
            cursor.execute(sql.SUM_BATCH, (save.batch,))
            cursor.execute(sql.ADD_FUNCTION, (save.function, checksum(save.code), save.code))

    def _save_chunk(self, cursor: apsw.Cursor, save: SaveChunk) -> None:
        number, size, crc = self._payloads + 1, len(save.payload), checksum(save.payload)
        cursor.execute(sql.ADD_CHUNK, (save.batch, save.first, save.count, size, number, crc))
        if self.db.changes():
            cursor.execute(sql.ADD_PAYLOAD, (number, crc, save.payload))
            self._ends[save.batch] = max(self._ends.get(save.batch, 0), save.first + save.count)
            self._payloads = number
            if save.digests:
                cursor.execute(sql.ADD_DIGESTS, (save.batch, save.first, save.digests))

    def _save_open(self, cursor: apsw.Cursor, save: SaveOpen) -> None:
        key, ended = (save.batch, save.first), _encode(save.ended) if save.ended else None
        if not save.parts:
            finished: list[Any] = cursor.execute(sql.FINISH, (*key, ended, self._applied, time.time())).fetchall()
            for (size,) in finished:
                self._kept_bytes += size + PRUNE_COST
                self._finished += 1
            if not finished:
                cursor.execute(sql.SET_ENDED, (*key, ended))
            return
        parts = _encode(save.parts)
        if not cursor.execute(sql.SET_PARTS, (*key, parts, ended)).fetchall():
            for (size,) in cursor.execute(sql.OPEN_AGAIN, (*key, parts, ended)):
                self._kept_bytes -= size + PRUNE_COST

    def _delete_batch(self, cursor: apsw.Cursor, save: DeleteBatch) -> None:
        deleted = "DELETE FROM batch WHERE batch = ? RETURNING number, function"
        rows: list[Any] = cursor.execute(deleted, (save.batch,)).fetchall()
        for number, digest in rows:
            cursor.execute(sql.ADD_DOOMED, (number,))
            cursor.execute(sql.ADD_FORGOTTEN, (save.batch,))
            cursor.execute(sql.DROP_USER, (digest,))
            cursor.execute("DELETE FROM function WHERE digest = ? AND users <= 0", (digest,))
            cursor.execute(sql.ADD_DELETED, (save.batch, *save.why))
            cursor.execute(sql.SUM_DELETED)
            cursor.execute("DELETE FROM deleted WHERE number <= last_insert_rowid() - ?", (DELETED_KEPT,))
            self._doomed.append(number)

    # ----------------------------------------------------------------------------------------------- tidying

    def _tidy(self, cursor: apsw.Cursor) -> None:
        if self._doomed:
            self._delete_slice(cursor, self._doomed[0])
        if self._kept_bytes:
            self._prune(cursor)

    def _delete_slice(self, cursor: apsw.Cursor, number: int) -> None:
        chunks: list[Any] = cursor.execute(sql.DOOMED_CHUNKS, (number, DELETE_ROWS)).fetchall()
        deleted_bytes = 0
        for first, size, payload, finished, is_sound in chunks:
            self._delete_chunk(cursor, number, first, payload if is_sound else None)
            if finished is not None:
                self._kept_bytes -= size + PRUNE_COST
            deleted_bytes += size
            if deleted_bytes >= DELETE_BYTES:
                return
        if len(chunks) == DELETE_ROWS:
            return
        cursor.execute(sql.DELETE_DIGESTS, (number, DELETE_ROWS))
        if self.db.changes() < DELETE_ROWS:
            cursor.execute("DELETE FROM doomed WHERE number = ?", (number,))
            self._doomed.remove(number)

    def _prune(self, cursor: apsw.Cursor) -> None:
        """Finished chunks that are too old or too many go, oldest first."""
        limit = PRUNE_ROWS + (2 * self._finished if self._kept_bytes > KEEP_BYTES else 0)
        oldest: list[Any] = cursor.execute(sql.OLDEST_FINISHED, (limit,)).fetchall()
        for batch, first, size, payload, finished_time, is_sound in oldest:
            is_young = not self.believes_clock or finished_time > time.time() - KEEP_TIME
            if is_young and self._kept_bytes <= KEEP_BYTES:
                return
            self._delete_chunk(cursor, batch, first, payload if is_sound else None)
            self._kept_bytes -= size + PRUNE_COST

    def _delete_chunk(self, cursor: apsw.Cursor, batch: int, first: int, payload: int | None) -> None:
        """`payload`: None of a damaged row, which may have the number of another one's."""
        cursor.execute("DELETE FROM chunk WHERE batch = ? AND first = ?", (batch, first))
        cursor.execute("DELETE FROM payload WHERE number = ?", (payload,))


def _stored_chunk(row: Any) -> StoredChunk:
    """From first, count, size, parts, ended, and when it was finished."""
    first, count, size, parts, ended, finished = row
    found: tuple[OpenPart, ...] = (OpenPart(first, first + count),)
    if parts is not None:
        found = _decode_parts(parts)
    elif finished is not None:
        found = ()
    return StoredChunk(first, count, size, found, () if ended is None else _decode_ended(ended))
