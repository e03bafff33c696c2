"""A worker: runs jobs in the slots of one host.

======== ==== ============ =================================================
socket   type peer         carries
======== ==== ============ =================================================
report   PUSH ventilator   hello, took, heartbeat, handed back
control  SUB  ventilator   greeting, jobs by name, hand back, cancel, closed
jobs     PULL ventilator   rounds of jobs
outcomes PUSH sink         what the jobs came to
======== ==== ============ =================================================

No user code runs in this process: it always answers. When it dies its slots die with it, and the ventilator gives its
jobs to others; outcomes it had not delivered are lost with it, and those jobs run again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import signal
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, assert_never

from msgspec.structs import replace

from penstock.exit_codes import UNDELIVERED
from penstock.job.payload import NO_PICKLE
from penstock.job.private_folder import remove_abandoned
from penstock.job.spec import new_worker_id
from penstock.job.spooled_output import Segments
from penstock.keys.roles import Role
from penstock.station import loop, other_version
from penstock.station.capacity import make_room
from penstock.station.clock import Clock
from penstock.station.config import WorkerConfig, from_argv
from penstock.station.contract import Log, Renew, Report
from penstock.station.log_events import emit, setup
from penstock.station.service_manager import ServiceManager
from penstock.station.station_keys import for_station
from penstock.station.ventilator_contact import Outlet, VentilatorContact
from penstock.url import endpoints
from penstock.version import VERSION
from penstock.wire.frames import Decoder, Wire
from penstock.wire.messages import (
    Beat,
    FunctionPart,
    Greeting,
    Hello,
    Jobs,
    Outcomes,
    Output,
    Prints,
    VentilatorToWorker,
    Welcome,
)
from penstock.wire.parts import Inbound, Outbound
from penstock.wire.records import OPENS, Message, PartsTaken, Print
from penstock.wire.socket_sets import WORKER_SOCKETS, worker_links
from penstock.wire.sockets import Received
from penstock.worker.contract import (
    Cut,
    Deliver,
    DeliverLiveOutput,
    DeliverOutput,
    EndSlot,
    FreeFunction,
    FreeLease,
    FreeOutput,
    FunctionReady,
    JobsConnected,
    Leave,
    LookAtStack,
    PartsArriving,
    PartsUnderWay,
    Run,
    SinkConnected,
    Stop,
    Touch,
    WorkerEffect,
)
from penstock.worker.core import WorkerCore
from penstock.worker.job_bytes import JobBytes
from penstock.worker.job_lines import JobLines, Screens
from penstock.worker.lifetime import Lifetime
from penstock.worker.slot_host import SlotHost
from penstock.worker.slots import Slots
from penstock.worker.terminal_output import FLUSH_INTERVAL, TerminalOutput

LAST_REPORT_TIME = 5.0
"""Seconds that what was reported last has to arrive, in parts, before the process ends: what was handed back runs
elsewhere at once then."""
LAST_FLUSH_TIME = 1.0
"""Seconds that a reader of what jobs print may pause at the end."""


class Worker:
    """What stands around WorkerCore: its sockets and its slots. It carries out what the core decides."""

    def __init__(
        self,
        core: WorkerCore,
        slots: Slots,
        links: loop.StationLinks,
        process: loop.Process,
        hello: Hello,
        contact: VentilatorContact,
        outlet: Outlet,
        screens: Screens,
        grace: float,
    ) -> None:
        """`hello`: who it is. `contact` and `outlet`: with the ventilator and the sink. `grace`: seconds between
        SIGTERM and SIGKILL for jobs that are ended."""
        self.core = core
        self._slots = slots
        self.links = links
        self.process = process
        self._id, self._name, self._own_name = hello.worker, hello.name, hello.name
        self._contact = contact
        self._outlet = outlet
        self._screens = screens
        self._grace = grace
        self._leaves_at: float | None = None
        """When this process ends although what it reported last is on its way."""
        self.leaving: bool = False
        self.exit_code: int = 0
        self._decoder = Decoder(VentilatorToWorker)
        self._malformed = loop.Malformed(process)
        self._to_sink = Outbound(links, "outcomes", hello.worker)
        self._to_ventilator = Outbound(links, "report", hello.worker)
        self._from_control = Inbound(links.frame_bytes, self._malformed.note)
        self._bytes = JobBytes()

    @property
    def is_ready(self) -> bool:
        """Whether it is given jobs."""
        return self._contact.joined

    def next_wakeup(self) -> float | None:
        """When the core or the slots have something to do."""
        due = [self.core.next_wakeup(), self._contact.due_at, self._outlet.due_at, self._leaves_at]
        if self._screens.waits:
            due.append(self.process.clock.now() + FLUSH_INTERVAL)
        if (slots_due := self._slots.next_wakeup()) is not None:
            due.append(slots_due)
        return min(instant for instant in due if instant is not None)

    # ------------------------------------------------------------------------------------------ in

    def receive(self, names: list[str], fds: list[int]) -> Iterator[Any]:
        """Messages, connections and what the slots say, as inputs for the core."""
        now = self.process.clock.now()
        for fd in fds:
            if fd == self.process.lifeline:
                self.leaving = True
            elif fd == self.process.orders.fd:
                yield from (Stop() for _ in range(self.process.orders.read()))
            else:
                yield from self._from_slots(self._slots.receive(fd))
        yield from self._from_slots(self._slots.tick(now))
        self._screens.flush()
        down = self.links.down(*(("control", "report", "jobs") if self._contact.joined else WORKER_SOCKETS))
        connected = self.links.connections("control") > 0
        self._say(self._contact.look(connected, down, self.links.handshake_failure, now))
        self._say(self._outlet.look(self.links.connections("outcomes") > 0, now))
        if "monitor:jobs" in names and any(self.links.connection_events("jobs")):
            yield JobsConnected()
        if "monitor:outcomes" in names and any(self.links.connection_events("outcomes")):
            self._to_sink.drop()
            yield SinkConnected()
        if "monitor:report" in names and any(self.links.connection_events("report")):
            self._to_ventilator.reconnected(now)
        for outward in (self._to_sink, self._to_ventilator):
            outward.tick(now)
        for name in ("control", "jobs"):
            if name in names:
                for received in self.links.receive(name):
                    yield from self._from_ventilator(received, now)
        for _, _, taken in self._from_control.taken(now):
            self.links.send("report", PartsTaken(taken.stream, taken.position, self._id))
            yield PartsArriving()
        if self._to_sink.busy():
            yield PartsUnderWay()
        if self._to_ventilator.busy():
            yield PartsUnderWay(to_sink=False)
        self._leave_if_said(now)

    def _leave_if_said(self, now: float) -> None:
        """All that it had to report has arrived, or cannot."""
        if self._leaves_at is not None and (not self._to_ventilator.busy() or now >= self._leaves_at):
            self.leaving = True

    def _from_slots(self, inputs: Iterable[Any]) -> Iterator[Any]:
        for event in inputs:
            self._screens.show(event, self.process.clock.wall_time())
            yield event

    def _from_ventilator(self, received: Received, now: float) -> Iterator[Any]:
        found = self._from_control.whole(received, self._decode, now)
        if found is None:
            return
        message, payload = found[1]
        self._say(other_version.said(message))
        if isinstance(message, Welcome):
            self._say(self._contact.welcomed(message.number, now))
            self._be_called(message.name or self._own_name)
        if isinstance(message, Beat | Welcome):
            self._to_sink.takes(message.parts)
        elif isinstance(message, Greeting):
            self._to_ventilator.drop()  # the hello that answers it has all of that
            self._to_ventilator.takes(message.parts)
        elif isinstance(message, PartsTaken):
            if self._to_ventilator.arrived(message, now):
                return
            self._to_sink.arrived(message, now)
        elif isinstance(message, FunctionPart):
            if self._bytes.put(message, payload):
                yield FunctionReady(message.function, message.total)
            return
        elif isinstance(message, Jobs):
            self._bytes.unpack(message, payload)
        yield message

    def _be_called(self, name: str) -> None:
        """From now on, by whoever asks who has run a job."""
        if name != self._name:
            self._name = name
            self._say([Log("name_taken", {"name": self._own_name, "called": name})])

    def _decode(self, received: Received) -> Wire | None:
        return self._malformed.decode(self._decoder, received)

    # ------------------------------------------------------------------------------------------ out

    def save(self, saves: list[Any]) -> None:
        """A worker has no store."""
        raise AssertionError(saves)

    @property
    def untidy(self) -> bool:
        """A worker has no store."""
        return False

    def reopen(self) -> None:
        """A worker has no store."""

    def wait_for_room(self, why: str, seconds: float) -> None:
        """A worker has no store."""

    def perform(self, action: WorkerEffect) -> Iterable[Any]:
        """Carry out one effect."""
        match action:
            case Run():
                self._run(action)
            case Deliver(records, bodies, tokens):
                self._deliver(Outcomes(self._id, self._name, records, tokens), *bodies)
            case DeliverLiveOutput(heads, texts, tokens, number):
                self._deliver(Prints(self._id, self._name, heads, tokens, number), *texts)
            case DeliverOutput(heads, sources, tokens, number):
                parts = Output(self._id, self._name, heads, tokens, number)
                self._deliver(parts, *map(self._read_output, heads, sources))
            case FreeOutput(slot, output):
                self._slots.free_output(slot, output)
            case Report(message):
                if isinstance(message, Hello):
                    self._contact.said_hello(message.number, self.process.clock.now())
                    message = replace(message, wall_time=self.process.clock.wall_time())
                self._to_ventilator.send(self.process.clock.now(), message)
            case Touch(until):
                self._slots.allow(until)
            case Renew(is_said):
                if not self.links.down("report"):  # else it is known why nothing is heard
                    self.links.renew("control", is_said=is_said)
            case FreeLease(lease):
                if self._bytes.free(lease):
                    self._slots.free(lease)
            case FreeFunction(function):
                self._bytes.forget(function)
            case LookAtStack(number, batch, index):
                self._slots.look_at_stack(number, batch, index)
            case Cut(slot, piece):
                self._slots.cut(slot, piece)
            case EndSlot(slot, piece, spans, state, cause):
                self._slots.end(slot, piece, self._grace, state, cause, spans)
            case Leave(undelivered):
                now = self.process.clock.now()
                self._leaves_at = now + LAST_REPORT_TIME
                self._leave_if_said(now)
                self._grace = 0.0  # what runs still has had it
                self.exit_code = UNDELIVERED if undelivered else 0
            case _:
                assert_never(action)
        return ()

    def _deliver(self, message: Message, *payload: bytes | memoryview) -> None:
        self._to_sink.send(self.process.clock.now(), message, *payload)

    def _read_output(self, head: Print, source: tuple[int, Segments]) -> bytes:
        slot, output = source
        return self._slots.read_output(slot, int(head.is_error), output, head.position, head.size)

    def _say(self, news: Iterable[Log]) -> None:
        for log in news:
            emit(self.process.logger, log.event, log.fields)

    def _run(self, action: Run) -> None:
        code, arguments = self._bytes.code(action.head.function), self._bytes.arguments(action.lease.number)
        self._screens.given(action, code, arguments)
        self._slots.run(action, code, arguments)

    def close(self) -> None:
        """End the slots, which is hurried by a signal, then the sockets."""
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        orders = self.process.orders
        orders.read()
        list(self._from_slots(self._slots.close(self._grace, [orders.fd])))
        with contextlib.suppress(OSError):  # there is no folder for temporary files
            remove_abandoned(Path(tempfile.gettempdir()))  # jobs may have left pipelines open
        self.links.close()
        self._screens.flush(LAST_FLUSH_TIME)


def start(config: WorkerConfig, logger: logging.Logger) -> Worker:
    """A worker with its real slots and sockets."""
    make_room(config.slots)
    signals = loop.Signals()
    clock = Clock()
    worker = new_worker_id()
    security = for_station(config, Role.WORK)
    name = config.name if security.key is None else f"{security.key.name}/{config.name}"
    if config.no_pickle:
        os.environ[NO_PICKLE] = "1"
    manager = ServiceManager(os.environ, config.health_file)
    # forks before any ZeroMQ context exists
    slots = SlotHost(config.slots, name, config.allow_users, grace=config.grace, jobs_per_slot=config.jobs_per_slot)
    links = worker_links(config.url, worker, security)
    for fd in (signals.fd, *slots.filenos()):
        links.watch(fd)
    if config.lifeline is not None:
        links.watch(config.lifeline)
    hello = Hello(
        worker=worker,
        life=0,
        connection=0,
        number=0,
        name=name,
        host=socket.gethostname(),
        pid=os.getpid(),
        slots=config.slots,
        window=0,
        held=(),
        python=platform.python_version(),
        tags=config.tags,
        version=VERSION,
        users=config.allow_users,
        opens=tuple(kind for kind in OPENS if kind != "pickle" or not config.no_pickle),
        parts=True,
    )
    now = clock.now()
    sink = f"{endpoints(config.url).outcomes} (outcomes)"
    shift = (config.idle_timeout, config.time_limit, config.drain_before)
    lifetime = Lifetime(now, *shift, config.grace, config.leave_within)
    core = WorkerCore(
        hello,
        now,
        lease_time=config.lease_time,
        heartbeat_interval=config.heartbeat_interval,
        lifetime=lifetime,
        outlet=sink,
    )
    process = loop.Process(logger, signals, clock, config.lifeline, manager)
    contact, outlet = (
        VentilatorContact(config.url, now, slots=config.slots),
        Outlet(sink, now),
    )
    return Worker(core, slots, links, process, hello, contact, outlet, _screens(config), config.grace)


def _screens(config: WorkerConfig) -> Screens:
    streams = (sys.stdout, sys.stderr) if config.pass_output else ()
    lines = JobLines(TerminalOutput(sys.stdout.fileno())) if config.show_jobs else None
    return Screens(tuple(TerminalOutput(stream.fileno()) for stream in streams), lines)


def main(config: WorkerConfig) -> int:
    """Run a worker until it has drained after SIGTERM; returns the exit code."""
    logger = setup("worker", config.log_level, config.limits.log_chars, config.log_format)
    return loop.main(lambda: start(config, logger), logger, url=config.url, name=config.name, slots=config.slots)


if __name__ == "__main__":
    sys.exit(main(from_argv(WorkerConfig)))
