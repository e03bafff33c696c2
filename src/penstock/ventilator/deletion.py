"""Batches go: read to their end, deleted, kept for long enough, or left by the client that read them.

Promises:

1. A batch is deleted when all of it has ended; what of it is open is cancelled first.
2. The sink is told to forget it until it says that it has.
3. Whoever asked for a deletion is answered when the batch is gone.
4. A map is cancelled when its client's connection has been away for `transient_time`: what its program does meanwhile,
   and what this process itself slept, counts for nothing.
5. Whoever asks for a batch that is not here is told so, and why, as far as that is known, once the sink has
   answered.
6. What the wall clock is set to deletes nothing (clock_steps.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice

from penstock.station.contract import Answer, DeleteBatch
from penstock.ventilator.contract import ClientSought, SaveClockSet, SaveForgotten, SeekClient
from penstock.ventilator.intake import Intake
from penstock.ventilator.jobs_model import Batch
from penstock.ventilator.ledger import Ledger
from penstock.ventilator.reads import LoadExpired
from penstock.ventilator.start_conditions import StartConditions
from penstock.wire.bounds import TRANSIENT_TIME
from penstock.wire.desk_messages import Alive, AskGone, Delete, Done, Gone, GoneLine, Submit, no_such_batch
from penstock.wire.messages import ForgetBatch

EXPIRE_INTERVAL = 1.0
"""Seconds between two looks for maps without a client: thousands of batches may be kept, and a turn is short."""
SEEK_SHARE = 12
"""A client that says nothing is looked for in so-manieths of the time after which its maps are cancelled: that is
reckoned from when its connection was seen last."""
UNKNOWN = ("NoSuchBatch", "it was deleted, or never came to this pipeline")
"""Of a batch that was deleted long ago, or in a former life."""
RETIRED_AT_ONCE = 100
"""Batches that are deleted for their age in one turn."""
FORGET_AT_ONCE = 100
"""Deleted batches that a sink is told of at once: it has them gone before it is told again."""


class Deletion:
    """Deletes batches. `forgotten` are those of a former life that the sink may still have, `transient_time` the
    seconds after which a map without a sign of its client is left."""

    def __init__(
        self,
        ledger: Ledger,
        start_conditions: StartConditions,
        intake: Intake,
        now: float,
        forgotten: Iterable[bytes] = (),
        transient_time: float = TRANSIENT_TIME,
    ) -> None:
        self._ledger = ledger
        self._start_conditions = start_conditions
        self._intake = intake
        self._transient_time = transient_time
        self._unconfirmed = dict.fromkeys(forgotten)
        """Deleted batches that the sink may still have."""
        self._leaving: dict[bytes, Batch] = {}
        """Batches that go as soon as they have ended."""
        self._expired_at = -math.inf
        self._deletions: dict[bytes, list[tuple[bytes, int]]] = {}
        """Who, under which number, waits for a batch to be gone."""
        batches = ledger.backlog.batches.values()
        self._clients = {batch.id: (b"", now) for batch in batches if batch.spec.transient}
        """Of each transient batch: the connection that spoke of it last, and when that was known to be up."""
        self._sought: dict[bytes, list[bytes]] = {}
        """Connections that are looked for, and the batches they are of."""

    def on_forget(self, batch_id: bytes, kind: str = "NoSuchBatch", why: str = "it was deleted") -> None:
        """Delete the batch when all of it has ended; what has not is cancelled. Whoever waits for it is told `why`, by
        an error of this kind."""
        batch = self._ledger.backlog.batches.get(batch_id)
        if batch is None:
            return
        batch.gone = batch.gone or (kind, why)
        self._leaving[batch.id] = batch
        if batch.total is None:
            self._ledger.close(batch, batch.accepted)
        self._intake.cancel(batch, 0, batch.accepted)

    def on_delete(self, client: bytes, delete: Delete) -> None:
        """As `on_forget`, with an answer when it is gone."""
        if delete.batch in self._intake.forgotten:
            self._ledger.turn.say(Answer(client, Done(delete.number)))
        elif delete.batch not in self._ledger.backlog.batches:
            self._ledger.turn.say(Answer(client, no_such_batch(delete.number, delete.batch)))
        else:
            self._deletions.setdefault(delete.batch, []).append((client, delete.number))
            self.on_forget(delete.batch)

    def on_forgotten(self, batch: bytes) -> None:
        """The sink has nothing of it any more."""
        if batch in self._unconfirmed:
            del self._unconfirmed[batch]
            self._ledger.turn.say(SaveForgotten(batch))

    def forget_again(self, sink: bytes) -> None:
        """Tell the sink what it may still have."""
        for batch in islice(self._unconfirmed, FORGET_AT_ONCE):
            self._ledger.turn.tell(sink, ForgetBatch(batch))

    def sweep(self, sink: bytes | None) -> None:
        """Delete the batches that nobody will ask for again."""
        done = [batch for batch in self._leaving.values() if batch.ended]
        for batch in [batch for batch in done if not self._start_conditions.keeps(batch)]:
            del self._leaving[batch.id]
            self._ledger.turn.forget(batch)
            self._ledger.turn.say(DeleteBatch(batch.id, *([batch.gone] if batch.gone else [])))
            if sink is not None:
                self._ledger.turn.tell(sink, ForgetBatch(batch.id))
            self._ledger.backlog.remove_batch(batch)
            self._start_conditions.leave(batch)
            self._intake.drop(batch)
            self._clients.pop(batch.id, None)
            self._unconfirmed[batch.id] = None
            for client, number in self._deletions.pop(batch.id, []):
                self._ledger.turn.say_last(Answer(client, Done(number)))

    def on_ask_gone(self, client: bytes, ask: AskGone) -> None:
        """Which are not here, or not for long. Until the sink has answered this may be a wrong or an older file: then
        nothing is said of what it does not know, and that is asked again."""
        known = self._ledger.backlog.batches.keys() | self._intake.forgotten.keys()
        if not self._ledger.is_confirmed and not known.issuperset(ask.batches):
            return
        gone: list[GoneLine] = []
        for batch_id in ask.batches:
            batch = self._ledger.backlog.batches.get(batch_id)
            why = self._intake.forgotten.get(batch_id) if batch is None else batch.gone
            if batch is None or why is not None:
                kind, text = why or UNKNOWN
                gone.append(GoneLine(batch_id, kind, f"batch {batch_id.hex()} is gone: {text}"))
        self._ledger.turn.say(Answer(client, Gone(ask.number, tuple(gone))))

    # ------------------------------------------------------------------------------------------ maps

    def on_submit(self, client: bytes, submit: Submit, now: float) -> None:
        """Who brought a map reads it."""
        for opened in submit.opens:
            if opened.spec.transient and opened.batch in self._ledger.backlog.batches:
                self._clients[opened.batch] = (client, now)

    def on_alive(self, client: bytes, alive: Alive, now: float) -> None:
        """A client says which batches it still reads."""
        for batch_id in alive.batches:
            if batch_id in self._clients:
                self._clients[batch_id] = (client, now)

    def on_client_sought(self, sought: ClientSought, now: float) -> None:
        """A connection is up, whatever its program does; or it is not."""
        for batch_id in self._sought.pop(sought.client, []):
            client, _ = self._clients.get(batch_id, (b"", now))
            if sought.found and client == sought.client:
                self._clients[batch_id] = (client, now)

    def forgive(self, pause: float, now: float) -> None:
        """This process stood still for so long, and saw nobody."""
        self._clients = {one: (client, min(now, at + pause)) for one, (client, at) in self._clients.items()}

    def expire(self, now: float) -> None:
        """Look for the clients that say nothing, and cancel the maps whose client is gone."""
        if now < self._expired_at + EXPIRE_INTERVAL:
            return
        self._expired_at = now
        for batch_id, (client, at) in self._clients.items():
            batch = self._ledger.backlog.batches[batch_id]
            if batch.gone is not None:
                continue
            if now > at + self._transient_time:
                self._ledger.turn.log("map_abandoned", batch=batch_id.hex(), jobs=batch.accepted - batch.done)
                why = f"it was cancelled, for its client was out of reach for {self._transient_time:g} s"
                self.on_forget(batch_id, "JobCancelled", why)
            elif now > at + self._transient_time / SEEK_SHARE and client:
                self._sought.setdefault(client, []).append(batch_id)
        for client in self._sought:
            self._ledger.turn.say(SeekClient(client))

    def on_wall_clock(self, wall_time: float, now: float) -> None:
        """If it was set: what has ended in this life is dated anew, as the next life has that date alone."""
        clock = self._ledger.wall_clock
        before = clock.setting
        if step := clock.follow(wall_time - now, now):
            self._ledger.turn.log("clock_set", seconds=round(step))
            self._ledger.turn.say(SaveClockSet(step, before, clock.setting))

    def retire(self, now: float) -> None:
        """Look for batches whose results were kept for long enough, and forget the maps among them."""
        if self._ledger.wall_clock.is_steady(now):
            self._ledger.turn.say(LoadExpired(now + self._ledger.wall_clock.offset, RETIRED_AT_ONCE))
        for batch_id in self._clients:
            batch = self._ledger.backlog.batches[batch_id]
            if batch.ended_at is not None and not batch.gone and now > batch.ended_at + batch.spec.retain:
                self.expire_results(batch)

    def expire_results(self, batch: Batch) -> None:
        """It was kept for long enough."""
        self._ledger.turn.log("results_expired", batch=batch.id.hex(), jobs=batch.done)
        self.on_forget(batch.id, why="its results were kept for as long as they were to be")
