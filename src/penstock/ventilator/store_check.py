"""All of the queue file is read, for `penstock check`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from penstock.station.checked_rows import is_whole
from penstock.station.store_check import Fault, StoreCheck
from penstock.ventilator.store import QueueStore
from penstock.ventilator.store_statements import BATCH, CHUNK, DELETED, DIGEST, FUNCTION, META

UNSOUND_BATCHES = f"SELECT {BATCH.is_sound}, number FROM batch WHERE NOT {BATCH.is_sound}"
UNSOUND_CHUNKS = f"SELECT batch, first FROM chunk WHERE NOT {CHUNK.is_sound}"
PAYLOADS = """
    SELECT chunk.batch, first, chunk.size, chunk.crc, payload.crc, bytes
    FROM chunk LEFT JOIN payload ON payload.number = chunk.payload"""
FUNCTIONS = f"SELECT {FUNCTION.is_sound}, digest, crc, code FROM function"
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
            for number, first, size, crc, own, content in self._rows(PAYLOADS):
                if own != crc or not is_whole(crc, content) or len(content) != size:
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
        for table in (DIGEST, DELETED):
            yield from self._of_table(table)

    def _mend_batches(self) -> None:
        self._queue.batches()

    def _mend_chunks(self) -> None:
        for batch in self._queue.batches():
            self._queue.kept(batch.batch, 0, batch.accepted)
        self._run(f"DELETE FROM chunk WHERE NOT {CHUNK.is_sound}")

    def _drop_chunk(self, number: int, first: int) -> None:
        self._run("DELETE FROM chunk WHERE batch = ? AND first = ?", (number, first))
        self._run(META.change(compare="1"))
