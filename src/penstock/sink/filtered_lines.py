"""Which jobs have ended and fit a filter, read from the sink's log in the order of the jobs.

An answer reads LOOKS lines at most, without their values, and says where to go on.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from penstock.job.filters import Filter
from penstock.job.spans import SpanSet
from penstock.sink import store_statements as sql
from penstock.sink.line_rows import FINAL, piece
from penstock.sink.store import ResultStore
from penstock.wire.filter_messages import FetchedFiltered, FetchFiltered, FilteredSpan
from penstock.wire.job_facts import ended_facts
from penstock.wire.records import Note, OutcomeHead

LOOKS = 2_000
"""Lines and spans in one answer: some 10 ms, and with the longest causes 1 MB."""

_decode_head = msgspec.msgpack.Decoder(OutcomeHead).decode


def filtered(store: ResultStore, ask: FetchFiltered, wanted: Filter) -> FetchedFiltered:
    """The answer. Raises StoreError, and DamagedRow for a line that changed on the disk."""
    number, *at = ask.cursor
    place = at[0], at[1]
    left, found = LOOKS, list[OutcomeHead]()
    while number < len(ask.spans):
        span = ask.spans[number]
        left -= 1
        rows = _rows(store, span, place, max(1, left))
        for is_sound, seq, kind, blob in rows:
            if not is_sound:
                raise store.damaged(f"line {seq}", ("line", seq))
            head = _decode_head(blob)
            left, place = left - 1, (head.start, seq)
            if kind == FINAL and wanted.matches(ended_facts(head, span.submitted)):
                found += _standing(store, head, span, seq)
            if left <= 0 or len(found) >= ask.limit:
                return FetchedFiltered(ask.number, tuple(found), (number, *place))
        number, place = number + 1, (0, 0)
        if left <= 0:
            break
    return FetchedFiltered(ask.number, tuple(found), (number, 0, 0) if number < len(ask.spans) else None)


def _rows(store: ResultStore, span: FilteredSpan, place: tuple[int, int], limit: int) -> list[Any]:
    with store.guard():
        return store.db.execute(sql.LINES_IN, (span.batch, span.start, span.stop, *place, limit)).fetchall()


def _standing(store: ResultStore, head: OutcomeHead, span: FilteredSpan, seq: int) -> list[OutcomeHead]:
    """What of a final line is asked for and was not opened again after it: heads without values."""
    gone = SpanSet()
    with store.guard():
        for start, stop in store.db.execute(sql.OPENINGS, (head.batch, head.start, head.stop, seq)):
            gone.add(start, stop)
    note = None if head.note is None else Note(cause=head.note.cause)
    whole = replace(head, size=0, note=note)
    return [
        piece(whole, *part, whole=True) for part in gone.gaps(max(head.start, span.start), min(head.stop, span.stop))
    ]
