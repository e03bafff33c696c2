"""All of the results file is read, for `penstock check`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from penstock.sink.store import ResultStore
from penstock.sink.store_statements import BATCH, LINE, OUTPUT
from penstock.station.checked_rows import is_whole
from penstock.station.store_check import Fault, StoreCheck

LINES = f"SELECT {LINE.is_sound}, seq, crc, head, body FROM line WHERE batch IN (SELECT number FROM batch) ORDER BY seq"
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


def _nothing(_: object) -> None:
    """What was read is not needed."""
