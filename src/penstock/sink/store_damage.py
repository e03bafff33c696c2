"""Damaged rows of the results file: the lines that are lost are taken out, and the log says that it is not the one it
was.

Promises:

1. A damaged line is taken out, and what is recorded is made anew from the lines that are sound.
2. The end of the log gets another chain, so a ventilator that knows the old one compares all, whenever it comes, and
   opens again, or calls dead, what has no outcome any more.
3. What was found is remembered in the file, in the transaction that contains it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import apsw
import msgspec

from penstock.job.spans import SpanSet
from penstock.sink.hash_chain import CHAIN_BYTES
from penstock.sink.store_statements import (
    BATCH,
    CLAIM,
    COUNT_ANEW,
    DOOMED,
    DOOMED_OUTPUT,
    GROUP,
    LINE,
    META,
    OUTPUT,
    UNCOUNTED,
)
from penstock.station.store_file import StoreFile
from penstock.wire.records import OutcomeHead

LINE_AT = f"SELECT {LINE.is_sound}, batch, start, stop FROM line WHERE seq = ?"
ANY_LINE = "SELECT 1 FROM line INDEXED BY line_position WHERE batch = ? LIMIT 1"
MADE_ANEW = BATCH.write(as_of="0", spans="?2", generations="?2", attempts="?2") + " WHERE number = ?1"
MENDED = BATCH.write(batch="?3", longest="?4", as_of="0", spans="?2", generations="?2", attempts="?2")
ENDED_BEFORE = """
    SELECT seq, head FROM line WHERE batch = ?1 AND kind = 1 AND start < ?3 AND stop > ?2 AND seq < ?4"""
UNKNOWN_BATCHES = """
    SELECT batch, head, max(stop - start) FROM line
    WHERE batch NOT IN (SELECT number FROM batch UNION SELECT number FROM doomed) GROUP BY batch"""
ADD_UNKNOWN = """
    INSERT OR IGNORE INTO batch (number, batch, longest, as_of, spans, generations, attempts)
    VALUES (?1, ?2, ?3, 0, ?4, ?4, ?4)"""
UNSOUND_GROUPS = f"""
    SELECT 1 FROM failure_group WHERE NOT {GROUP.is_sound}
    UNION ALL SELECT 1 FROM uncounted_opening WHERE NOT {UNCOUNTED.is_sound} LIMIT 1"""
NEW_CHAIN = META.change(chain="?1", hole="seq", hole_chain="?1", damaged="seq")

_decode_head = msgspec.msgpack.Decoder(OutcomeHead).decode
_NOTHING = msgspec.msgpack.encode(())


class Containment:
    """Contains what is damaged in this store."""

    def __init__(self, store: StoreFile) -> None:
        self._store = store
        self._found: list[str] = []
        self._sweep()

    def take_found(self) -> list[str]:
        """What was found since the last call."""
        found, self._found = self._found, []
        return found

    def _note(self, cursor: apsw.Cursor, what: str) -> None:
        self._store.note_damage(cursor, what)
        self._found.append(what)

    def _sweep(self) -> None:
        """Notes of something to be done go, and it is not done; of a claim that goes, the next reader is given what its
        reader may have had."""
        store = self._store
        for table, what in (
            (DOOMED, "notes of deleted batches: what is left of these stays in the file"),
            (DOOMED_OUTPUT, "notes of deleted outputs: what is left of these stays in the file"),
            (CLAIM, "claims of readers who share a batch: an outcome may be given to two of them"),
        ):
            with store.guard():
                damaged: Any = store.db.execute(
                    f"SELECT count(*) FROM {table.name} WHERE NOT {table.is_sound}"
                ).fetchone()
            if damaged[0]:
                with store.transaction() as cursor:
                    cursor.execute(f"DELETE FROM {table.name} WHERE NOT {table.is_sound}")
                    self._note(cursor, f"{damaged[0]} {what}")
        with store.guard():
            unsound: Any = store.db.execute(UNSOUND_GROUPS).fetchone()
        if unsound is not None:
            self.groups()

    def everything(self) -> None:
        """The indexes did not fit the rows: rows that stand where nobody looks for them are found now."""
        store = self._store
        with store.transaction() as cursor:
            self._note(cursor, "the indexes: they are made anew")
        with store.guard():
            lines: list[Any] = store.db.execute(f"SELECT seq FROM line WHERE NOT {LINE.is_sound}").fetchall()
            parts: list[Any] = store.db.execute(f"SELECT rowid FROM output WHERE NOT {OUTPUT.is_sound}").fetchall()
        for (seq,) in lines:
            self.line(seq)
        for (rowid,) in parts:
            self.output(rowid)

    def line(self, seq: int) -> list[int]:
        """Take this line out; the numbers of the batches of which what is recorded is made anew, perhaps of nothing."""
        store = self._store
        with store.guard():
            found: Any = store.db.execute(LINE_AT, (seq,)).fetchone()
            if found is None or not found[0]:
                store.db.execute("REINDEX line")  # its entries there are not those of what it is now
        with store.transaction() as cursor:
            rows: list[Any] = cursor.execute("SELECT number, batch FROM batch").fetchall()
            if found is not None and found[0]:
                rows = [row for row in rows if row[0] == found[1]]
            jobs = (
                f"jobs {found[2]} to {found[3] - 1} of batch {rows[0][1].hex()}" if found and found[0] and rows else ""
            )
            self._note(
                cursor,
                f"line {seq} of the log{', ' * bool(jobs)}{jobs}: without an outcome now; they run again, or are dead",
            )
            cursor.execute("DELETE FROM line WHERE seq = ?", (seq,))
            for number, _ in rows:
                self._drop_superseded(cursor, number)
            self._make_anew(cursor, (number for number, _ in rows))
            self._begin_chain(cursor)
            count_anew(cursor)
        return [number for number, _ in rows]

    def log(self) -> None:
        """Lines are missing: batches are made anew from those that are here, and lines of batches that are not."""
        with self._store.transaction() as cursor:
            unknown: list[Any] = cursor.execute(UNKNOWN_BATCHES).fetchall()
            for number, head, longest in unknown:
                cursor.execute(ADD_UNKNOWN, (number, _decode_head(head).batch, longest, _NOTHING))
            numbers: list[Any] = cursor.execute("SELECT number FROM batch").fetchall()
            for (number,) in numbers:
                self._drop_superseded(cursor, number)
            self._make_anew(cursor, (number for (number,) in numbers))
            self._begin_chain(cursor)
            count_anew(cursor)

    def _drop_superseded(self, cursor: apsw.Cursor, number: int) -> None:
        """Outcomes that a retry opened again, in a line that is lost: a later one must not be told beside them."""
        ended: dict[int, SpanSet] = {}
        superseded: list[tuple[int, int, int, int]] = []
        lines = f"SELECT seq, head FROM line WHERE batch = ? AND {LINE.is_sound} ORDER BY seq"
        for seq, packed in cursor.execute(lines, (number,)):
            head = _decode_head(packed)
            if head.stamp.opens:
                for jobs in ended.values():
                    jobs.remove(head.start, head.stop)
                continue
            for generation, jobs in ended.items():
                if generation < head.stamp.generation:
                    superseded += [(seq, generation, *span) for span in jobs.overlap(head.start, head.stop)]
            if head.final:
                ended.setdefault(head.stamp.generation, SpanSet()).add(head.start, head.stop)
        for before, generation, start, stop in superseded:
            found: list[Any] = cursor.execute(ENDED_BEFORE, (number, start, stop, before)).fetchall()
            for seq, packed in found:
                if _decode_head(packed).stamp.generation == generation:
                    cursor.execute("DELETE FROM line WHERE seq = ?", (seq,))
                    self._note(cursor, f"line {seq} of the log: the retry that came after it is not known any more")

    def _make_anew(self, cursor: apsw.Cursor, numbers: Iterable[int]) -> None:
        for number in numbers:
            if cursor.execute(ANY_LINE, (number,)).fetchone() is None:
                cursor.execute("DELETE FROM claim WHERE batch = ?", (number,))
                cursor.execute("DELETE FROM batch WHERE number = ?", (number,))
            else:
                cursor.execute(MADE_ANEW, (number, _NOTHING))

    @staticmethod
    def _begin_chain(cursor: apsw.Cursor) -> None:
        old: Any = cursor.execute("SELECT chain FROM meta").fetchone()
        chain = hashlib.blake2b(old[0], digest_size=CHAIN_BYTES, person=b"damaged").digest()
        cursor.execute(NEW_CHAIN, (chain,))

    def output(self, rowid: int) -> None:
        """Take this part of what a job wrote out."""
        with self._store.transaction() as cursor:
            cursor.execute("DELETE FROM output WHERE rowid = ?", (rowid,))
            self._note(cursor, "a part of what a job wrote: it is left out")

    def batches(self, rows: list[Any]) -> None:
        """From their second columns on: the number of a batch. All that is in its row is in its lines, too."""
        self._store.db.execute("REINDEX batch")
        with self._store.transaction() as cursor:
            for _, number, *_ in rows:
                lines: Any = cursor.execute(f"SELECT head FROM line WHERE batch = ? AND {LINE.is_sound}", (number,))
                heads = [_decode_head(head) for (head,) in lines]
                if heads:
                    longest = max(head.stop - head.start for head in heads)
                    cursor.execute(f"{MENDED} WHERE number = ?1", (number, _NOTHING, heads[0].batch, longest))
                    self._note(cursor, f"batch {heads[0].batch.hex()}: made anew from its outcomes")
                else:
                    cursor.execute("DELETE FROM batch WHERE number = ?", (number,))
                    self._note(cursor, f"batch number {number}: it had no outcomes")
            count_anew(cursor)

    def groups(self) -> None:
        """All that is in them is in the lines, too."""
        with self._store.transaction() as cursor:
            count_anew(cursor)
            self._note(cursor, "groups of failed jobs: they are counted anew")


def count_anew(cursor: apsw.Cursor) -> None:
    """The groups of failed jobs are to be made of the lines that are here."""
    for statement in COUNT_ANEW:
        cursor.execute(statement)
