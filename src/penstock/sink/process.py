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
from collections.abc import Iterable, Iterator
from typing import Any, assert_never

from msgspec.structs import replace

from penstock.errors import Refused
from penstock.job.spec import new_worker_id
from penstock.keys.files import Peers
from penstock.keys.roles import Peer, Role
from penstock.sink.contract import (
    FromWorker,
    LinesRead,
    LogRead,
    ReadLines,
    ReadLog,
    ReadOutput,
    ReadRows,
    ReadSpan,
    RowsRead,
    SinkEffect,
)
from penstock.sink.core import SinkCore
from penstock.sink.store import ResultStore
from penstock.station import loop
from penstock.station.clock import Clock
from penstock.station.config import SinkConfig, from_argv
from penstock.station.contract import Answer, FromClient, Log, Renew, Report
from penstock.station.lease_tokens import LeaseTokens
from penstock.station.log_events import emit, setup
from penstock.station.permissions import Bindings, may_not_ask
from penstock.station.station_keys import for_station
from penstock.station.ventilator_contact import VentilatorContact
from penstock.wire.frames import Decoder, split
from penstock.wire.messages import (
    ClientToSink,
    Fetched,
    FetchedOutput,
    Keys,
    SinkHead,
    VentilatorToSink,
    WorkerToSink,
)
from penstock.wire.socket_sets import sink_links


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
    ) -> None:
        """`starts`: which ids belong to which key. `contact`: with the ventilator."""
        self.core = core
        self._store = store
        self.links = links
        self.process = process
        self._bindings = starts
        self._contact = contact
        self.leaving: bool = False
        self.exit_code = 0
        self._outcomes = Decoder(WorkerToSink)
        self._control = Decoder(VentilatorToSink)
        self._clients = Decoder(ClientToSink)
        self._malformed = loop.Malformed(process)
        self._head: SinkHead | None = None
        """The last one told."""

    def next_wakeup(self) -> float | None:
        """When there is something to do or to say."""
        due = (self.core.next_wakeup(), self._contact.due_at)
        return min((instant for instant in due if instant is not None), default=None)

    def receive(self, names: list[str], fds: list[int]) -> Iterator[Any]:
        """Messages, as inputs for the core."""
        now = self.process.clock.now()
        self._bindings.tick(now)
        connected = self.links.connections("control") > 0
        self._say(self._contact.look(connected, bool(self.links.shut_out), now))
        if "control" in names:
            for received in self.links.receive("control"):
                wire = self._malformed.decode(self._control, received)
                if wire is not None and connected:
                    self._say(self._contact.heard(now))
                if wire is not None and isinstance(wire.message, Keys):
                    self._learn(wire.message)
                elif wire is not None:
                    yield wire.message
        if "results" in names:  # first: who begins to follow hears what comes in just then
            for received in self.links.receive("results"):
                wire = self._malformed.decode_asked(self._clients, received, self.links)
                if wire is None:
                    continue
                if reason := may_not_ask(received.sender, wire.message, self.core.lease_tokens):
                    loop.refuse(self.links, received, wire.message.number, Refused(reason))
                else:
                    yield FromClient(received.peer, wire.message)
        if "outcomes" in names:
            for received in self.links.receive("outcomes"):
                wire = self._malformed.decode(self._outcomes, received)
                if wire is None:
                    continue
                message = wire.message
                if self._bindings.may_hand_in(received.sender, message):
                    bodies = split(wire.payload, [record.size for record in message.records])
                    yield FromWorker(message, tuple(bodies))
                else:
                    self._malformed.note(received, f"not for the key {received.sender.name} to say")
        self._read_files(fds)

    def _say(self, news: Iterable[Log]) -> None:
        for log in news:
            emit(self.process.logger, log.event, log.fields)

    def _read_files(self, fds: list[int]) -> None:
        if fds:
            self.leaving = self.process.orders.read() > 0 or self.process.lifeline in fds
            if self.process.orders.take_backup():
                loop.back_up(self._store, self.process.logger)

    def _learn(self, keys: Keys) -> None:
        allowed = {line.public: Peer(line.name, line.role, line.public) for line in keys.allowed}
        if self.links.guard is not None:
            self.links.guard.learn(Peers(allowed, frozenset(keys.revoked)))

    def save(self, saves: list[Any]) -> None:
        """Commit all saves of a turn in one transaction."""
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
        """Carry out one effect."""
        match action:
            case Report(message):
                if isinstance(message, SinkHead):
                    self._head = message
                self.links.send("report", message)
            case Renew():
                self.links.renew("control")
            case Answer(client, message, payload):
                self.links.send("results", message, payload, peer=client)
            case ReadRows(client, batch, after, limit):
                records, payload, position, more = self._store.rows_after(batch, after, limit)
                return (RowsRead(client, batch, records, payload, position, more),)
            case ReadLog(after, limit):
                chain, lines, more = self._store.log_after(after, limit)
                return (LogRead(after, chain, lines, more),)
            case ReadLines(after, limit):
                return (LinesRead(after, *self._store.lines_after(after, limit)),)
            case ReadOutput(client, number, batch, index, is_error, position):
                start, data = self._store.output_at(batch, index, int(is_error), position)
                self.links.send("results", FetchedOutput(number, start, len(data)), data, peer=client)
            case ReadSpan(client, number, batch, start, stop, cursor):
                records, payload, rest = self._store.rows_in(batch, start, stop, cursor)
                self.links.send("results", Fetched(number, records, rest), payload, peer=client)
            case _:
                assert_never(action)
        return ()

    def close(self) -> None:
        """Release the sockets, then the store."""
        self.links.close()
        self._store.close()


def start(config: SinkConfig, logger: logging.Logger) -> Sink:
    """A sink on its real store and sockets."""
    signals = loop.Signals()
    clock = Clock()
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
        store.recorded(),
        store.claims(),
        sink=sink,
        heartbeat_interval=config.heartbeat_interval,
        lease_time=config.lease_time,
        lease_tokens=LeaseTokens(security.lease_key),
    )
    process = loop.Process(logger, signals, clock, config.lifeline)
    contact = VentilatorContact(config.url, clock.now())
    return Sink(core, store, links, process, Bindings(config.limits.worker_starts), contact)


def main(config: SinkConfig) -> int:
    """Run a sink until SIGTERM; returns the exit code."""
    logger = setup("sink", config.log_level, config.limits.log_chars)
    return loop.main(lambda: start(config, logger), logger, url=config.url, data=config.data)


if __name__ == "__main__":
    sys.exit(main(from_argv(SinkConfig)))
