"""What one turn of the ventilator does, and what it has changed: said once, at its end.

What changed is written down in one transaction with the position in the sink's log that it comes from (`flush`).
"""

from __future__ import annotations

from collections.abc import Iterable

from penstock.job.spec import ID_BYTES
from penstock.station.contract import Action, Actions, Log
from penstock.ventilator.contract import SaveAccepted, SaveApplied, SaveCancelled, SaveCounts, SaveEvent, SaveOpen, Tell
from penstock.ventilator.jobs_model import Batch, Chunk
from penstock.wire.messages import Verdicts
from penstock.wire.records import Message, OutcomeHead

EVENTS = frozenset(
    {
        *("cancel_asked", "delete_asked", "drain_asked", "retried", "retry_asked"),
        *("pause_asked", "resume_asked", "set_asked"),
        *("map_abandoned", "results_expired", "nobody_fits", "not_started"),
        *("worker_joined", "worker_left", "worker_lost", "worker_broken", "worker_healed", "name_taken"),
        *("sink_joined", "sink_diverged", "sink_agreed", "other_version", "damaged", "clock_set", "stood_still"),
    }
)
"""What of the log is kept in the queue file, too. `submitted`, `started`, `ended` and `first_failure` are of batches;
maps have none of these: whoever reads a map is there."""
VERDICTS_PER_MESSAGE = 400
"""Keeps a cancelled batch of many chunks from making one huge message: 40 kB, a third of a second of 1 Mbit/s."""


class Turn:
    """Actions in the order in which they were said, and what is to be saved of batches and chunks."""

    def __init__(self) -> None:
        self.last_event: int = 0
        """The number of the last one that was kept."""
        self._actions: Actions = []
        self._last: Actions = []
        self._verdicts: list[OutcomeHead] = []
        self._chunks: dict[tuple[bytes, int], Chunk] = {}
        self._counts: dict[bytes, Batch] = {}
        self._closed: dict[bytes, Batch] = {}
        self._cancelled: dict[bytes, Batch] = {}
        self._applied: tuple[int, bytes] | None = None
        self._accepted: int | None = None

    def say(self, action: Action) -> None:
        """Add to what this turn does."""
        self._actions.append(action)

    def tell(self, topic: bytes, message: Message) -> None:
        """A message over control."""
        self._actions.append(Tell(topic, message))

    def log(self, event: str, **fields: object) -> None:
        """An event for the log."""
        self._actions.append(Log(event, fields))
        if event in EVENTS:
            batch = str(fields.get("batch", ""))
            if len(batch) == 2 * ID_BYTES:
                self.keep(event, bytes.fromhex(batch), **{name: fields[name] for name in fields if name != "batch"})
            else:  # it is of no batch, or of all of them
                self.keep(event, b"", **fields)

    def keep(self, event: str, batch: bytes, /, **fields: object) -> None:
        """What has happened, numbered: whoever asks for events is told, also after a restart."""
        self.last_event += 1
        told = {name: value if isinstance(value, int | float) else str(value) for name, value in fields.items()}
        self._actions.append(SaveEvent(self.last_event, event, batch, told))

    def say_last(self, action: Action) -> None:
        """Add to what this turn does, behind what slots wait for."""
        self._last.append(action)

    def take(self) -> Actions:
        """All that was said since the last call."""
        actions, self._actions = self._actions, []
        return actions

    def touch(self, chunk: Chunk) -> None:
        """What is open of the chunk changed."""
        self._chunks[chunk.batch.id, chunk.first] = chunk

    def touch_counts(self, batch: Batch) -> None:
        """The jobs of the batch by final state changed."""
        self._counts[batch.id] = batch

    def touch_total(self, batch: Batch) -> None:
        """How many jobs the batch has is known from now on."""
        self._closed[batch.id] = batch

    @property
    def counted(self) -> dict[bytes, Batch]:
        """Batches that may have ended in this turn, or are open again since."""
        return self._counts | self._closed

    def touch_cancelled(self, batch: Batch) -> None:
        """Which jobs of the batch are cancelled changed."""
        self._cancelled[batch.id] = batch

    def mark_accepted(self, accepted: int) -> None:
        """So many chunks were ever accepted."""
        self._accepted = accepted

    def mark_applied(self, seq: int, chain: bytes) -> None:
        """The sink's log is applied up to this line."""
        self._applied = (seq, chain)

    def forget(self, batch: Batch) -> None:
        """The batch is being deleted: nothing of it is to be saved any more."""
        self._chunks = {key: chunk for key, chunk in self._chunks.items() if chunk.batch is not batch}
        self._counts.pop(batch.id, None)
        self._closed.pop(batch.id, None)
        self._cancelled.pop(batch.id, None)

    def flush(self) -> None:
        """Say what must be saved."""
        for chunk in self._chunks.values():
            self.say(SaveOpen(chunk.batch.id, chunk.first, chunk.open_parts(), chunk.ended_parts()))
        for batch in self._counts.values():
            self.say(SaveCounts(batch.id, dict(batch.counts)))
        for batch in self._cancelled.values():
            self.say(SaveCancelled(batch.id, tuple(batch.cancelled)))
        if self._applied is not None:
            self.say(SaveApplied(*self._applied))
        if self._accepted is not None:
            self.say(SaveAccepted(self._accepted))
        self._chunks, self._counts, self._closed, self._cancelled = {}, {}, {}, {}
        self._applied, self._accepted = None, None
        self._actions += self._last
        self._last = []

    def decide(self, head: OutcomeHead) -> None:
        """A verdict of this turn, for the sink."""
        self._verdicts.append(head)

    def send_verdicts(self, sink: bytes, instead: Iterable[OutcomeHead] | None = None) -> None:
        """Tell the sink the verdicts of this turn, or others that have these among them."""
        heads, self._verdicts = self._verdicts if instead is None else list(instead), []
        for at in range(0, len(heads), VERDICTS_PER_MESSAGE):
            self.tell(sink, Verdicts(tuple(heads[at : at + VERDICTS_PER_MESSAGE])))
