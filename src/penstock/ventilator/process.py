"""The ventilator: takes jobs in, deals them out.

======== ====== ======================= ===========================================
socket   type   peers                   carries
======== ====== ======================= ===========================================
desk     ROUTER clients                 submit, cancel, questions
report   PULL   workers, sink           hello, took, heartbeat, the sink's log
jobs     PUSH   workers                 whole rounds of jobs
control  XPUB   workers, sink           jobs by name, hand back, cancel, closed
======== ====== ======================= ===========================================

It promises that nothing is acknowledged before it is on disk. When it dies, workers finish what they hold, the sink
records it, and the next life learns of both before it gives anything out again.
"""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, assert_never

from penstock import errors
from penstock.job.spec import ID_BYTES, LABEL_CHARS
from penstock.keys.files import Peers
from penstock.keys.roles import Role
from penstock.station import key_lists, loop
from penstock.station.backups import Backups
from penstock.station.checked_rows import DamagedRow
from penstock.station.clock import Clock
from penstock.station.config import VentilatorConfig, from_argv
from penstock.station.contract import Answer, CopyStore, FromClient, Refuse
from penstock.station.lease_tokens import LeaseTokens
from penstock.station.log_events import emit, setup
from penstock.station.own_address import note_local_name, wait_for_address
from penstock.station.permissions import READS, Bindings
from penstock.station.service_manager import ServiceManager
from penstock.station.station_keys import for_station
from penstock.station.store_metrics import StoreMetrics
from penstock.station.waiting_questions import WaitingQuestions
from penstock.url import endpoints
from penstock.ventilator.contract import (
    ClientSought,
    Deal,
    Identity,
    JobConnections,
    PartsUnderWay,
    PayloadDamaged,
    ReadArguments,
    ReadDigests,
    ReadEvents,
    SaveBatch,
    SaveChunk,
    SeekClient,
    SendFunction,
    Subscribed,
    Tell,
    Unsubscribed,
    VentilatorEffect,
    WallClock,
)
from penstock.ventilator.control import Control
from penstock.ventilator.core import VentilatorCore
from penstock.ventilator.desk import Desk
from penstock.ventilator.full_disk import FullDisk
from penstock.ventilator.payloads import Payloads
from penstock.ventilator.reads import Load
from penstock.ventilator.reports import Reports
from penstock.ventilator.store import QueueStore
from penstock.ventilator.stored_answers import StoredAnswers
from penstock.ventilator.stored_batches import StoredBatches
from penstock.version import VERSION
from penstock.wire.bounds import LIMITS, Limits, is_to_be_logged
from penstock.wire.desk_messages import ClientToVentilator, Knock, Metrics
from penstock.wire.frames import Decoder, Wire
from penstock.wire.messages import Jobs, SinkBeat
from penstock.wire.parts import Inbound
from penstock.wire.records import PartsTaken
from penstock.wire.socket_sets import ventilator_links
from penstock.wire.sockets import Received

LIVES_SKIPPED = 1000
"""Starts that are counted at once where the file may be an older one: lease numbers begin with their count, and those
of the starts that it does not know of are still about."""


