"""Answers to clients that come out of the queue file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from penstock.errors import StoreError
from penstock.station.checked_rows import DamagedRow
from penstock.ventilator.contract import ReadArguments, ReadDigests, ReadEvents
from penstock.ventilator.desk import Desk
from penstock.ventilator.store import QueueStore
from penstock.wire.desk_messages import Arguments, Digests, Events, GivenChunk, Refused
from penstock.wire.frames import join
from penstock.wire.records import SHOWN_BYTES

EVENTS_PER_ANSWER = 1_000


class StoredAnswers:
    """From this store, over this desk."""

    def __init__(self, store: QueueStore, desk: Desk) -> None:
        self._store = store
        self._desk = desk

    def digests(self, asked: ReadDigests) -> None:
        """Of some jobs, as they were submitted."""
        answer: Digests | Refused
        try:
            answer = Digests(asked.number, self._store.digests(asked.batch, asked.start))
        except DamagedRow as damage:
            self._store.note(str(damage))
            answer = Refused(asked.number, "StoreError", str(damage))
        self._desk.answer(asked.client, answer)

    def events(self, asked: ReadEvents) -> None:
        """Those behind the number that is asked for."""
        ask = asked.asked
        rows = self._store.event_rows
        lines = rows.after(ask.after, min(ask.limit, EVENTS_PER_ANSWER))
        self._desk.answer(asked.client, Events(ask.number, rows.last(), lines))

    def arguments(self, asked: ReadArguments) -> None:
        """The function and the chunks, as many as fit; a chunk that is too large or damaged comes without its bytes."""
        code = self._shown(partial(self._store.function, asked.function)) if asked.function else b""
        chunks: list[GivenChunk] = []
        bodies: list[bytes] = []
        left, more = SHOWN_BYTES, asked.stop if asked.more else None
        for one in self._store.kept(asked.batch, asked.start, asked.stop):
            is_shown = one.size <= min(SHOWN_BYTES, asked.each * one.count)
            if is_shown and one.size > left:
                more = max(asked.start, one.first)
                break
            body = self._shown(partial(self._store.chunk, asked.batch, one.first)) if is_shown else b""
            chunks.append(GivenChunk(one.first, one.count, len(body), one.size))
            bodies.append(body)
            left -= len(body)
        answer = Arguments(asked.number, len(code), tuple(chunks), more)
        self._desk.answer(asked.client, answer, join([code, *bodies]))

    def _shown(self, read: Callable[[], bytes]) -> bytes:
        """What is only for people to look at: nothing, where that is too much or is damaged."""
        try:
            found = read()
        except StoreError:
            return b""
        return found if len(found) <= SHOWN_BYTES else b""
