"""The sink: records what every job came to, once, and tells whoever asks.

======== ====== ============ ====================================
socket   type   peers        carries
======== ====== ============ ====================================
outcomes PULL   workers      outcomes
results  ROUTER clients      follow, fetch; rows
report   PUSH   ventilator   its log, its head
control  SUB    ventilator   beats, replay, verdicts, forget
======== ====== ============ ====================================

It promises that what it says is on disk. When it dies, workers keep what is not closed and send it again; clients
follow from where they were.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, assert_never

from msgspec.structs import replace

from penstock.errors import Refused
from penstock.job.spec import new_worker_id
from penstock.keys.roles import Role
from penstock.sink.contract import (
    FromWorker,
    Full,
    LinesLost,
    LinesRead,
    LogRead,
    ReadFailures,
    ReadFiltered,
    ReadLines,
    ReadLog,
    ReadOutput,
    ReadRows,
    ReadSpan,
    RecordsLoaded,
    RowsRead,
    SinkEffect,
)
from penstock.sink.core import SinkCore
from penstock.sink.metrics import SinkMetrics
from penstock.sink.store import ResultStore
from penstock.sink.stored_answers import stored_answer
from penstock.station import loop, other_version
from penstock.station.backups import Backups
from penstock.station.checked_rows import DamagedRow
from penstock.station.clock import Clock
from penstock.station.config import SinkConfig, from_argv
from penstock.station.contract import Answer, Bytes, CopyStore, FromClient, Log, Refuse, Renew, Report
from penstock.station.key_lists import Listener
from penstock.station.lease_tokens import LeaseTokens
from penstock.station.log_events import emit, setup
from penstock.station.own_address import note_local_name, wait_for_address
from penstock.station.permissions import Bindings, may_not_ask
from penstock.station.recorded_jobs import StoredRecord
from penstock.station.service_manager import ServiceManager
from penstock.station.station_keys import for_station
from penstock.station.store_metrics import StoreMetrics
from penstock.station.ventilator_contact import VentilatorContact
from penstock.station.waiting_questions import ROOM_INTERVAL, WaitingQuestions
from penstock.url import endpoints
from penstock.version import VERSION
from penstock.wire.bounds import LIMITS, Limits
from penstock.wire.desk_messages import AskMetrics
from penstock.wire.filter_messages import FetchFiltered
from penstock.wire.frames import Decoder, Wire, split
from penstock.wire.messages import (
    AsksSink,
    ClientToSink,
    Fetch,
    Follow,
    Keys,
    SinkHead,
    Upgrade,
    VentilatorToSink,
    WorkerToSink,
)
from penstock.wire.parts import Inbound, Outbound
from penstock.wire.records import Message, PartsTaken
from penstock.wire.socket_sets import sink_links
from penstock.wire.sockets import Received

READS_AT_ONCE = 8
"""For followers, in a turn: with sink/followers.py's READ_BYTES 32 MB in memory."""