class Ventilator:
    """What stands around VentilatorCore: its sockets and its store. It carries out what the core decides."""

    def __init__(
        self,
        core: VentilatorCore,
        store: QueueStore,
        links: loop.StationLinks,
        process: loop.Process,
        starts: Bindings,
        limits: Limits = LIMITS,
    ) -> None:
        """`starts`: which ids belong to which key. `limits`: of what clients can ask."""
        self.core = core
        self._store = store
        self.links = links
        self.process = process
        self._bindings = starts
        self.leaving, self.exit_code = False, 0
        self.is_ready: bool = True
        self._clients = Decoder(ClientToVentilator)
        self._eavesdroppers: Counter[bytes] = Counter()
        """How many connections asked for a topic that is not theirs, and hear nothing."""
        self._passed: tuple[bytes, Peers] | None = None
        """The sink that was told a list of keys, and which."""
        self._malformed = loop.Malformed(process)
        self._questions = WaitingQuestions(limits)
        self._control = Control(links, process.clock)
        self._reports = Reports(links, process.clock, self._malformed, starts, self._control)
        self._desk = Desk(links, process.clock, limits)
        self._submits = Inbound(links.frame_bytes, self._malformed.note)
        self._payloads = Payloads(store)
        self._answers = StoredAnswers(store, self._desk)
        self._backups = Backups(store, process)
        self._metrics = StoreMetrics(store.path, process.clock, self._backups)
        self.batches: StoredBatches = StoredBatches(store, core.ended.absent)
        self._full_disk = FullDisk(core, links, self.batches, self._desk.has_room, self._asks)

    # ------------------------------------------------------------------------------------------ in

    def next_wakeup(self) -> float | None:
        """When the core has something to do."""
        now = self.process.clock.now()
        if self._full_disk or self._backups.is_under_way:
            return now
        due = self.core.next_wakeup(), self._questions.due_at(now, self._desk.has_room)
        return min((instant for instant in due if instant is not None), default=None)

    def receive(self, names: list[str], fds: list[int]) -> Iterator[Any]:
        """Messages and connections, as inputs for the core; before each, the batches that it names."""
        for event in self._receive(names, fds):
            yield from self.batches.before(event)

    def _receive(self, names: list[str], fds: list[int]) -> Iterator[Any]:
        yield WallClock(self.process.clock.wall_time())
        self._bindings.tick(self.process.clock.now())
        self._desk.tick()
        if "monitor:jobs" in names:
            self.links.connection_events("jobs")
            yield JobConnections(self.links.connections("jobs"))
        if "control" in names:
            yield from self._subscriptions()
        yield from self._full_disk.take()
        if "report" in names:
            yield from self._reports.receive()
        for event in self._from_clients() if "desk" in names else ():
            if not self._asks(event):
                yield event
        yield from self._questions.take(self._desk.has_room)
        self._backups.step()
        self._read_files(fds)
        self.core.malformed = self._malformed.count + self.links.malformed
        self.core.questions.growth = self._store.growth.look(self.process.clock.now()) + self.links.crowds("ventilator")
        self.core.questions.ended = self._store.batch_rows.ended(self.process.clock.now())
        self._pass_keys()
        if workers := self._control.under_way():
            yield PartsUnderWay(workers)

    def _from_clients(self) -> Iterator[FromClient]:
        now, wall_time = self.process.clock.now(), self.process.clock.wall_time()
        for received in self.links.receive("desk"):
            if (found := self._submits.whole(received, self._decode_asked, now)) is not None:
                whole, (message, payload) = found
                self._desk.on_message(whole.peer, whole.sender, message)
                if not isinstance(message, PartsTaken):
                    came_from = whole.sender, self.links.address("desk", whole.peer)
                    yield FromClient(whole.peer, message, payload, wall_time, *came_from)
        for client, _, taken in self._submits.taken(now):
            self.links.send("desk", taken, peer=client)

    def _decode_asked(self, received: Received) -> Wire | None:
        return self._malformed.decode_asked(self._clients, received, self.links)

    def _asks(self, event: FromClient) -> bool:
        """Whether it is a question, which waits for its turn."""
        if not isinstance(event.message, READS):
            return False
        if not self._questions.add(event, event.message.number):
            loop.say_dropped(self.links, self._questions, event.sender.name)
        return True

    def _read_files(self, fds: list[int]) -> None:
        if fds:
            self.leaving = self.process.orders.read() > 0 or self.process.lifeline in fds

    def _pass_keys(self) -> None:
        """Tell the sink who is let in, when one of the two is new."""
        sink, guard = self.core.sink_log.sink, self.links.guard
        if sink is None or guard is None or self._passed == (sink, guard.peers):
            return
        self._passed = sink, guard.peers
        for keys in key_lists.told(guard.peers, whole=not self.core.worker_reports.sink_takes_parts):
            self.links.send("control", keys, peer=sink)

    def _subscriptions(self) -> Iterator[Any]:
        """Everybody hears what is said to an id of their own, and nothing else."""
        for came, topic, sender in self.links.subscriptions("control"):
            if came and len(topic) == ID_BYTES and self._bindings.admits(sender, topic):
                self.links.admit("control", topic)
                self._passed = None if topic == self.core.sink_log.sink else self._passed
                yield Subscribed(topic)
            elif came:
                self._eavesdroppers[topic] += 1
                if is_to_be_logged(count := self._bindings.refused[sender.name]):  # of ids too many of a key
                    self.links.news.log("too_many_starts", key=sender.name, count=count)
            elif self._eavesdroppers[topic]:
                self._eavesdroppers[topic] -= 1
            else:
                yield Unsubscribed(topic)
            if not self._eavesdroppers[topic]:
                del self._eavesdroppers[topic]

    # ------------------------------------------------------------------------------------------ out

    def save(self, saves: list[Any]) -> None:
        """Commit; what was accepted is likely to be given out at once, so it is kept at hand."""
        self._store.believes_clock = self.core.ledger.wall_clock.is_steady(self.process.clock.now())
        with self._metrics.commit():
            self._store.save(saves)
        if self.core.questions.trouble:
            self.core.questions.trouble = ""
            self._full_disk.end()
        for save in saves:
            if isinstance(save, SaveChunk):
                self._payloads.remember_chunk((save.batch, save.first), save.payload)
            elif isinstance(save, SaveBatch):
                self._payloads.remember_function(save.function, save.code)

    @property
    def untidy(self) -> bool:
        """Whether deleted batches still have rows."""
        return self._store.untidy

    def reopen(self) -> None:
        """Open the store anew."""
        self._store.reopen()

    def wait_for_room(self, why: str, seconds: float) -> None:
        """What needs no commit is done; all else waits."""
        self.core.questions.trouble = why
        now = self.process.clock.now
        end = now() + seconds
        while not self.leaving and (left := end - now()) > 0:
            names, fds = self.links.poll(left, only=self._full_disk.sockets)
            self._read_files(fds)
            for message in self._reports.receive() if "report" in names else ():
                self._full_disk.on_report(message)
            for event in self._from_clients() if "desk" in names else ():
                try:
                    for action in self._full_disk.on_client(event, why, now()):
                        self._carry_out(action)
                except errors.StoreError:
                    self._asks(event)  # it cannot even be read: the question waits
        self._full_disk.remind()

    def perform(self, action: VentilatorEffect | Load) -> Iterable[Any]:
        """Carry out one effect; what is found damaged on the way is contained."""
        brought = self.batches.load(action) if isinstance(action, Load) else self._carry_out(action)
        return (*self.batches.damage(), *brought)

    def _carry_out(self, action: VentilatorEffect) -> Iterable[Any]:
        match action:
            case Tell(topic, Jobs() as jobs):
                whole, payload, damaged = self._payloads.loaded(jobs)
                if whole.leases:
                    self._control.tell(topic, whole, *payload)
                return damaged
            case Tell(topic, message):
                self._control.tell(topic, message)
                if isinstance(message, SinkBeat):
                    self._full_disk.on_beat(topic, message)
            case Answer(client, Metrics() as message):
                self._desk.answer(client, self._metrics.added_to(message, self._refused()))
            case Answer(client, message, payload):
                self._desk.answer(client, message, payload)
            case SeekClient(client):
                return (ClientSought(client, self.links.reaches("desk", Knock(), client)),)
            case Deal(messages):
                brought: list[PayloadDamaged] = []
                for jobs in messages:
                    whole, payload, damaged = self._payloads.loaded(jobs)
                    self.links.send("jobs", whole, *payload)
                    brought += damaged
                return brought
            case SendFunction(worker, function):
                if self.links.has_room("control", worker):  # else it has not read what it was sent, and asks again
                    return self._send_function(worker, function)
            case ReadDigests():
                self._answers.digests(action)
            case ReadEvents():
                self._answers.events(action)
            case ReadArguments():
                if self._desk.has_room(action.client):
                    self._answers.arguments(action)
            case CopyStore(client):
                self._desk.answer(client, self._backups.answer(action))
            case Refuse(text):
                raise errors.Refused(f"{self._store.path}: {text}")
            case _:
                assert_never(action)
        return ()

    def _refused(self) -> dict[str, int]:
        return {
            "malformed": self._malformed.count + self.links.malformed,
            "questions": self._questions.dropped.total(),
            "worker_starts": self._bindings.refused.total(),
        }

    def _send_function(self, worker: bytes, digest: bytes) -> Iterable[PayloadDamaged]:
        try:
            self._control.send_function(worker, digest, self._payloads.function(digest))
        except DamagedRow as damage:
            self._store.note(str(damage))
            return (PayloadDamaged((), (digest,), worker),)
        return ()

    def close(self) -> None:
        """Release the sockets, then the store."""
        self.links.close()
        self._backups.close()
        self._store.close()


