"""All of the queue file is read, for `penstock check`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from penstock.station.checked_rows import CheckedTable, is_whole
from penstock.station.store_check import Fault, StoreCheck
from penstock.station.store_file import DAMAGE
from penstock.station.store_salvage import BrokenFile, take_over
from penstock.ventilator.store import PRUNE_COST, QueueStore
from penstock.ventilator.store_statements import (
    BATCH,
    CHUNK,
    DELETED,
    DIGEST,
    DOOMED,
    EVENT,
    FORGOTTEN,
    FUNCTION,
    META,
    OWN,
)

UNSOUND_BATCHES = f"SELECT {BATCH.is_sound}, number FROM batch WHERE NOT {BATCH.is_sound}"
UNSOUND_CHUNKS = f"SELECT batch, first FROM chunk WHERE NOT {CHUNK.is_sound}"
PAYLOADS = f"""
    SELECT chunk.batch, first, chunk.crc = {OWN}, payload.crc, bytes
    FROM chunk LEFT JOIN payload ON payload.number = chunk.payload"""
FUNCTIONS = f"SELECT {FUNCTION.is_sound}, digest, crc, code FROM function"
UNKNOWN_CHUNKS = "FROM chunk WHERE batch NOT IN (SELECT number FROM batch UNION SELECT number FROM doomed)"
KEPT_BYTES = f"SELECT coalesce(sum(size + {PRUNE_COST}), 0) FROM chunk WHERE finished IS NOT NULL"
TABLES: tuple[tuple[CheckedTable | str, str], ...] = (
    (BATCH, "rowid"),
    (FUNCTION, "rowid"),
    (CHUNK, "batch, first"),
    ("payload", "rowid"),
    (DIGEST, "batch, first"),
    (DOOMED, "rowid"),
    (FORGOTTEN, "rowid"),
    (DELETED, "rowid"),
    (EVENT, "rowid"),
    (DAMAGE, "rowid"),
)
ORPHANS = "FROM payload WHERE number NOT IN (SELECT payload FROM chunk)"


class QueueCheck(StoreCheck):
    """Of this store."""

    def __init__(self, store: QueueStore) -> None:
        super().__init__(store)
        self._queue = store

    def faults(self) -> Iterator[Fault]:
        """In the order in which they are to be mended: a chunk is looked at by what its batch says."""
        with self.store.guard():
            if self._rows(UNSOUND_BATCHES).fetchall():
                yield Fault("options of batches: what of these is not recorded is dead", self._mend_batches)
            if self._rows(UNSOUND_CHUNKS).fetchall():
                yield Fault("chunks of jobs: they are compared with the sink's log", self._mend_chunks)
            for number, first, is_own, crc, content in self._rows(PAYLOADS):
                if not is_own or not is_whole(crc, content):
                    what = (
                        f"the arguments of chunk {first} of batch number {number}: its jobs are dead, unless recorded"
                    )
                    yield Fault(what, partial(self._drop_chunk, number, first))
            for is_sound, digest, crc, code in self._rows(FUNCTIONS):
                if not is_sound or not is_whole(crc, code):
                    what = f"function {digest.hex()}: jobs that need it are dead"
                    yield Fault(what, partial(self._run, "DELETE FROM function WHERE digest = ?", (digest,)))
            if count := self.store.value(f"SELECT count(*) {ORPHANS}"):
                yield Fault(f"{count} arguments of no chunk: taken out", partial(self._run, f"DELETE {ORPHANS}"))
        for table in (DIGEST, DELETED, EVENT):
            yield from self._of_table(table)

    def _mend_batches(self) -> None:
        self._queue.batches()

    def _mend_chunks(self) -> None:
        for batch in self._queue.batches():
            self._queue.kept(batch.batch, 0, batch.accepted)
        self._run(f"DELETE FROM chunk WHERE NOT {CHUNK.is_sound}")

    def _drop_chunk(self, number: int, first: int) -> None:
        payload = "DELETE FROM payload WHERE number = (SELECT payload FROM chunk WHERE batch = ? AND first = ?)"
        self._run(payload, (number, first))
        self._run("DELETE FROM chunk WHERE batch = ? AND first = ?", (number, first))
        self._run(META.change(compare="1"))


def rebuild(folder: Path) -> list[str]:
    """Put a queue.db that cannot be opened together anew; what is lost. Raises StoreError: nothing can be read."""
    broken = BrokenFile(folder, "queue.db", META)
    try:
        return broken.replace(partial(QueueStore, durable=False), _fill)
    finally:
        broken.close()


def _fill(store: QueueStore, broken: BrokenFile) -> list[str]:
    said: list[str] = []
    for table, key in TABLES:
        take_over(store, broken, table, key)
    known = broken.meta()
    if known is None:
        said.append("what the file said of itself is lost: start its ventilator with --accept-older")
        known = {
            "life": int(time.time()),
            "applied": 0,
            "chain": b"",
            "pipeline": store.pipeline,
            "paired": 0,
            "accepted": 0,
            "paused_time": None,
            "paused_by": "",
        }
    with store.transaction() as cursor:
        names = ("life", "applied", "chain", "pipeline", "paired", "accepted", "paused_time", "paused_by")
        values = tuple(known[name] for name in names)
        changes = {name: f"?{number}" for number, name in enumerate(names, 1)}
        cursor.execute(META.write(compare="1", kept_bytes=f"({KEPT_BYTES})", **changes), values)
        lost: Any = cursor.execute(f"SELECT count(*) {UNKNOWN_CHUNKS}").fetchone()
        cursor.execute(f"DELETE {UNKNOWN_CHUNKS}")
    if lost[0]:
        said.append(f"{lost[0]} chunks of batches of which nothing is left: their jobs are lost")
    return said
