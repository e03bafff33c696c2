"""What happened, in the queue file: numbered without a gap, and written in the commit of what it tells of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import msgspec

from penstock.ventilator import store_statements as sql
from penstock.ventilator.contract import SaveEvent
from penstock.wire.desk_messages import EventLine

EVENTS_KEPT = 100_000
"""The newest ones: some 20 MB."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, str | int | float]).decode


class Rows(Protocol):
    """The store, as far as events are read."""

    db: Any

    def guard(self) -> AbstractContextManager[None]:
        """Turns errors of what was read into StoreErrors."""

    def value(self, query: str) -> Any:
        """What a query gives that has one row of one column."""


def saving(save: SaveEvent, now: float) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The statements that add it, unless it is there; the oldest one goes."""
    yield sql.ADD_EVENT, (save.number, now, save.event, save.batch, _encode(save.fields))
    if save.number > EVENTS_KEPT:
        yield sql.DROP_EVENTS, (save.number - EVENTS_KEPT,)


class EventRows:
    """Reads them out of this store. Every method raises StoreError."""

    def __init__(self, store: Rows) -> None:
        self._store = store

    def last(self) -> int:
        """The number of the last one."""
        with self._store.guard():
            return int(self._store.value(sql.LAST_EVENT))

    def after(self, number: int, limit: int) -> tuple[EventLine, ...]:
        """Those behind this number, at most `limit`; a damaged one says that it is."""
        with self._store.guard():
            rows: list[Any] = self._store.db.execute(sql.EVENTS, (number, limit)).fetchall()
            return tuple(_line(*row) for row in rows)


def _line(is_sound: bool, number: int, time: float, event: str, batch: bytes, fields: bytes) -> EventLine:
    if not is_sound:
        return EventLine(number, 0.0, "damaged", b"", {"what": "an event is damaged on disk"})
    return EventLine(number, time, event, batch, _decode(fields))
