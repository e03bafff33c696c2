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
import functools
import os
import platform
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, assert_never

from penstock.exit_codes import UNDELIVERED
from penstock.job.payload import NO_PICKLE
from penstock.job.private_folder import remove_abandoned
from penstock.job.spec import new_worker_id
from penstock.job.spooled_output import Segments
from penstock.keys.roles import Role
from penstock.station import clock, loop
from penstock.station.capacity import make_room
from penstock.station.config import WorkerConfig, from_argv
from penstock.station.contract import Log, Renew, Report
from penstock.station.log_events import emit, setup
from penstock.station.station_keys import for_station
from penstock.station.ventilator_contact import Outlet, VentilatorContact
from penstock.url import endpoints
from penstock.version import VERSION
from penstock.wire.frames import Decoder, split
from penstock.wire.messages import (
    OPENS,
    FunctionPart,
    Hello,
    Jobs,
    Note,
    Outcomes,
    Output,
    Print,
    Prints,
    VentilatorToWorker,
    Welcome,
)
from penstock.wire.socket_sets import worker_links
from penstock.wire.sockets import Received
from penstock.worker.contract import (
    Cut,
    Deliver,
    DeliverOutput,
    DeliverPrints,
    EndSlot,
    FreeLease,
    FreeOutput,
    FunctionReady,
    JobsConnected,
    Leave,
    PieceDone,
    Run,
    SinkConnected,
    SlotDied,
    Stop,
    Touch,
    WorkerEffect,
)
from penstock.worker.core import WorkerCore
from penstock.worker.job_lines import JobLines
from penstock.worker.lifetime import Lifetime
from penstock.worker.slot_handle import Work
from penstock.worker.slot_host import SlotHost
from penstock.worker.terminal_output import FLUSH_INTERVAL, TerminalOutput

LAST_FLUSH_TIME = 1.0
"""Seconds that a reader of what jobs print may pause at the end."""
BLOCK_SECONDS = 0.0005
"""Of work that a slot does at a stretch where jobs are shorter than BLOCK_BELOW: it can be cut between blocks only."""
BLOCK_BELOW = 5e-5
"""Seconds per job below which marking each job (some 3 us, part of what is measured) costs too much."""


