"""A line of the sink's log as a row of its table."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from penstock.sink.contract import SaveRow
from penstock.station.checked_rows import checksum
from penstock.wire.records import OutcomeHead

ATTEMPT, FINAL, OPENING = range(3)
"""Kinds of lines."""

_encode = msgspec.msgpack.Encoder().encode


def piece(head: OutcomeHead, start: int, stop: int, *, whole: bool) -> OutcomeHead:
    """A part of a final line; if not `whole`, only that it was there."""
    elapsed = head.elapsed * (stop - start) / (head.stop - head.start)
    part = replace(head, start=start, stop=stop, offset=head.offset + start - head.start, elapsed=elapsed)
    return part if whole else replace(part, final=False, size=0, note=None)


def line_row(row: SaveRow) -> tuple[Any, ...]:
    """The columns of a line, as ADD_LINE takes them."""
    head = _encode(row.head)
    return (
        row.seq,
        row.head.batch,
        row.head.start,
        row.head.stop,
        FINAL if row.head.final else OPENING if row.head.stamp.opens else ATTEMPT,
        row.worker,
        row.chain,
        checksum(head, row.body),
        head,
        row.body,
    )
