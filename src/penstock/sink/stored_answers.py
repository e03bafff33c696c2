"""Answers to clients that come out of the results file."""

from __future__ import annotations

from typing import assert_never

from penstock.sink.contract import ReadFailures, ReadFiltered, ReadFromStore, ReadOutput, ReadSpan
from penstock.sink.filtered_lines import filtered
from penstock.sink.store import ResultStore
from penstock.wire.messages import Failures, Fetched, FetchedOutput
from penstock.wire.records import Bytes, Message


def stored_answer(store: ResultStore, asked: ReadFromStore) -> tuple[Message, Bytes]:
    """What this store has, and its payload. Raises DamagedRow."""
    match asked:
        case ReadOutput(_, number, batch, index, is_error, position):
            start, data = store.output_at(batch, index, int(is_error), position)
            return FetchedOutput(number, start, len(data)), data
        case ReadFailures(_, number, batch, after):
            return Failures(number, *store.failures(batch, after)), b""
        case ReadSpan(_, number, batch, start, stop, cursor):
            records, payload, rest = store.rows_in(batch, start, stop, cursor)
            return Fetched(number, records, rest), payload
        case ReadFiltered(_, ask, wanted):
            return filtered(store, ask, wanted), b""
        case _:
            assert_never(asked)
