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
from penstock.sink.store_statements import (
    ADD_PART,
    DOOM,
    DOOMED_OUTPUT,
    DOOMED_PARTS,
    LAST_FINAL,
    PART,
    TRIMMED_PARTS,
)
from penstock.station.checked_rows import checksum, is_whole
from penstock.station.store_file import DELETE_BYTES, DELETE_ROWS, StoreFile
from penstock.wire.records import OutcomeHead

_decode_head = msgspec.msgpack.Decoder(OutcomeHead).decode


def add_part(cursor: apsw.Cursor, save: SaveOutput) -> None:
    """Keep a part of an output, unless it is kept already."""
    head, data = save.head, save.body
    place = (head.batch, head.index, head.lease, int(head.is_error), head.position)
    cursor.execute(ADD_PART, (*place, checksum(data), data))


def part_at(store: StoreFile, batch: bytes, index: int, stream: int, position: int) -> tuple[int, bytes]:
    """Some bytes of what a job wrote from `position` on, or from the next byte that is kept, of the run that was
    recorded last, and where they begin; none: there is no more. Raises DamagedRow."""
    final: Any = store.db.execute(LAST_FINAL, (batch, index)).fetchone()
    if final is not None and not final[0]:
        raise store.damaged(f"line {final[1]}", ("line", final[1]))
    lease = _decode_head(final[2]).lease if final is not None else 0
    rows: list[Any] = store.db.execute(PART, (batch, index, lease, stream, position)).fetchall()
    for is_sound, rowid, start, crc, data in rows:
        if not is_sound or not is_whole(crc, data):
            raise store.damaged(f"the output of job {index} at byte {start}", ("output", rowid))
        if start + len(data) > position:
            skipped = max(0, position - start)
            return start + skipped, data[skipped:]
    return position, b""


class DoomedOutputs:
    """Batches of which parts are to go."""

    def __init__(self, db: apsw.Connection) -> None:
        rows: list[Any] = db.execute(
            f"SELECT batch, bound FROM doomed_output WHERE {DOOMED_OUTPUT.is_sound}"
        ).fetchall()
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
