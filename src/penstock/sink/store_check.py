"""All of the results file is read, for `penstock check`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from penstock.sink.store import ResultStore
from penstock.sink.store_statements import BATCH, CLAIM, DOOMED, DOOMED_OUTPUT, LINE, META, OUTPUT
from penstock.station.checked_rows import CheckedTable, is_whole
from penstock.station.store_check import Fault, StoreCheck
from penstock.station.store_file import DAMAGE
from penstock.station.store_salvage import BrokenFile, take_over

LINES = f"SELECT {LINE.is_sound}, seq, crc, head, body FROM line WHERE batch IN (SELECT number FROM batch) ORDER BY seq"
TABLES: tuple[tuple[CheckedTable, str], ...] = (
    (BATCH, "rowid"),
    (LINE, "rowid"),
    (CLAIM, "batch, reader"),
    (DOOMED, "rowid"),
    (OUTPUT, "rowid"),
    (DOOMED_OUTPUT, "batch"),
    (DAMAGE, "rowid"),
)
OUTPUTS = f"SELECT {OUTPUT.is_sound}, rowid, crc, data FROM output"
UNSOUND_BATCHES = f"SELECT 1 FROM batch WHERE NOT {BATCH.is_sound}"


class ResultCheck(StoreCheck):
    """Of this store."""

    def __init__(self, store: ResultStore) -> None:
        super().__init__(store)
        self._results = store

    def faults(self) -> Iterator[Fault]:
        """Batches first: which lines are theirs is in them."""
        store = self._results
        with store.guard():
            if self._rows(UNSOUND_BATCHES).fetchall():
                yield Fault(
                    "what is recorded of batches: made anew from their outcomes", lambda: _nothing(store.recorded())
                )
            for is_sound, seq, crc, head, body in self._rows(LINES):
                if not is_sound or not is_whole(crc, head, body):
                    what = f"line {seq} of the log: its jobs run again, or are dead"
                    yield Fault(what, partial(self._contain, "line", seq))
            for is_sound, rowid, crc, data in self._rows(OUTPUTS):
                if not is_sound or not is_whole(crc, data):
                    yield Fault(
                        f"part {rowid} of the output of jobs: left out", partial(self._contain, "output", rowid)
                    )

    def _contain(self, kind: str, number: int) -> None:
        self._results.contain(self.store.damaged(f"{kind} {number}", (kind, number)))


def rebuild(folder: Path) -> list[str]:
    """Put a results.db that cannot be opened together anew; what is lost. Raises StoreError: nothing can be read."""
    broken = BrokenFile(folder, "results.db", META)
    try:
        return broken.replace(partial(ResultStore, durable=False), _fill)
    finally:
        broken.close()


def _fill(store: ResultStore, broken: BrokenFile) -> list[str]:
    for table, key in TABLES:
        take_over(store, broken, table, key)
    known = broken.meta() or {"seq": 0, "chain": b"", "pipeline": b"", "life": 0, "accepted": 0}
    with store.transaction() as cursor:
        names = ("seq", "chain", "pipeline", "life", "accepted")
        changes = {name: f"?{number}" for number, name in enumerate(names, 1)}
        changes["seq"] = "max(?1, (SELECT coalesce(max(seq), 0) FROM line))"
        cursor.execute(META.write(**changes), tuple(known[name] for name in names))
    lines = store.mend_log()
    return [f"the log: {lines} lines are whole; what was recorded in others runs again, or is dead"]


def _nothing(_: object) -> None:
    """What was read is not needed."""
