"""Clients ask where a running job is; its worker is asked, and its answer is passed on.

Promises:

1. Who asks is answered: by the worker, or with the reason why nobody can say.
2. A worker answers what it was asked, and nothing else.
3. What is waited for is bounded, in number and in time.
"""

from __future__ import annotations

from itertools import count
from typing import NamedTuple

from penstock.station.contract import Answer
from penstock.ventilator.jobs_model import Batch, Place
from penstock.ventilator.known_worker import Worker
from penstock.ventilator.ledger import Ledger
from penstock.ventilator.reasons import Reasons
from penstock.wire.desk_messages import AskStack, Stack, no_such_batch
from penstock.wire.messages import StackTaken, TakeStack
from penstock.wire.records import Message

ANSWER_TIME = 4.0
"""Seconds: a worker takes two at most, and a client waits for five."""
WAITING_MAX = 1000
"""Questions at once: more than there are people."""


class Asked(NamedTuple):
    """One that waits for its worker."""

    client: bytes
    number: int
    """of the client's question"""
    worker: bytes
    name: str
    until: float


class StackQuestions:
    """Those that wait."""

    def __init__(self, ledger: Ledger, reasons: Reasons) -> None:
        self._ledger = ledger
        self._reasons = reasons
        self._numbers = count(1)
        self._waiting: dict[int, Asked] = {}
        """By the number of the worker's question; in order of time."""

    def on_ask(self, client: bytes, ask: AskStack, now: float) -> None:
        """A client asks, or asks again."""
        if any((one.client, one.number) == (client, ask.number) for one in self._waiting.values()):
            return
        batch = self._ledger.backlog.batches.get(ask.batch)
        if batch is None:
            self._answer(client, no_such_batch(ask.number, ask.batch))
            return
        worker = self._worker_of(batch, ask.index)
        if worker is None or worker.hello is None:
            reason = self._reasons.why(batch, ask.index, now) or "it has ended, or is none of its jobs"
            self._answer(client, Stack(ask.number, "", reason))
        elif len(self._waiting) >= WAITING_MAX:
            self._answer(client, Stack(ask.number, "", "too many ask for stacks just now: ask again"))
        else:
            number = next(self._numbers)
            name = f"{worker.hello.name} on {worker.hello.host}"
            self._waiting[number] = Asked(client, ask.number, worker.id, name, now + ANSWER_TIME)
            self._ledger.turn.tell(worker.id, TakeStack(number, batch.id, ask.index))

    def on_taken(self, taken: StackTaken) -> None:
        """A worker says where it is."""
        asked = self._waiting.get(taken.number)
        if asked is None or asked.worker != taken.worker:
            return
        del self._waiting[taken.number]
        reason = "" if taken.text else f"it waits for a slot at worker {asked.name}, or has just ended there"
        self._answer(asked.client, Stack(asked.number, taken.text, reason))

    def tick(self, now: float) -> None:
        """Who has waited for long enough is told so."""
        for number, asked in [item for item in self._waiting.items() if item[1].until <= now]:
            del self._waiting[number]
            reason = f"worker {asked.name} has not answered within {ANSWER_TIME:g} s: it hangs, or is older than 0.3"
            self._answer(asked.client, Stack(asked.number, "", reason))

    def next_wakeup(self) -> float | None:
        """When somebody has waited for long enough."""
        return next((asked.until for asked in self._waiting.values()), None)

    def _worker_of(self, batch: Batch, index: int) -> Worker | None:
        chunk = batch.chunk_at(index)
        for part in chunk.parts if chunk is not None else ():
            if part.start <= index < part.stop and part.place is Place.LEASED:
                return self._ledger.leases.records[part.lease].worker
        return None

    def _answer(self, client: bytes, message: Message) -> None:
        self._ledger.turn.say(Answer(client, message))