class Sink:
    """What stands around SinkCore: its sockets and its store. It carries out what the core decides."""

    def __init__(
        self,
        core: SinkCore,
        store: ResultStore,
        links: loop.StationLinks,
        process: loop.Process,
        starts: Bindings,
        contact: VentilatorContact,
        limits: Limits = LIMITS,
    ) -> None:
        """`starts`: which ids belong to which key. `contact`: with the ventilator. `limits`: of what clients can
        ask."""
        self.core = core
        self._store = store
        self.links = links
        self.process = process
        self._bindings = starts
        self._contact = contact
        self.leaving, self.exit_code = False, 0
        self._outcomes = Decoder(WorkerToSink)
        self._control = Decoder(VentilatorToSink)
        self._clients = Decoder(ClientToSink)
        self._malformed = loop.Malformed(process)
        self._from_workers = Inbound(links.frame_bytes, self._malformed.note)
        self._to_clients = Outbound(links, "results", limits=limits, note=partial(links.news.log_silent, "results"))
        self._told_keys = Listener()
        self._questions = WaitingQuestions(limits)
        self._reads_due: list[ReadRows] = []
        """For followers, who have at most one each."""
        self._full: frozenset[bytes] = frozenset()
        """Clients that have more to read than they may, as the core was told."""
        self._backups = Backups(store, process)
        self._metrics = SinkMetrics(StoreMetrics(store.path, process.clock, self._backups))
        self._head: SinkHead | None = None
        """The last one told."""

    @property
    def is_ready(self) -> bool:
        """Whether it records."""
        return self._contact.joined

    def next_wakeup(self) -> float | None:
        """When there is something to do or to say."""
        now = self.process.clock.now()
        due = [self.core.next_wakeup(), self._contact.due_at, self._questions.due_at(now, self._reads)]
        if self._backups.is_under_way:
            due.append(now)
        if self._reads_due:
            due.append(now if any(self._reads(one.client) for one in self._reads_due) else now + ROOM_INTERVAL)
        return min((instant for instant in due if instant is not None), default=None)

    def receive(self, names: list[str], fds: list[int]) -> list[Any]:
        """Messages, as inputs for the core, and before them what is recorded of the batches that they are about."""
        return self.before(list(self._receive(names, fds)))

    def before(self, events: Sequence[Any]) -> list[Any]:
        """Inputs, and before them what the core must have in memory for them. First comes what was lost: no line may be
        added to a log that has another end."""
        absent = {batch for event in events for batch in self.core.absent(event)}
        lost = [event for event in events if isinstance(event, LinesLost)]
        loaded = self._contained(partial(self._records, absent)) if absent else []
        return [*lost, *loaded, *(event for event in events if not isinstance(event, LinesLost))]

    def _records(self, batches: set[bytes]) -> Iterable[Any]:
        records, claims = self._store.records(batches)
        if found := self._store.take_found():
            yield LinesLost(tuple(found), self._store.head(), self._store.damaged_to, None)
        if records:
            yield RecordsLoaded(tuple(records), tuple(claims))

    def _receive(self, names: list[str], fds: list[int]) -> Iterator[Any]:
        now = self.process.clock.now()
        self._bindings.tick(now)
        self._to_clients.tick(now)
        connected, failure = self.links.connections("control") > 0, self.links.handshake_failure
        self._say(self._contact.look(connected, self.links.down("control", "report"), failure, now))
        if "control" in names:
            for received in self.links.receive("control"):
                wire = self._malformed.decode(self._control, received)
                if wire is not None and connected:
                    self._say(self._contact.heard(now))
                if wire is None:
                    continue
                self._say(other_version.said(wire.message))
                if isinstance(wire.message, Keys):
                    self._learn(wire.message)
                elif not isinstance(wire.message, Upgrade):
                    yield wire.message
        full = self.links.full("results") | self._to_clients.full()
        if full != self._full:
            self._full = full
            yield Full(full)
        if "results" in names:  # first: who begins to follow hears what comes in just then
            for received in self.links.receive("results"):
                wire = self._malformed.decode_asked(self._clients, received, self.links)
                if wire is None:
                    continue
                if reason := may_not_ask(received.sender, wire.message, self.core.lease_tokens):
                    loop.refuse(self.links, received, wire.message.number, Refused(reason))
                elif isinstance(wire.message, AskMetrics):
                    bad = self._malformed.count + self.links.malformed
                    told = self._metrics.told(
                        wire.message.number, bad, self._questions.dropped.total(), self.core.refused
                    )
                    self._answer(received.peer, told, b"")
                else:
                    self._on_parts(received, wire.message, now)
                    event = FromClient(received.peer, wire.message, sender=received.sender)
                    if not self._asks(event):
                        yield event
        yield from self._questions.take(self._reads)
        yield from self.read_rows()
        if "outcomes" in names:
            yield from self._receive_outcomes(now)
        self._backups.step()
        self._read_files(fds)

    def _on_parts(self, received: Received, message: Message, now: float) -> None:
        if isinstance(message, PartsTaken):
            self._to_clients.arrived(message, now, received.peer)
        elif isinstance(message, Follow | Fetch | FetchFiltered):
            self._to_clients.takes(message.parts, received.peer, received.sender)

    def _receive_outcomes(self, now: float) -> Iterator[Any]:
        for received in self.links.receive("outcomes"):
            if (found := self._from_workers.whole(received, self._decode_outcomes, now)) is None:
                continue
            whole, (message, payload) = found
            if self._bindings.may_hand_in(whole.sender, message):
                bodies = split(payload, [record.size for record in message.records])
                yield FromWorker(message, tuple(bodies))
            else:
                self._malformed.note(whole, f"not for the key {whole.sender.name} to say")
        for _, worker, taken in self._from_workers.taken(now):
            yield PartsTaken(taken.stream, taken.position, worker)

    def _decode_outcomes(self, received: Received) -> Wire | None:
        return self._malformed.decode(self._outcomes, received)

    def _reads(self, client: bytes) -> bool:
        """Whether it can be sent an answer."""
        return self.links.has_room("results", client) and self._to_clients.has_room(client)

    def _asks(self, event: FromClient) -> bool:
        """Whether it is a question, which waits for its turn."""
        if not isinstance(event.message, AsksSink):
            return False
        if not self._questions.add(event, event.message.number):
            loop.say_dropped(self.links, self._questions, event.sender.name)
        return True

    def read_rows(self) -> Iterator[RowsRead | LinesLost]:
        """For followers that read, in turn; for the others when they do."""
        waiting, self._reads_due = self._reads_due, []
        left = READS_AT_ONCE
        for one in waiting:
            if left and self._reads(one.client):
                left -= 1
                yield from self._contained(partial(self._rows, one))
            else:
                self._reads_due.append(one)

    def _rows(self, asked: ReadRows) -> Iterable[RowsRead]:
        records, payload, position, more = self._store.rows_after(asked.batch, asked.after, asked.limit)
        return (RowsRead(asked.client, asked.batch, records, payload, position, more),)

    def _say(self, news: Iterable[Log]) -> None:
        for log in news:
            emit(self.process.logger, log.event, log.fields)

    def _read_files(self, fds: list[int]) -> None:
        if fds:
            self.leaving = self.process.orders.read() > 0 or self.process.lifeline in fds

    def _learn(self, keys: Keys) -> None:
        peers = self._told_keys.hear(keys)
        if self.links.guard is not None and peers is not None:
            self.links.guard.learn(peers)

    def save(self, saves: list[Any]) -> None:
        """Commit all saves of a turn in one transaction."""
        with self._metrics.commit(saves):
            self._store.save(saves)

    @property
    def untidy(self) -> bool:
        """Whether deleted batches still have rows."""
        return self._store.untidy

    def reopen(self) -> None:
        """Open the store anew."""
        self._store.reopen()

    def wait_for_room(self, why: str, seconds: float) -> None:
        """The ventilator is told, with the head that was told last: all that it says is still so."""
        if self._head is not None:
            self.links.send("report", replace(self._head, trouble=why))
        _, fds = self.links.poll(seconds, only=())
        self._read_files(fds)

    def perform(self, action: SinkEffect) -> Iterable[Any]:
        """Carry out one effect; a row that is found damaged on the way is taken out, and it is tried again."""
        return self._contained(partial(self._carry_out, action))

    def _contained(self, read: Callable[[], Iterable[Any]]) -> list[Any]:
        lost: list[Any] = []
        while True:
            try:
                return [*lost, *read()]
            except DamagedRow as damage:
                recorded = self._all_here() if self._store.contain(damage) else None
                found = tuple(self._store.take_found())
                lost.append(LinesLost(found, self._store.head(), self._store.damaged_to, recorded))

    def _all_here(self) -> tuple[StoredRecord, ...]:
        """What is recorded now of the batches that are in memory."""
        while True:
            try:
                return tuple(self._store.records(self.core.batches.here)[0])
            except DamagedRow as damage:
                self._store.contain(damage)

    def _carry_out(self, action: SinkEffect) -> Iterable[Any]:
        match action:
            case Refuse(text):
                raise Refused(f"{self._store.path}: {text}")
            case Report(message):
                if isinstance(message, SinkHead):
                    growth = (*self._store.growth.look(self.process.clock.now()), *self.links.crowds("sink"))
                    self._head = message = replace(message, growth=growth, version=VERSION)
                self.links.send("report", message)
            case Renew(is_said):
                if not self.links.down("report"):  # else it is known why nothing is heard
                    self.links.renew("control", is_said=is_said)
            case Answer(client, message, payload):
                self._answer(client, message, payload)
            case CopyStore(client):
                self._answer(client, self._backups.answer(action), b"")
            case ReadRows():
                self._reads_due.append(action)
            case ReadLog(after, limit):
                chain, lines, more = self._store.log_after(after, limit)
                return (LogRead(after, chain, lines, more),)
            case ReadLines(after, limit):
                return (LinesRead(after, *self._store.lines_after(after, limit)),)
            case ReadOutput() | ReadSpan() | ReadFailures() | ReadFiltered():
                if self._reads(action.client):  # else it asks again
                    self._answer(action.client, *stored_answer(self._store, action))
            case _:
                assert_never(action)
        return ()

    def _answer(self, client: bytes, message: Message, payload: Bytes) -> None:
        self._to_clients.send(self.process.clock.now(), message, payload, peer=client)

    def close(self) -> None:
        """Release the sockets, then the store."""
        self.links.close()
        self._backups.close()
        self._store.close()


