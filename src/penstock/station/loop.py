"""The turn that every station is made of: poll, decode, core.handle, save, commit, send.

Persist, then speak: what a turn's messages decided is saved in one transaction, and only after its commit does anything
leave the process. What a read of the store brings goes through the core as one more turn before the next poll.

A station is given its core, its store, its links and its Process. A test that gives it others, on a virtual network in
virtual time, runs the station's own code: `step` is all that a process does, again and again.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple, Protocol

from penstock import errors
from penstock.exit_codes import NO_ADDRESS, REFUSED, STORE_FAILED, WRONG_USE
from penstock.keys.roles import Peer
from penstock.station import log_events
from penstock.station.clock import Clock
from penstock.station.contract import Actions, Log, Save
from penstock.station.service_manager import ServiceManager
from penstock.station.waiting_questions import WaitingQuestions
from penstock.wire.bounds import is_to_be_logged
from penstock.wire.desk_messages import Refused
from penstock.wire.frames import Decoder, Wire, asked_number
from penstock.wire.guard import Guard, News
from penstock.wire.records import Bytes, Message
from penstock.wire.repeated import Repeated
from penstock.wire.sockets import Received

FULL_RETRY = 0.5
"""Seconds between looks whether a full disk has room again."""
GC_THRESHOLDS = (10_000, 20, 50)
"""Of gc.set_threshold: with thousands of chunks and leases in memory the usual ones cost a tenth of a busy station's
time, and what a turn leaves behind are no cycles."""
TIDY_PAUSE = 0.02
"""Seconds between two commits of an idle station that deletes what is no longer needed: a quarter of a disk's time."""
LOG_MALFORMED_INTERVAL = 1.0
"""Seconds between the first two log lines about malformed messages; all are counted."""


class Orders(Protocol):
    """What a station is told by whoever runs its process."""

    fd: int
    """Among the files of `StationLinks.poll` when there are orders to read."""

    def read(self) -> int:
        """How many arrived since the last call that say to leave."""


class Process(NamedTuple):
    """What a station knows of the process that it is in; `lifeline` is a file whose end is an order to leave."""

    logger: logging.Logger
    orders: Orders
    clock: Clock
    lifeline: int | None = None
    manager: ServiceManager = ServiceManager()
    """Who has started it, and wants to hear of it."""


class StationLinks(Protocol):
    """A station's sockets, by name, as far as it uses them; penstock.wire.sockets has them on ZeroMQ."""

    guard: Guard | None
    news: News
    malformed: int
    is_local: bool
    """Whether all peers are on this machine."""
    frame_bytes: int
    """The largest message that is taken."""

    @property
    def handshake_failure(self) -> str:
        """What is known of why a try to connect ended in the handshake; empty: none did."""

    def poll(self, timeout: float | None, only: Iterable[str] | None = None) -> tuple[list[str], list[int]]:
        """Wait for something to read: names of sockets, and file descriptors."""

    def receive(self, name: str) -> Iterable[Received]:
        """The messages that wait at a socket, up to a turn's worth."""

    def send(self, name: str, message: Message, *payload: Bytes, peer: bytes = b"") -> bool:
        """Send now, or not at all (False)."""

    def has_room(self, name: str, peer: bytes) -> bool:
        """Whether this peer reads: has not as much waiting for it as it may."""

    def full(self, name: str) -> frozenset[bytes]:
        """The peers that have no room."""

    def address(self, name: str, peer: bytes) -> str:
        """Where this peer of a ROUTER came from; empty: from this machine, or it is gone."""

    def reaches(self, name: str, message: Message, peer: bytes) -> bool:
        """Whether this peer is connected; it is sent the message, if it has room for it."""

    def connections(self, name: str) -> int:
        """How many connections a socket has."""

    def crowds(self, station: str) -> tuple[str, ...]:
        """Of which of this station's sockets there is hardly a connection left, for people."""

    def down(self, *names: str) -> str:
        """Which of these sockets that connect are not connected, each by its endpoint and name; empty: all are."""

    def connection_events(self, name: str) -> list[bool]:
        """Which connections came (True) and went since the last call, in order."""

    def subscriptions(self, name: str) -> Iterable[tuple[bool, bytes, Peer]]:
        """What the subscribers of a socket did: (came, topic, who)."""

    def admit(self, name: str, topic: bytes) -> None:
        """Let whoever subscribed last hear of this topic."""

    def renew(self, name: str, *, is_said: bool) -> None:
        """Connect anew, if there is a connection; `is_said`: in the log."""

    def close(self) -> None:
        """Close all sockets."""


