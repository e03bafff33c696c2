"""Reads batches out of the queue file. What has ended is there alone: nothing here reads more of it than it gives out,
but for the search by the end of an id, which reads the ids, and the count, which reads an index now and then.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from penstock.job.spec import ID_BYTES
from penstock.ventilator import store_statements as sql
from penstock.ventilator.contract import FUNCTION_DAMAGED, OPTIONS_DAMAGED, StoredBatch
from penstock.ventilator.store_damage import Containment, decode_asked, decode_counts, decode_spans, decode_spec

HEX = re.compile("[0-9a-f]{1,32}")
COUNT_INTERVAL = 60.0
"""Seconds between two counts of what has ended: a million entries of an index take 0.1 s."""
LAST = "last"
"""What names the newest batch."""


class Rows(Protocol):
    """The store, as far as rows are read."""

    def sound(
        self, query: str, values: tuple[Any, ...], contain: Callable[[Containment, list[Any]], None]
    ) -> list[Any]:
        """The rows that it finds, as they were written: damaged ones are contained before."""

    def guard(self) -> AbstractContextManager[None]:
        """Turns errors of what was read into StoreErrors."""

    def note(self, what: str) -> None:
        """Something that cannot be read, said and remembered once."""

    def only_row(self, query: str) -> tuple[Any, ...]:
        """What a query gives that has one row."""


class BatchRows:
    """Of this store. Every method raises StoreError."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._counted_at = -math.inf
        self._ended: tuple[int, float | None] = 0, None

    def all(self) -> list[StoredBatch]:
        """Every batch, oldest first: one index probe each, whatever its size."""
        return self._read(sql.ALL_BATCHES)

    def here(self) -> list[StoredBatch]:
        """What a ventilator begins with: batches that have not ended, maps, and what these wait for."""
        found = self._read(sql.BATCHES_HERE)
        ids = {one.batch for one in found}
        awaited = {one.spec.after for one in found if one.spec.after and not one.spec.after_met}
        return found + self.named(awaited - ids, ())

    def named(self, ids: Iterable[bytes], words: Iterable[str]) -> list[StoredBatch]:
        """Those with these ids, or accepted once under these words, as far as they are here."""
        found = [batch for one in ids for batch in self._read(sql.BATCH_OF_ID, one)]
        return found + [batch for word in words for batch in self._read(sql.BATCH_OF_WORD, word)]

    def found(self, match: str, limit: int) -> list[StoredBatch]:
        """What an AskBatches asks for, the newest first."""
        if match in {"", LAST}:
            return self._between("", min(limit, 1) if match else limit)
        if len(match) == 2 * ID_BYTES and HEX.fullmatch(match) and (exact := self._between(match, limit)):
            return exact
        if named := self._read(sql.BATCH_OF_NAME, match):
            return named[:limit]
        if not HEX.fullmatch(match):
            return []
        return self._between(match, limit) or self._read(sql.BATCHES_THAT_END, match, limit)

    def _between(self, beginning: str, limit: int) -> list[StoredBatch]:
        """The newest whose id begins so."""
        first, last = (bytes.fromhex(beginning.ljust(2 * ID_BYTES, digit)) for digit in "0f")
        return self._read(sql.NEWEST_BATCHES, first, last, limit)

    def from_newest(self, newest: bytes, limit: int, ids: Iterable[bytes]) -> list[StoredBatch]:
        """The newest ones from the id `newest` on, of these ids if there are any, else of all."""
        if wanted := sorted((one for one in set(ids) if one <= newest), reverse=True):
            return self.named(wanted[:limit], ())
        return [] if ids else self._read(sql.NEWEST_BATCHES, bytes(ID_BYTES), newest, limit)

    def expired(self, until: float, limit: int) -> list[StoredBatch]:
        """Those that were to be retained until then, the first ones first."""
        return self._read(sql.BATCHES_EXPIRED, until, limit)

    def next(self, after: bytes) -> StoredBatch | None:
        """The one that follows in the order of ids."""
        return next(iter(self._read(sql.NEXT_BATCH, after)), None)

    def ended(self, now: float) -> tuple[int, float | None]:
        """How many have ended, and when the first one did; counted now and then."""
        if now >= self._counted_at + COUNT_INTERVAL:
            count, first = self._rows.only_row(sql.BATCHES_ENDED)
            self._counted_at, self._ended = now, (count, first)
        return self._ended

    def _read(self, query: str, *values: Any) -> list[StoredBatch]:
        rows = self._rows.sound(query, values, Containment.batches)
        with self._rows.guard():
            found = [_stored_batch(row) for row in rows]
        for batch in found:
            if batch.damaged == FUNCTION_DAMAGED:
                self._rows.note(
                    f"the function of batch {batch.batch.hex()} is not here: what of it is not recorded is dead"
                )
        return found


def _stored_batch(row: Any) -> StoredBatch:
    _, _, damaged, batch, spec, function, created_time, accepted, total, counts, cancelled, *rest = row
    generation, asked, ended_time, size, open_from, started = rest
    return StoredBatch(
        batch=batch,
        spec=decode_spec(spec),
        function=function,
        function_size=size or 0,
        created_time=created_time,
        accepted=accepted,
        total=total,
        counts=decode_counts(counts),
        open_from=open_from,
        cancelled=decode_spans(cancelled),
        generation=generation,
        asked=decode_asked(asked),
        ended_time=ended_time,
        started=bool(started),
        damaged=OPTIONS_DAMAGED if damaged else FUNCTION_DAMAGED if size is None else "",
    )
