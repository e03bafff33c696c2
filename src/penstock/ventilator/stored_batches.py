"""What the core asks for out of the queue file, and what must be read before a message comes to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, assert_never

from penstock.ventilator.contract import DamageFound, StoredBatch
from penstock.ventilator.ended_batches import Absent
from penstock.ventilator.reads import (
    BatchesFound,
    BatchesLoaded,
    ChunkLoaded,
    ChunksLoaded,
    ExpiredLoaded,
    FindBatches,
    KeptLoaded,
    Load,
    LoadChunk,
    LoadChunks,
    LoadExpired,
    LoadKept,
    LoadNextKept,
    NextKeptLoaded,
)
from penstock.ventilator.store import QueueStore
from penstock.wire.desk_messages import AskBatches, AskFiltered


class StoredBatches:
    """Of this store; `absent` says what is to be read before an input."""

    def __init__(self, store: QueueStore, absent: Callable[[Any], Absent]) -> None:
        self._store = store
        self._absent = absent

    def before(self, event: Any) -> Iterator[Any]:
        """The batches that this input names, before it. Raises StoreError."""
        ids, words = self._absent(event)
        if ids or words:
            if found := self._store.batch_rows.named(ids, words):
                yield BatchesLoaded(tuple(found))
            yield from self.damage()
        yield event

    def damage(self) -> Iterator[DamageFound]:
        """What was found damaged since the last call."""
        if found := self._store.take_found():
            yield DamageFound(tuple(found), self._store.must_compare)

    def load(self, asked: Load) -> tuple[Any, ...]:
        """What it brings back. Raises StoreError."""
        store = self._store
        match asked:
            case LoadChunks(batch, first, limit):
                return (ChunksLoaded(batch, limit, store.open_chunks(batch, first, limit)),)
            case LoadChunk(batch, index):
                return (ChunkLoaded(batch, index, store.open_chunk_at(batch, index)),)
            case LoadKept(batch, start, stop):
                return (KeptLoaded(batch, start, stop, store.kept(batch, start, stop)),)
            case FindBatches():
                return (BatchesFound(asked, tuple(self._find(asked))),)
            case LoadExpired(until, limit):
                return (ExpiredLoaded(limit, tuple(store.batch_rows.expired(until, limit))),)
            case LoadNextKept(after):
                if (found := store.batch_rows.next(after)) is None:
                    return (NextKeptLoaded(after, None),)
                chunks = store.kept(found.batch, 0, found.accepted)
                kept = KeptLoaded(found.batch, 0, found.accepted, chunks)
                return (BatchesLoaded((found,)), NextKeptLoaded(after, kept))
            case _:
                assert_never(asked)

    def _find(self, asked: FindBatches) -> list[StoredBatch]:
        match asked.ask:
            case AskBatches(match=match, limit=limit):
                return self._store.batch_rows.found(match, limit)
            case AskFiltered(batch=newest):
                return self._store.batch_rows.from_newest(newest, asked.limit, asked.ids)
            case _:
                assert_never(asked.ask)
