"""What users change of batches that are here: whether jobs of them may start, in which order, and how many at once.

Promises:

1. A change is answered when it is saved, and outlasts restarts. Said twice, it is made once.
2. What runs goes on. What workers have not started is asked back and given out anew, by the new priority and limit.
3. Who has paused something first, and when, stays known until it is resumed.
"""

from __future__ import annotations

from msgspec.structs import replace

from penstock.keys.roles import Peer
from penstock.station.contract import Answer
from penstock.ventilator.contract import NOT_PAUSED, PipelinePause
from penstock.ventilator.ledger import Ledger
from penstock.ventilator.start_conditions import StartConditions
from penstock.wire.desk_messages import Done, Pause, SetBatch, no_such_batch


class BatchChanges:
    """Carries them out."""

    def __init__(self, ledger: Ledger, start_conditions: StartConditions) -> None:
        self._ledger = ledger
        self._start_conditions = start_conditions

    def on_pause(self, client: bytes, sender: Peer, order: Pause, now: float) -> None:
        """A batch, or the whole pipeline, is to start nothing, or to go on."""
        wall_time = max(0.0, now + self._ledger.wall_clock.offset)
        pause = NOT_PAUSED if order.resumes else PipelinePause(wall_time, sender.name)
        if not order.batch:
            self._start_conditions.set_pause(pause, now)
        elif (batch := self._ledger.backlog.batches.get(order.batch)) is None or batch.gone:
            self._ledger.turn.say(Answer(client, no_such_batch(order.number, order.batch)))
            return
        else:
            self._start_conditions.set_batch_pause(batch, pause, now)
        self._ledger.turn.say_last(Answer(client, Done(order.number)))

    def on_set(self, client: bytes, order: SetBatch, now: float) -> None:
        """A batch has another priority or limit from now on. A limit is its own then: it has no part any more in one
        that it shared."""
        batch = self._ledger.backlog.batches.get(order.batch)
        if batch is None or batch.gone:
            self._ledger.turn.say(Answer(client, no_such_batch(order.number, order.batch)))
            return
        spec = batch.spec
        if order.priority is not None:
            spec = replace(spec, priority=order.priority)
        if order.limit is not None:
            spec = replace(spec, limit=order.limit, limit_group=b"")
        if spec != batch.spec:
            self._ledger.set_spec(batch, spec)
            self._start_conditions.give_anew(batch, now)
        self._ledger.turn.say_last(Answer(client, Done(order.number)))