def start(config: VentilatorConfig, logger: logging.Logger) -> Ventilator:
    """A ventilator on its real store and sockets."""
    wait_for_address(endpoints(config.url).desk, logger)
    note_local_name(endpoints(config.url).desk, logger)
    signals, clock = loop.Signals(), Clock()
    security = for_station(config, Role.VENTILATOR)
    store = QueueStore(config.data, config.durable, scratch=config.scratch)
    links = ventilator_links(config.url, security)
    links.watch(signals.fd)
    if config.lifeline is not None:
        links.watch(config.lifeline)
    batches = store.batch_rows.here()
    core = VentilatorCore(
        store.begin_life(LIVES_SKIPPED if config.accept_older else 1),
        batches,
        store.applied(),
        clock.now(),
        wall_time=clock.wall_time(),
        version=VERSION,
        lease_time=config.lease_time,
        heartbeat_interval=config.heartbeat_interval,
        transient_time=config.transient_time,
        forgotten=store.forgotten(),
        seed=int.from_bytes(os.urandom(8), "big"),
        lease_tokens=LeaseTokens(security.lease_key),
        security=security.word(config.url),
        pickles=not config.no_pickle,
        name_chars=config.limits.name_chars or LABEL_CHARS,
        damages=len(store.damages()),
        must_compare=store.must_compare,
        deleted=store.deleted(),
        pause=store.pause(),
        identity=Identity(
            *(store.pipeline, store.is_paired, store.accepted, config.accept_older), store.event_rows.last()
        ),
    )
    for what in store.take_found():
        emit(logger, "damaged", {"what": what})
    process = loop.Process(logger, signals, clock, config.lifeline, ServiceManager(os.environ, config.health_file))
    return Ventilator(core, store, links, process, Bindings(config.limits.worker_starts), config.limits)


def main(config: VentilatorConfig) -> int:
    """Run a ventilator until SIGTERM; returns the exit code."""
    logger = setup("ventilator", config.log_level, config.limits.log_chars, config.log_format)
    return loop.main(lambda: start(config, logger), logger, url=config.url, data=config.data)


if __name__ == "__main__":
    sys.exit(main(from_argv(VentilatorConfig)))
