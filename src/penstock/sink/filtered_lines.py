"""Which jobs have ended and fit a filter, read from the sink's log in the order of the jobs.

An answer reads LOOKS lines at most, fewer if they are long, without their values, and says where to go on.
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

LOOKS = 500
"""Lines and spans in one answer: some 6 ms, since several clients may be answered in a turn."""

BYTES_PER_LOOK = 16 << 10
"""Of a line that are read, or searched for one value, in the time of a look: what jobs leave behind can be long."""

_decode_head = msgspec.msgpack.Decoder(OutcomeHead).decode


def filtered(store: ResultStore, ask: FetchFiltered, wanted: Filter) -> FetchedFiltered:
    """The answer. Raises StoreError, and DamagedRow for a line that changed on the disk."""
    number, *at = ask.cursor
    place = at[0], at[1]
    left, found = LOOKS, list[OutcomeHead]()
    while number < len(ask.spans) and left > 0:
        span = ask.spans[number]
        left -= 1
        with store.guard():
            rows: Any = store.db.execute(sql.LINES_IN, (span.batch, span.start, span.stop, *place))
            for is_sound, seq, kind, blob in rows:
                if not is_sound:
                    raise store.damaged(f"line {seq}", ("line", seq))
                head = _decode_head(blob)
                left -= 1 + len(blob) * (1 + wanted.searches) // BYTES_PER_LOOK
                is_meant = kind == FINAL and head.state.value in wanted.states  # most are not, and that is seen first
                if is_meant and wanted.matches(ended_facts(head, span.submitted)):
                    found += _standing(store, head, span, seq)
                if left <= 0 or len(found) >= ask.limit:
                    return FetchedFiltered(ask.number, tuple(found), (number, head.start, seq))
        number, place = number + 1, (0, 0)
    return FetchedFiltered(ask.number, tuple(found), (number, 0, 0) if number < len(ask.spans) else None)


def _standing(store: ResultStore, head: OutcomeHead, span: FilteredSpan, seq: int) -> list[OutcomeHead]:
    """What of a final line is asked for and was not opened again after it: heads without values."""
    openings: Any = store.db.execute(sql.OPENINGS, (head.batch, head.start, head.stop, seq))
    gone = SpanSet(openings)
    note = None if head.note is None else Note(cause=head.note.cause)
    whole = replace(head, size=0, note=note)
    return [
        piece(whole, *part, whole=True) for part in gone.gaps(max(head.start, span.start), min(head.stop, span.stop))
    ]