def start(config: SinkConfig, logger: logging.Logger) -> Sink:
    """A sink on its real store and sockets."""
    wait_for_address(endpoints(config.url).outcomes, logger)
    note_local_name(endpoints(config.url).outcomes, logger)
    signals, clock = loop.Signals(), Clock()
    security = for_station(config, Role.SINK)
    store = ResultStore(config.data, config.durable, scratch=config.scratch)
    sink = new_worker_id()
    links = sink_links(config.url, sink, security)
    links.watch(signals.fd)
    if config.lifeline is not None:
        links.watch(config.lifeline)
    core = SinkCore(
        int.from_bytes(os.urandom(7), "big"),
        store.head(),
        sink=sink,
        heartbeat_interval=config.heartbeat_interval,
        lease_time=config.lease_time,
        lease_tokens=LeaseTokens(security.lease_key),
        damages=len(store.damages()),
        damaged_to=store.damaged_to,
        known=store.known(accepts_older=config.accept_older),
        follows=config.limits.follows,
    )
    for what in store.take_found():
        emit(logger, "damaged", {"what": what})
    process = loop.Process(logger, signals, clock, config.lifeline, ServiceManager(os.environ, config.health_file))
    contact = VentilatorContact(config.url, clock.now())
    return Sink(core, store, links, process, Bindings(config.limits.worker_starts), contact, config.limits)


def main(config: SinkConfig) -> int:
    """Run a sink until SIGTERM; returns the exit code."""
    logger = setup("sink", config.log_level, config.limits.log_chars, config.log_format)
    return loop.main(lambda: start(config, logger), logger, url=config.url, data=config.data)


if __name__ == "__main__":
    sys.exit(main(from_argv(SinkConfig)))
