"""What the ventilator does while its store takes nothing: its disk is full.

Promises:

1. What was decided in the turn that cannot be saved is neither done nor said, and nothing more is decided.
2. What people ask is answered, from memory or by reading the store. An order is refused at once, with the reason, and
   is not carried out later; one that was taken in before is not refused: it is answered when it is saved.
3. Workers and the sink hear that they are heard, and nothing else: a Beat acknowledges a sign of life, and a SinkBeat
   is said again as it was when all in it was saved. A worker that is given up in the turn that waits hears nothing.
4. All else waits, in order and within bounds; of what stations say again and again the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from penstock.station.contract import Answer, FromClient
from penstock.station.loop import StationLinks
from penstock.ventilator.contract import ReadArguments, ReadDigests, ReadEvents
from penstock.ventilator.core import VentilatorCore
from penstock.ventilator.reads import FindBatches
from penstock.ventilator.stored_batches import StoredBatches
from penstock.ventilator.trouble_notices import TroubleNotices
from penstock.wire.desk_messages import (
    AskArguments,
    AskBatches,
    AskDigests,
    AskEvents,
    AskFiltered,
    AskJobs,
    AskMetrics,
    AskPipeline,
    AskWhy,
    BackUp,
    Cancel,
    Delete,
    DrainWorker,
    Knock,
    Pause,
    Refused,
    Retry,
    SetBatch,
)
from penstock.wire.messages import Heartbeat, Hello, NeedFunction, SinkBeat, SinkHead
from penstock.wire.records import Message

QUESTIONS = (AskPipeline, AskBatches, AskJobs, AskWhy, AskArguments, AskDigests, AskFiltered, AskEvents, AskMetrics)
ORDERS = (Cancel, Delete, Retry, DrainWorker, BackUp, Pause, SetBatch)
READS = Answer | ReadArguments | ReadDigests | ReadEvents
"""What questions come to; nothing else that they bring about is done."""
POSTPONED_BYTES = 64 << 20
"""What clients may submit meanwhile: of two that have submitted as much as they may (UNACCEPTED_BYTES)."""
REPORTS_MAX = 100_000
"""Messages of stations that wait. What all workers hold ends, and is told, in fewer."""


class FullDisk:
    """Of one ventilator. `batches`: those in its store. `has_room`: whether a client reads its answers; `can_wait`:
    keeps a question for its turn."""

    def __init__(
        self,
        core: VentilatorCore,
        links: StationLinks,
        batches: StoredBatches,
        has_room: Callable[[bytes], bool],
        can_wait: Callable[[FromClient], bool],
    ) -> None:
        self._core = core
        self._links = links
        self._batches = batches
        self._has_room = has_room
        self._can_wait = can_wait
        self._notices = TroubleNotices()
        self._clients: list[FromClient] = []
        self._reports: dict[object, Message] = {}
        """By what makes them one: of those that are said again only the last one counts."""
        self._beat: tuple[bytes, SinkBeat] | None = None

    @property
    def sockets(self) -> tuple[str, ...]:
        """Those that are read."""
        waiting = sum(len(event.payload) for event in self._clients)
        is_read = {"report": len(self._reports) < REPORTS_MAX, "desk": waiting < POSTPONED_BYTES}
        return tuple(name for name, has_room in is_read.items() if has_room)

    def on_beat(self, sink: bytes, beat: SinkBeat) -> None:
        """The sink was told this."""
        self._beat = sink, beat

    def on_report(self, message: Any) -> None:
        """A worker, or the sink, says something."""
        match message:
            case Heartbeat():
                if (beat := self._core.worker_reports.echo(message)) is not None:
                    self._links.send("control", beat, peer=message.worker)
                if message.since and not (message.held or message.gone):
                    return  # it says nothing new
                # it is answered, so what it says has changed is not said again
                key: object = object() if message.since else (Heartbeat, message.worker)
            case Hello():
                key = (Hello, message.worker)
            case SinkHead():
                key = (SinkHead, message.sink)
            case NeedFunction():
                key = message
            case _:
                key = object()
        self._reports.pop(key, None)
        self._reports[key] = message

    def on_client(self, event: FromClient, why: str, now: float) -> Iterator[READS]:
        """A client says something; what is to be done about it. Raises StoreError: it cannot even be read."""
        message = event.message
        why = f"the ventilator takes nothing in: {why}"
        if isinstance(message, QUESTIONS) and self._has_room(event.client):
            yield from self._answers(event, now)
        elif isinstance(message, ORDERS):
            if not self._core.audit.knows(event):
                yield Answer(event.client, Refused(message.number, "StoreFull", why))
        else:
            if not self._can_wait(event):
                self._clients.append(event)
            yield from (Answer(event.client, notice) for notice in self._notices.of(event.client, why))

    def _answers(self, question: FromClient, now: float) -> Iterator[READS]:
        inputs = list(self._batches.before(question))
        for one in inputs:  # which grow
            for action in self._core.handle(one, now):
                if isinstance(action, FindBatches):
                    inputs += self._batches.load(action)
                elif isinstance(action, READS):
                    yield action

    def remind(self) -> None:
        """Who hears nothing for long thinks that nobody is here."""
        for client in self._notices.told():
            self._links.send("desk", Knock(), peer=client)
        if self._beat is not None:
            sink, beat = self._beat
            self._links.send("control", beat, peer=sink)

    def end(self) -> None:
        """The disk has room."""
        self._notices = TroubleNotices()

    def __bool__(self) -> bool:
        """Whether something waits to be taken in."""
        return bool(self._clients or self._reports)

    def take(self) -> Iterator[Any]:
        """What has waited, for the core."""
        clients, self._clients = self._clients, []
        reports, self._reports = self._reports, {}
        yield from reports.values()
        yield from clients