class Worker:
    """Sockets and slots around WorkerCore."""

    def __init__(self, config: WorkerConfig) -> None:
        self.logger = setup("worker", config.log_level, config.limits.log_chars)
        self.leaving = False
        self.exit_code = 0
        self._config = config
        make_room(config.slots)
        self._signals = loop.Signals()
        self._id = new_worker_id()
        security = for_station(config, Role.WORK)
        self._name = config.name if security.key is None else f"{security.key.name}/{config.name}"
        if config.no_pickle:
            os.environ[NO_PICKLE] = "1"
        self._grace = config.grace
        # forks before any ZeroMQ context exists
        self._slots = SlotHost(config.slots, self._name, config.allow_users, grace=config.grace)
        self.links = worker_links(config.url, self._id, security)
        for fd in (self._signals.fd, *self._slots.filenos()):
            self.links.watch(fd)
        if config.lifeline is not None:
            self.links.watch(config.lifeline)
        hello = Hello(
            worker=self._id,
            life=0,
            connection=0,
            number=0,
            name=self._name,
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
        )
        self.core = WorkerCore(
            hello,
            clock.now(),
            lease_time=config.lease_time,
            heartbeat_interval=config.heartbeat_interval,
            shift=Lifetime(clock.now(), config.idle_timeout, config.time_limit, config.drain_before, config.grace),
        )
        self._decoder = Decoder(VentilatorToWorker)
        streams = (sys.stdout, sys.stderr) if config.pass_output else ()
        self._echoes = tuple(TerminalOutput(stream.fileno()) for stream in streams)
        self._malformed = loop.Malformed(self.logger)
        self._contact = VentilatorContact(config.url, clock.now(), slots=config.slots)
        self._outlet = Outlet(endpoints(config.url).outcomes, clock.now())
        self._job_lines = JobLines(TerminalOutput(sys.stdout.fileno())) if config.show_jobs else None
        self._screens = self._echoes if self._job_lines is None else (*self._echoes, self._job_lines.screen)
        self._works: dict[int, Work] = {}
        self._functions: dict[bytes, bytes | memoryview] = {}
        self._parts: dict[bytes, bytearray] = {}

    def next_wakeup(self) -> float | None:
        """When the core or the slots have something to do."""
        due = [self.core.next_wakeup(), self._contact.due_at, self._outlet.due_at]
        if any(echo.waits for echo in self._screens):
            due.append(clock.now() + FLUSH_INTERVAL)
        if (slots_due := self._slots.next_wakeup()) is not None:
            due.append(slots_due)
        return min(instant for instant in due if instant is not None)

    # ------------------------------------------------------------------------------------------ in

    def receive(self, names: list[str], fds: list[int]) -> Iterator[Any]:
        """Messages, connections and what the slots say, as inputs for the core."""
        for fd in fds:
            if fd == self._config.lifeline:
                self.leaving = True
            elif fd == self._signals.fd:
                yield from (Stop() for _ in range(self._signals.read()))
            else:
                yield from self._from_slots(self._slots.receive(fd))
        yield from self._from_slots(self._slots.tick(clock.now()))
        for echo in self._screens:
            echo.flush()
        self._say(self._contact.look(self.links.connections("control") > 0, bool(self.links.shut_out), clock.now()))
        self._say(self._outlet.look(self.links.connections("outcomes") > 0, clock.now()))
        if "monitor:jobs" in names and any(self.links.connection_events("jobs")):
            yield JobsConnected()
        if "monitor:outcomes" in names and any(self.links.connection_events("outcomes")):
            yield SinkConnected()
        for name in ("control", "jobs"):
            if name in names:
                for received in self.links.receive(name):
                    yield from self._from_ventilator(received)

    def _from_slots(self, inputs: Iterable[Any]) -> Iterator[Any]:
        for event in inputs:
            if self._job_lines is not None:
                self._job_lines.ended(event, time.time())
            if self._config.pass_output and isinstance(event, PieceDone | SlotDied):
                self._pass_output([event.note] if isinstance(event, SlotDied) else [ran.note for ran in event.ran])
            yield event

    def _pass_output(self, notes: Iterable[Note | None]) -> None:
        """Show what jobs printed where this worker was started."""
        for note in notes:
            if note is not None:
                for echo, text in zip(self._echoes, (note.stdout, note.stderr), strict=True):
                    echo.show(text)

    def _from_ventilator(self, received: Received) -> Iterator[Any]:
        wire = self._malformed.decode(self._decoder, received)
        if wire is None:
            return
        if isinstance(wire.message, Welcome):
            self._say(self._contact.welcomed(wire.message.number, clock.now()))
        if isinstance(wire.message, FunctionPart):
            yield from self._assemble(wire.message, wire.payload)
            return
        if isinstance(wire.message, Jobs):
            self._unpack(wire.message, wire.payload)
        yield wire.message

    def _unpack(self, jobs: Jobs, payload: bytes | memoryview) -> None:
        sizes = [head.inline for head in jobs.batches] + [lease.size for lease in jobs.leases]
        parts = split(payload, sizes)
        heads = {head.batch: head for head in jobs.batches}
        for head, code in zip(jobs.batches, parts, strict=False):
            if head.inline == head.size:
                self._functions.setdefault(head.function, bytes(code))
        for lease, arguments in zip(jobs.leases, parts[len(jobs.batches) :], strict=True):
            if lease.batch in heads and lease.number not in self._works:
                head = heads[lease.batch]
                self._works[lease.number] = Work(
                    lease=lease.number,
                    batch=lease.batch,
                    spec=head.spec,
                    function=head.function,
                    code=functools.partial(self._functions.__getitem__, head.function),
                    first=lease.first,
                    payload=arguments,
                    stamp=lease.stamp,
                )

    def _assemble(self, part: FunctionPart, payload: bytes | memoryview) -> Iterator[Any]:
        """Parts of a function arrive in order; one out of order begins it anew at the next request."""
        if part.function in self._functions:
            return
        code = self._parts.setdefault(part.function, bytearray())
        if part.offset == 0:
            code.clear()
        if part.offset != len(code):
            return
        code += payload
        if len(code) == part.total:
            self._functions[part.function] = memoryview(self._parts.pop(part.function))
            yield FunctionReady(part.function)

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
                message = Outcomes(self._id, self._name, records, tokens)
                self.links.send("outcomes", message, *bodies)
            case DeliverPrints(heads, texts, tokens, number):
                self.links.send("outcomes", Prints(self._id, self._name, heads, tokens, number), *texts)
            case DeliverOutput(heads, sources, tokens, number):
                parts = Output(self._id, self._name, heads, tokens, number)
                self.links.send("outcomes", parts, *map(self._read_output, heads, sources))
            case FreeOutput(slot, output):
                self._slots.free_output(slot, output)
            case Report(message):
                if isinstance(message, Hello):
                    self._contact.said_hello(message.number, clock.now())
                self.links.send("report", message)
            case Touch(until):
                self._slots.allow(until)
            case Renew():
                self.links.renew("control")
            case FreeLease(lease):
                if self._works.pop(lease, None) is not None:
                    self._slots.free(lease)
            case Cut(slot, piece):
                self._slots.cut(slot, piece)
            case EndSlot(slot, piece, state, cause):
                self._slots.end(slot, piece, self._grace, state, cause)
            case Leave(undelivered):
                self.leaving = True
                self._grace = 0.0  # what runs still has had it
                self.exit_code = UNDELIVERED if undelivered else 0
            case _:
                assert_never(action)
        return ()

    def _read_output(self, head: Print, source: tuple[int, Segments]) -> bytes:
        slot, output = source
        return self._slots.read_output(slot, int(head.is_error), output, head.position, head.size)

    def _say(self, news: Iterable[Log]) -> None:
        for log in news:
            emit(self.logger, log.event, log.fields)

    def _run(self, action: Run) -> None:
        work = self._works[action.lease]
        if self._job_lines is not None:
            self._job_lines.given(action.slot, action.piece, work)
        block = 1
        if action.mean is not None and action.mean < BLOCK_BELOW:
            block = max(1, int(BLOCK_SECONDS / max(action.mean, 1e-8)))
        self._slots.run(action.slot, action.piece, work, action.start, action.stop, block)

    def close(self) -> None:
        """End the slots, which is hurried by a signal, then the sockets."""
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        self._signals.read()
        list(self._from_slots(self._slots.close(self._grace, [self._signals.fd])))
        with contextlib.suppress(OSError):  # there is no folder for temporary files
            remove_abandoned(Path(tempfile.gettempdir()))  # jobs may have left pipelines open
        self.links.close()
        for echo in self._screens:
            echo.flush(LAST_FLUSH_TIME)


def main(config: WorkerConfig) -> int:
    """Run a worker until it has drained after SIGTERM; returns the exit code."""
    logger = setup("worker", config.log_level, config.limits.log_chars)
    return loop.main(lambda: Worker(config), logger, url=config.url, name=config.name, slots=config.slots)


if __name__ == "__main__":
    sys.exit(main(from_argv(WorkerConfig)))