class Core(Protocol):
    """The contract of the three cores."""

    def handle(self, event: Any, now: float) -> Actions:
        """Take in what happened."""

    def tick(self, now: float) -> Actions:
        """Close the turn: decide what no single event decides."""

    def next_wakeup(self) -> float | None:
        """When `tick` has something to do."""


class Station(Protocol):
    """What a process puts around its core."""

    leaving: bool
    exit_code: int
    """Of the process, when it leaves."""

    @property
    def is_ready(self) -> bool:
        """Whether it does its work, or waits for another station first."""

    @property
    def process(self) -> Process:
        """The process that the station is in."""

    @property
    def core(self) -> Core:
        """The part that decides."""

    @property
    def links(self) -> StationLinks:
        """The sockets of the station."""

    def next_wakeup(self) -> float | None:
        """When there is something to do even if nothing arrives."""

    def receive(self, names: list[str], fds: list[int]) -> Iterable[Any]:
        """What arrived, as inputs for the core."""

    def save(self, saves: list[Any]) -> None:
        """Commit all saves of a turn in one transaction."""

    @property
    def untidy(self) -> bool:
        """Whether its store has something to delete, a little with each commit."""

    def reopen(self) -> None:
        """Open the store anew after a commit of which nobody knows whether it happened."""

    def wait_for_room(self, why: str, seconds: float) -> None:
        """Its disk is full: take in only what needs no commit, and let those know who look at the pipeline."""

    def perform(self, action: Any) -> Iterable[Any]:
        """Carry out one effect; what it brings back goes to the core."""

    def close(self) -> None:
        """Close all that the station has opened."""


class Malformed:
    """Counts and logs what does not decode."""

    def __init__(self, process: Process) -> None:
        self.count: int = 0
        self._process = process
        self._line = Repeated(LOG_MALFORMED_INTERVAL)

    def decode(
        self, decoder: Decoder, received: Received, refuse: Callable[[errors.ProtocolError], object] | None = None
    ) -> Wire | None:
        """The message and its payload, or None: that was told to `refuse`."""
        try:
            return decoder.decode(received.frame)
        except errors.ProtocolError as error:
            self.note(received, str(error))
            if refuse is not None:
                refuse(error)
            return None

    def decode_asked(self, decoder: Decoder, received: Received, links: StationLinks) -> Wire | None:
        """The same of a client, who is told why, or which version this is."""
        return self.decode(decoder, received, partial(_refuse_undecoded, links, received))

    def note(self, received: Received, reason: str) -> None:
        """One more that was dropped."""
        self.count += 1
        if self._line.is_due(self._process.clock.now()):
            fields = {
                "socket": received.socket,
                "peer": received.peer,
                "reason": reason,
                "frame": bytes(received.frame[:64]),
            }
            log_events.emit(self._process.logger, "malformed", {**fields, "count": self.count})


def refuse(links: StationLinks, received: Received, number: int, error: errors.PenstockError) -> None:
    """Answer a client's request of this number with an error."""
    links.send(received.socket, Refused(number, type(error).__name__, str(error)), peer=received.peer)


def say_dropped(links: StationLinks, questions: WaitingQuestions, key: str) -> None:
    """A question of this key's was dropped, because too many wait."""
    if is_to_be_logged(questions.dropped[key]):
        links.news.log("too_many_questions", key=key, count=questions.dropped[key])


def _refuse_undecoded(links: StationLinks, received: Received, error: errors.ProtocolError) -> None:
    number = 0 if isinstance(error, errors.VersionMismatch) else asked_number(received.frame)
    if number is not None:
        refuse(links, received, number, error)


