"""Batches that have ended lie in the queue file alone; memory has what is open.

Promises:

1. When a batch has ended, the file says so in the same commit; when it is open again, too.
2. It leaves the memory in the first turn after that in which nothing of it changes and nobody waits for it. So what
   is in the file, and not in memory, is committed, always.
3. A batch that a message names is here when the message comes: the process has read it before (`absent`).
4. A map stays in memory for as long as its client may come back to it: the file never says that it has ended.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from penstock.station.contract import FromClient
from penstock.ventilator.contract import SaveEnded, StoredBatch
from penstock.ventilator.intake import Intake
from penstock.ventilator.jobs_model import Batch
from penstock.ventilator.ledger import Ledger
from penstock.ventilator.reads import BatchesLoaded
from penstock.ventilator.start_conditions import StartConditions
from penstock.ventilator.user_retry import Retries
from penstock.wire.desk_messages import AskGone, Submit
from penstock.wire.messages import Hello


class Absent(NamedTuple):
    """Batches that are named, and are not in memory: by id, or by the word under which they were accepted once."""

    ids: set[bytes]
    words: set[str]


class EndedBatches:
    """Lets them come and go."""

    def __init__(self, ledger: Ledger, intake: Intake, start_conditions: StartConditions, retries: Retries) -> None:
        self._ledger = ledger
        self._intake = intake
        self._start_conditions = start_conditions
        self._retries = retries
        self._new: dict[bytes, Batch] = dict(ledger.backlog.batches)
        """That came into memory since the last tick."""
        self._leaving: dict[bytes, Batch] = {}
        """That had ended by then."""

    def absent(self, event: Any) -> Absent:
        """What is to be read before this is handled. A batch that was deleted in this life may still be in the file
        for a moment."""
        ids, words = _named(event)
        here, forgotten = self._ledger.backlog.batches, self._intake.forgotten
        return Absent(
            {batch for batch in ids if batch not in here and batch not in forgotten},
            {word for word in words if word not in self._intake.words},
        )

    def on_loaded(self, loaded: BatchesLoaded, now: float) -> None:
        """They are named by what comes next."""
        for stored in loaded.batches:
            self.take_in(stored, now)

    def take_in(self, stored: StoredBatch, now: float) -> Batch:
        """The batch as it is in memory; it comes there if it is not."""
        if (known := self._ledger.backlog.batches.get(stored.batch)) is not None:
            return known
        batch = self._new[stored.batch] = self._ledger.backlog.add_batch(stored)
        self._intake.remember_word(batch)
        self._start_conditions.watch(batch, now)
        return batch

    def tick(self, now: float) -> None:
        """Close the turn, when nothing of a batch changes any more."""
        changed = self._new | self._ledger.turn.counted
        for batch in changed.values():
            self._date(batch, now)
        leaving = {key: batch for key, batch in self._leaving.items() if key not in changed}
        awaited = self._retries.batches if leaving else set()
        for key, batch in leaving.items():
            if self._ledger.backlog.batches.get(key) is not batch:
                del self._leaving[key]
            elif not batch.gone and not self._start_conditions.keeps(batch) and key not in awaited:
                del self._leaving[key]
                self._leave(batch)
        self._new = {}

    def _date(self, batch: Batch, now: float) -> None:
        ended, batch_id = batch.ended, batch.id
        if self._ledger.backlog.batches.get(batch_id) is not batch:
            return
        if batch.spec.transient:
            batch.ended_at = (now if batch.ended_at is None else batch.ended_at) if ended else None
            return
        if ended is not batch.is_dated:
            clock = self._ledger.wall_clock
            ended_time = now + clock.offset if ended else None
            self._ledger.turn.say(SaveEnded(batch_id, ended_time, batch.spec.retain, clock.setting))
            batch.is_dated = ended
            if ended:
                counts = {str(state): jobs for state, jobs in batch.counts.items() if jobs}
                self._ledger.turn.keep("ended", batch_id, name=batch.spec.name, **counts)
        if ended:
            self._leaving[batch_id] = batch
        else:
            self._leaving.pop(batch_id, None)

    def _leave(self, batch: Batch) -> None:
        self._ledger.backlog.remove_batch(batch)
        self._intake.forget_word(batch)
        self._start_conditions.leave(batch)


def _named(event: Any) -> tuple[Collection[bytes], Collection[str]]:
    if isinstance(event, Hello):
        return {held.batch for held in event.held}, set()
    match event.message if isinstance(event, FromClient) else None:
        case Submit() as message:
            ids = {one.batch for one in message.opens} | {one.spec.after for one in message.opens if one.spec.after}
            ids |= {one.batch for one in message.chunks} | {one.batch for one in message.closes}
            return ids, {one.spec.once for one in message.opens if one.spec.once}
        case AskGone() as message:
            return set(message.batches), set()
        case message:  # of an Alive it is maps, which are here
            batch: bytes = getattr(message, "batch", b"")
            return ({batch} if batch else set()), set()
