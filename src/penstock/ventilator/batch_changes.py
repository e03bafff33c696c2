"""What users change of batches that are here: whether jobs of them may start.

Promises:

1. A change is answered when it is saved, and outlasts restarts. Said twice, it is made once.
2. Who has paused something first, and when, stays known until it is resumed.
"""

from __future__ import annotations

from penstock.keys.roles import Peer
from penstock.station.contract import Answer
from penstock.ventilator.contract import NOT_PAUSED, PipelinePause
from penstock.ventilator.ledger import Ledger
from penstock.ventilator.start_conditions import StartConditions
from penstock.wire.desk_messages import Done, Pause, no_such_batch


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