class Signals:
    """SIGTERM, SIGINT and SIGHUP, the orders to leave, as a file descriptor that the loop polls. Who was started so
    that it ignores SIGHUP (`nohup`) goes on ignoring it. SIGUSR1 does nothing: `penstock backup` of 0.2 sends it."""

    def __init__(self) -> None:
        self.fd: int
        self.fd, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: None)

    def read(self) -> int:
        """How many arrived since the last call that say to leave."""
        with contextlib.suppress(BlockingIOError):
            arrived = os.read(self.fd, 64)
            return len(arrived) - arrived.count(signal.SIGUSR1)
        return 0


def run(station: Station) -> None:
    """Step after step, until the station leaves."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    station.process.manager.say_ready()
    while not station.leaving:
        step(station)
        station.process.manager.say_alive(station.process.clock.now(), is_ready=station.is_ready)


def step(station: Station) -> None:
    """Wait for something to happen, and have the turns that it takes."""
    names, fds = station.links.poll(patience(station))
    inputs = list(station.receive(names, fds))
    for event, fields in station.links.news.take():
        log_events.emit(station.process.logger, event, fields)
    log_events.catch_up(station.process.logger)
    if station.untidy and not (names or fds):
        save(station, [])
    while True:
        inputs = list(turn(station, inputs))
        if not inputs:
            break


def patience(station: Station) -> float | None:
    """Seconds after which a station has something to do even if nothing happens; None: it has nothing."""
    wakeup = station.next_wakeup()
    due = None if wakeup is None else max(0.0, wakeup - station.process.clock.now())
    times = (due, station.process.manager.interval, TIDY_PAUSE if station.untidy else None)
    return min((time for time in times if time is not None), default=None)


def turn(station: Station, inputs: list[Any]) -> Iterator[Any]:
    """One turn; yields what the effects brought back."""
    instant = station.process.clock.now()
    actions: Actions = []
    for event in inputs:
        actions += station.core.handle(event, instant)
    actions += station.core.tick(instant)
    saves = [action for action in actions if isinstance(action, Save)]
    if saves:
        save(station, saves)
    for action in actions:
        if isinstance(action, Log):
            log_events.emit(station.process.logger, action.event, action.fields)
        elif not isinstance(action, Save):
            yield from station.perform(action)


def save(station: Station, saves: list[Any]) -> None:
    """Commit; while the disk is full, wait for room and commit the same again. Nothing is accepted and nothing recorded
    meanwhile, so nothing is lost; but whoever asks how things stand is told. Who is told to leave tries once."""
    said = False
    while True:
        try:
            if said:
                station.reopen()
            station.save(saves)
        except errors.StoreFull as error:
            if not said:
                log_events.emit(station.process.logger, "disk_full", {"error": str(error)})
            said = True
            station.process.manager.say_alive(station.process.clock.now(), is_ready=station.is_ready)
            station.wait_for_room(str(error), FULL_RETRY)
            if station.leaving:
                raise errors.StoreFull("told to stop while the disk was full") from error
        else:
            if said:
                log_events.emit(station.process.logger, "disk_has_room", {})
            return


def main(start: Callable[[], Station], logger: logging.Logger, **about: object) -> int:
    """Start a station, run it, close it; returns its exit code. Errors are one line on stderr."""
    try:
        station = start()
    except errors.PenstockError as error:
        sys.stderr.write(f"penstock: {error}\n")
        if isinstance(error, errors.NoAddress | errors.Refused):
            return NO_ADDRESS if isinstance(error, errors.NoAddress) else REFUSED
        wrong_use = isinstance(error, errors.StoreInUse | errors.SchemaMismatch | errors.UnfitFolder)
        return STORE_FAILED if isinstance(error, errors.StoreError) and not wrong_use else WRONG_USE
    log_events.emit(logger, "started", {"pid": os.getpid(), **about})
    try:
        run(station)
    except errors.StoreError as error:
        log_events.emit(logger, "store_failed", {"error": str(error)})
        return STORE_FAILED
    except errors.Refused as error:
        sys.stderr.write(f"penstock: {error}\n")
        return REFUSED
    finally:
        station.close()
    log_events.emit(logger, "stopped", {"pid": os.getpid()})
    return station.exit_code
