"""Damaged rows of the queue file: what of them can be trusted stays, the rest is left to the comparison with the sink.

Promises:

1. A chunk whose arguments are proven to be its own stays, as if all of it had ended: the comparison opens again what
   the sink has not recorded. Any other damaged chunk goes, and with it what is not recorded.
2. Nothing of a batch runs any more whose options cannot be trusted.
3. What was found is remembered in the file, in the transaction that contains it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import apsw
import msgspec

from penstock.job.spec import ID_BYTES, BatchSpec
from penstock.station.checked_rows import is_whole
from penstock.station.contract import Bytes
from penstock.station.store_file import StoreFile
from penstock.ventilator.store_statements import ADD_DOOMED, BATCH, CHUNK, DOOMED, FORGOTTEN, META, OWN

Spans = tuple[tuple[int, int], ...]
Asked = tuple[tuple[bytes, int], ...]
decode_spec: Callable[[Bytes], BatchSpec] = msgspec.msgpack.Decoder(BatchSpec).decode
decode_counts: Callable[[Bytes], dict[str, int]] = msgspec.msgpack.Decoder(dict[str, int]).decode
decode_asked: Callable[[Bytes], Asked] = msgspec.msgpack.Decoder(Asked).decode
decode_spans: Callable[[Bytes], Spans] = msgspec.msgpack.Decoder(Spans).decode
_encode = msgspec.msgpack.Encoder().encode

OWN_PAYLOAD = f"""
    SELECT payload.crc, bytes FROM chunk JOIN payload ON payload.number = chunk.payload
    WHERE batch = ?1 AND first = ?2 AND chunk.crc = {OWN}"""
BATCH_ENDS = "SELECT max(first + count) FROM chunk WHERE batch = ?"
BATCH_ID = "SELECT batch FROM batch WHERE number = ?"
FINISHED = (
    CHUNK.write(parts="NULL", ended="NULL", finished="(SELECT applied FROM meta)", finished_time="?3")
    + " WHERE batch = ?1 AND first = ?2"
)
MENDED_BATCH = (
    BATCH.write(
        batch="?2",
        spec="?3",
        function="?4",
        created_time="?5",
        accepted="?6",
        total="?7",
        counts="?8",
        cancelled="?9",
        generation="?10",
        asked="?11",
        ended_time="?12",
        damaged="1",
        name="?13",
        once="?14",
        retained_until="?12 + ?15",
        clock="0",
    )
    + " WHERE number = ?1"
)


class Containment:
    """Contains what is damaged in this store; each method of what was read, whose first columns say what it is."""

    def __init__(self, store: StoreFile) -> None:
        self._store = store
        with store.guard():
            self.must_compare: bool = bool(store.value("SELECT compare FROM meta"))
        self._found: list[str] = []
        self._noted = {what for _, what in store.damages()}
        self._sweep()

    def take_found(self) -> list[str]:
        """What was found since the last call."""
        found, self._found = self._found, []
        return found

    def _sweep(self) -> None:
        """What is only a note of something to be done goes, and so it is not done: something stays too long."""
        store = self._store
        for table in (DOOMED, FORGOTTEN):
            with store.guard():
                damaged: Any = store.db.execute(
                    f"SELECT count(*) FROM {table.name} WHERE NOT {table.is_sound}"
                ).fetchone()
            if damaged[0]:
                with store.transaction() as cursor:
                    cursor.execute(f"DELETE FROM {table.name} WHERE NOT {table.is_sound}")
                    self._note(
                        cursor, f"{damaged[0]} notes of deleted batches: what is left of these stays in the file"
                    )

    def everything(self) -> None:
        """The indexes did not fit the rows: rows that stand where nobody looks for them are found now."""
        store = self._store
        with store.transaction() as cursor:
            self._note(cursor, "the indexes: they are made anew")
        with store.guard():
            rows: list[Any] = store.db.execute(
                f"SELECT 0, batch, first FROM chunk WHERE NOT {CHUNK.is_sound}"
            ).fetchall()
        if rows:
            self.chunks(rows)

    def note(self, what: str) -> None:
        """Something that cannot be read, said and remembered once."""
        if what not in self._noted:
            self._noted.add(what)
            with self._store.transaction() as cursor:
                self._note(cursor, what)

    def _note(self, cursor: apsw.Cursor, what: str) -> None:
        self._store.note_damage(cursor, what)
        self._found.append(what)

    def _ask_for_comparison(self, cursor: apsw.Cursor) -> None:
        cursor.execute(META.change(compare="1"))
        self.must_compare = True

    # ------------------------------------------------------------------------------------------ chunks

    def chunks(self, rows: list[Any]) -> None:
        """From their second columns on: the number of the batch, the first job."""
        self._store.db.execute("REINDEX chunk")
        with self._store.transaction() as cursor:
            for _, number, first, *_ in rows:
                found: Any = cursor.execute(BATCH_ID, (number,)).fetchone()
                name = f"chunk {found[0].hex() if found else number}:{first}"
                if self._has_its_arguments(cursor, number, first):
                    cursor.execute(FINISHED, (number, first, time.time()))
                    self._note(cursor, f"{name}: its arguments are sound, what of it is not recorded is run")
                else:
                    cursor.execute("DELETE FROM chunk WHERE batch = ? AND first = ?", (number, first))
                    self._note(cursor, f"{name}: what of it is not recorded is dead")
            self._ask_for_comparison(cursor)

    @staticmethod
    def _has_its_arguments(cursor: apsw.Cursor, number: int, first: int) -> bool:
        """Whether the payload is proven to be this chunk's, and the chunk to stand where it was."""
        found: Any = cursor.execute(OWN_PAYLOAD, (number, first)).fetchone()
        return found is not None and is_whole(found[0], found[1])

    # ----------------------------------------------------------------------------------------- batches

    def batches(self, rows: list[Any]) -> None:
        """From their second columns on: number, whether it was damaged before, and the columns of the batch."""
        with self._store.transaction() as cursor:
            for _, number, _, *columns in rows:
                self._contain_batch(cursor, number, columns)
            self._ask_for_comparison(cursor)

    def _contain_batch(self, cursor: apsw.Cursor, number: int, columns: list[Any]) -> None:
        batch, spec, function, created, accepted, total, counts, cancelled, generation, asked, ended_time, *_ = columns
        if not isinstance(batch, bytes) or len(batch) != ID_BYTES:
            cursor.execute("DELETE FROM batch WHERE number = ?", (number,))
            cursor.execute(ADD_DOOMED, (number,))
            self._note(cursor, f"batch number {number}: nobody knows its id any more, it is deleted")
            return
        end: Any = cursor.execute(BATCH_ENDS, (number,)).fetchone()
        known = _decoded(decode_spec, spec, BatchSpec())
        values = (
            _encode(known),
            function if isinstance(function, bytes) and len(function) == ID_BYTES else bytes(ID_BYTES),
            created if isinstance(created, float) else 0.0,
            end[0] if end[0] is not None else accepted if accepted == total else 0,
            total if isinstance(total, int) and total >= 0 else None,
            _encode(_decoded(decode_counts, counts, {})),
            _encode(_decoded(decode_spans, cancelled, ())),
            generation if isinstance(generation, int) and generation >= 0 else 0,
            _encode(_decoded(decode_asked, asked, ())),
            ended_time if isinstance(ended_time, float) else None,
            *(known.name, known.once, known.retain),
        )
        cursor.execute(MENDED_BATCH, (number, batch, *values))
        self._note(cursor, f"batch {batch.hex()}: its options cannot be trusted, what of it is not recorded is dead")


def _decoded(decode: Callable[[Any], Any], stored: Any, instead: Any) -> Any:
    """What is stored, if it can be decoded."""
    try:
        return decode(stored)
    except (msgspec.MsgspecError, TypeError, ValueError):
        return instead


def spec_field(spec: Any, field: str) -> Any:
    """A field of a stored spec; of one that cannot be decoded, what is usual. An SQL function, for migrations."""
    return getattr(_decoded(decode_spec, spec, BatchSpec()), field)
