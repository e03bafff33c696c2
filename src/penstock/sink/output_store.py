"""The sink's store: what is kept of the output of jobs beside their outcomes.

Promises:

1. A part that is given twice is kept once.
2. Reading costs what is read: a part at a time.
3. Deleting takes effect a few parts at a time: no commit waits for a gigabyte.
"""

from __future__ import annotations

from typing import Any

import apsw
import msgspec

from penstock.sink.contract import SaveOutput
from penstock.station.store_file import DELETE_BYTES, DELETE_ROWS, checksum
from penstock.wire.messages import OutcomeHead

_decode_head = msgspec.msgpack.Decoder(OutcomeHead).decode

PART = """
    SELECT position, crc, data FROM output
    WHERE batch = ?1 AND job = ?2 AND lease = ?3 AND stream = ?4
        AND position >= coalesce((SELECT max(position) FROM output WHERE batch = ?1 AND job = ?2 AND lease = ?3
            AND stream = ?4 AND position <= ?5), 0)
    ORDER BY position LIMIT 2"""
ADD_PART = """
    INSERT INTO output (batch, job, lease, stream, position, crc, data) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (batch, job, lease, stream, position) DO NOTHING"""
DOOM = """
    INSERT INTO doomed_output (batch, bound) SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM output WHERE batch = ?1)
    ON CONFLICT (batch) DO UPDATE SET bound = min(bound, excluded.bound)"""
DOOMED_PARTS = "SELECT rowid, length(data) FROM output WHERE batch = ?1 LIMIT ?2"
TRIMMED_PARTS = """
    SELECT rowid, length(data) FROM output AS part WHERE batch = ?1 AND position >= ?3 AND position < (
        SELECT max(position) FROM output WHERE batch = ?1 AND job = part.job AND lease = part.lease
            AND stream = part.stream) - ?3
    LIMIT ?2"""
LAST_FINAL = """
    SELECT head FROM line INDEXED BY line_start
    WHERE batch = (SELECT number FROM batch WHERE batch = ?1) AND start <= ?2 AND stop > ?2
        AND start > ?2 - (SELECT longest FROM batch WHERE batch = ?1) AND kind = 1
    ORDER BY seq DESC LIMIT 1"""


def add_part(cursor: apsw.Cursor, save: SaveOutput) -> None:
    """Keep a part of an output, unless it is kept already."""
    head, data = save.head, save.body
    place = (head.batch, head.index, head.lease, int(head.is_error), head.position)
    cursor.execute(ADD_PART, (*place, checksum(data), data))


def part_at(db: apsw.Connection, batch: bytes, index: int, stream: int, position: int) -> tuple[int, bytes]:
    """Some bytes of what a job wrote from `position` on, or from the next byte that is kept, of the run that was
    recorded last, and where they begin; none: there is no more. Raises ValueError: they changed on the disk."""
    final: Any = db.execute(LAST_FINAL, (batch, index)).fetchone()
    lease = _decode_head(final[0]).lease if final is not None else 0
    rows: list[Any] = db.execute(PART, (batch, index, lease, stream, position)).fetchall()
    for start, crc, data in rows:
        if start + len(data) > position:
            if checksum(data) != crc:
                raise ValueError(f"the output of job {index} at byte {start}")
            skipped = max(0, position - start)
            return start + skipped, data[skipped:]
    return position, b""


class DoomedOutputs:
    """Batches of which parts are to go."""

    def __init__(self, db: apsw.Connection) -> None:
        rows: list[Any] = db.execute("SELECT batch, bound FROM doomed_output").fetchall()
        self._bounds: dict[bytes, int] = dict(rows)

    def __bool__(self) -> bool:
        return bool(self._bounds)

    def doom(self, cursor: apsw.Cursor, batch: bytes, bound: int = 0) -> None:
        """All parts of this batch are to go, but for about `bound` bytes of each output."""
        cursor.execute(DOOM, (batch, bound))
        if cursor.connection.changes():
            self._bounds[batch] = min(bound, self._bounds.get(batch, bound))

    def delete_some(self, cursor: apsw.Cursor) -> None:
        """Delete some parts of one of them."""
        batch, bound = next(iter(self._bounds.items()))
        places = (batch, DELETE_ROWS, bound // 2)
        rows = cursor.execute(TRIMMED_PARTS, places) if bound else cursor.execute(DOOMED_PARTS, places[:2])
        parts: list[Any] = rows.fetchall()
        size = 0
        for row, length in parts:
            if size >= DELETE_BYTES:
                return
            cursor.execute("DELETE FROM output WHERE rowid = ?", (row,))
            size += length
        if len(parts) < DELETE_ROWS:
            cursor.execute("DELETE FROM doomed_output WHERE batch = ?", (batch,))
            del self._bounds[batch]
