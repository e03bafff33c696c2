"""Batches go: read to their end, deleted, kept for long enough, or left by the client that read them.

Promises:

1. A batch is deleted when all of it has ended; what of it is open is cancelled first.
2. The sink is told to forget it until it says that it has.
3. Whoever asked for a deletion is answered when the batch is gone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice

from penstock.config import TRANSIENT_TIME
from penstock.core.actions import Answer, DeleteBatch, SaveEnded, SaveForgotten, SaveTotal
from penstock.core.backlog import Batch
from penstock.core.books import Books
from penstock.core.gates import Gates
from penstock.core.intake import Intake
from penstock.messages import Alive, Delete, Done, Forget, ForgetBatch, Refused

EXPIRE_INTERVAL = 1.0
"""Seconds between two looks for maps without a client: thousands of batches may be kept, and a turn is short."""
FORGET_AT_ONCE = 100
"""Deleted batches that a sink is told of at once: it has them gone before it is told again."""


class Removal:
    """Deletes batches. `forgotten` are those of a former life that the sink may still have, `transient_time` the
    seconds after which a map without a sign of its client is left."""

    def __init__(
        self,
        books: Books,
        gates: Gates,
        intake: Intake,
        forgotten: Iterable[bytes] = (),
        transient_time: float = TRANSIENT_TIME,
    ) -> None:
        self._books = books
        self._gates = gates
        self._intake = intake
        self._transient_time = transient_time
        self._unconfirmed = dict.fromkeys(forgotten)
        """Deleted batches that the sink may still have."""
        self._leaving: dict[bytes, Batch] = {}
        """Batches that go as soon as they have ended."""
        self._expired_at = -math.inf
        self._deletions: dict[bytes, list[tuple[bytes, int]]] = {}
        """Who, under which number, waits for a batch to be gone."""

    def on_forget(self, forget: Forget) -> None:
        """Delete the batch when all of it has ended; what has not is cancelled."""
        batch = self._books.backlog.batches.get(forget.batch)
        if batch is None:
            return
        batch.forget = True
        self._leaving[batch.id] = batch
        if batch.total is None:
            batch.total = batch.accepted
            self._books.say(SaveTotal(batch.id, batch.total))
        self._intake.cancel(batch, 0, batch.accepted)

    def on_delete(self, client: bytes, delete: Delete) -> None:
        """As `on_forget`, with an answer when it is gone."""
        if delete.batch in self._intake.forgotten:
            self._books.say(Answer(client, Done(delete.number)))
        elif delete.batch not in self._books.backlog.batches:
            text = f"no batch {delete.batch.hex()}"
            self._books.say(Answer(client, Refused(delete.number, "NoSuchBatch", text)))
        else:
            self._deletions.setdefault(delete.batch, []).append((client, delete.number))
            self.on_forget(Forget(delete.batch))

    def on_forgotten(self, batch: bytes) -> None:
        """The sink has nothing of it any more."""
        if batch in self._unconfirmed:
            del self._unconfirmed[batch]
            self._books.say(SaveForgotten(batch))

    def forget_again(self, sink: bytes) -> None:
        """Tell the sink what it may still have."""
        for batch in islice(self._unconfirmed, FORGET_AT_ONCE):
            self._books.tell(sink, ForgetBatch(batch))

    def sweep(self, sink: bytes | None) -> None:
        """Delete the batches that nobody will ask for again."""
        done = [batch for batch in self._leaving.values() if batch.ended]
        for batch in [batch for batch in done if not self._gates.keeps(batch)]:
            del self._leaving[batch.id]
            self._books.forget_changes(batch)
            self._books.say(DeleteBatch(batch.id))
            if sink is not None:
                self._books.tell(sink, ForgetBatch(batch.id))
            self._books.backlog.remove_batch(batch)
            self._intake.drop(batch)
            self._unconfirmed[batch.id] = None
            for client, number in self._deletions.pop(batch.id, []):
                self._books.say_last(Answer(client, Done(number)))

    def on_alive(self, alive: Alive, now: float) -> None:
        """Their client still reads them."""
        for batch_id in alive.batches:
            batch = self._books.backlog.batches.get(batch_id)
            if batch is not None:
                batch.alive_at = now

    def expire(self, now: float) -> None:
        """Cancel the maps whose client is gone."""
        if now < self._expired_at + EXPIRE_INTERVAL:
            return
        self._expired_at = now
        for batch in list(self._books.backlog.batches.values()):
            if batch.spec.transient and not batch.forget and now > batch.alive_at + self._transient_time:
                self._books.log("map_abandoned", batch=batch.id.hex(), jobs=batch.accepted - batch.done)
                self.on_forget(Forget(batch.id))

    def retire(self, wall_time: float) -> None:
        """Forget the batches whose results were kept for long enough."""
        for batch in list(self._books.backlog.batches.values()):
            if batch.ended is (batch.ended_time is None):
                batch.ended_time = wall_time if batch.ended else None
                self._books.say(SaveEnded(batch.id, batch.ended_time))
            elif batch.ended_time is not None and wall_time > batch.ended_time + batch.spec.retain and not batch.forget:
                self._books.log("results_expired", batch=batch.id.hex(), jobs=batch.done)
                self.on_forget(Forget(batch.id))
