"""Recorded rows of some jobs, asked for by their indexes: as many answers as it takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from penstock.client.follow import Row
from penstock.wire.frames import split
from penstock.wire.messages import Fetch, Fetched

if TYPE_CHECKING:
    from penstock.client.session import Session


def fetch_rows(session: Session, batch: bytes, start: int, stop: int) -> Iterator[Row]:
    """All that is recorded of the jobs [start, stop), superseded outcomes and attempts included, cut to them."""
    cursor: tuple[int, int] | None = (0, 0)
    while cursor is not None:
        begin = cursor
        message: Fetched
        message, body = session.fetch(lambda number, begin=begin: Fetch(number, batch, start, stop, begin, parts=True))  # type: ignore[misc]
        bodies = split(body, [head.size for head in message.records])
        for head, part in zip(message.records, bodies, strict=True):
            row = Row(head, head.start, head.stop, head.offset, part, 0, is_charged=False)
            yield row.part(max(start, head.start), min(stop, head.stop))
        cursor = message.cursor
