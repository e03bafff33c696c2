"""The parent process of stations: of those that `penstock up` runs, and of those of an embedded pipeline.

A station is a fork of it, so that what they import is in memory once: whenever it starts one, it has no threads and no
ZeroMQ context. Promises:

1. Before the pipeline is up, a station that ends is an error. Later it is started again: at once, then after 1, 2, 4
   ... 30 seconds, until it has lived for a minute, and without end. An embedded pipeline has an end: a client that
   waits is told when a station cannot live.
2. A station has a session of its own: Ctrl-C reaches only this process.
3. They end in order: workers finish while there is somebody to report to, then the ventilator and the sink.
4. They end with this process, however it ends: jobs have their grace. Those of an embedded pipeline end at once: the
   supervisor that follows this one never meets them.

An embedded pipeline's supervisor ends when its client's end of stdin closes, however the client went; then the private
folder goes. If a station could not live, the file `ended` there says why.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import math
import os
import select
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from penstock.errors import PenstockError
from penstock.exit_codes import FAILURE, REFUSED, SOFTWARE, SUCCESS, in_words
from penstock.job.private_file import open_private, write_private
from penstock.job.private_folder import remove_abandoned
from penstock.sink import process as sink
from penstock.slot.process_tree import die_with_parent, reset_signals
from penstock.station.config import SinkConfig, StationConfig, VentilatorConfig, WorkerConfig
from penstock.ventilator import process as ventilator
from penstock.worker import process as worker

RESTART_DELAYS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds until a station that has ended once, twice, ... in a row is started again: what is wrong may heal by itself,
and a start costs a second of a core."""
LONG_LIFE = 60.0
"""Seconds after which a station's earlier ends are forgotten: what ended it then is something new."""
STOP_TIME = 5.0
"""Seconds a station has to end by itself when its lifeline ends, beyond the grace of the jobs that run then."""
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""They end what is waited for by an exception."""
LOG_LINES = 5
"""Shown of the log of a station that could not live."""
STDIN, STDOUT, STDERR = 0, 1, 2

MAINS: dict[str, Callable[[Any], int]] = {"worker": worker.main, "ventilator": ventilator.main, "sink": sink.main}
"""What each kind of station runs."""


class StationEndedError(PenstockError):
    """A station ended that cannot live, or not yet: of this kind, with this exit code, negative for a signal."""

    def __init__(self, kind: str, code: int) -> None:
        super().__init__(f"the {kind} ended with {in_words(code)}")
        self.kind = kind
        self.code = code


@dataclass(eq=False)
class Station:
    """One that is to run: its process, if there is one, else when it is due to be started."""

    kind: str
    config: StationConfig
    pid: int = 0
    started_at: float = 0.0
    due_at: float = 0.0
    ends: int = 0
    """How often in a row it has ended within LONG_LIFE."""

    def ended(self, now: float) -> float:
        """Its process is gone; returns in how many seconds it is due to be started again."""
        self.ends = 1 if now >= self.started_at + LONG_LIFE else self.ends + 1
        delay = RESTART_DELAYS[min(self.ends, len(RESTART_DELAYS)) - 1]
        self.pid, self.due_at = 0, now + delay
        return delay


class Supervisor:
    """Starts stations, starts again what ends, and ends them in order."""

    def __init__(
        self,
        stations: list[Station],
        *,
        folder: Path | None = None,
        restarts: float = math.inf,
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        """`folder`: the private one of an embedded pipeline, with the pids of its stations and the logs of its
        ventilator and sink; its worker is started again also if it left by itself. `restarts`: how many in a row help,
        if ever; `say` is told of each."""
        self.is_up: bool = False
        """To be set once all stations have been reached."""
        self._stations = stations
        """Those that run, and those that are due to be started."""
        self._folder = folder
        self._restarts = restarts
        self._say = say
        self._grace = max((one.config.grace for one in stations if isinstance(one.config, WorkerConfig)), default=0.0)
        self._leaving: Collection[str] = ()
        """Kinds of stations that are not started again."""
        self._lifeline, self._held = os.pipe2(os.O_CLOEXEC)
        self._died, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def start(self) -> None:
        """Start all stations, and do not wait."""
        gc.collect()
        gc.freeze()  # a collection in one process would copy what all share
        self.wait(timeout=0)

    def wait(self, *files: int, timeout: float | None = None) -> list[int]:
        """Look after the stations until something happens, at most `timeout` seconds; returns which of these files can
        be read. Raises StationEndedError: a station ended and is not started again."""
        due = [max(0.0, one.due_at - time.monotonic()) for one in self._stations if not one.pid]
        limits = due if timeout is None else [*due, timeout]
        ready, _, _ = select.select([*files, self._died], [], [], min(limits, default=None))
        with contextlib.suppress(BlockingIOError):
            os.read(self._died, 64)
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)  # else a child could be forked that nobody knows of
            for station in self._running():
                pid, status = os.waitpid(station.pid, os.WNOHANG)
                if pid:
                    self._bury(station, os.waitstatus_to_exitcode(status))
            for station in self._stations:
                if not station.pid and station.due_at <= time.monotonic():
                    self._start(station)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
        return ready

    def stop(self) -> None:
        """Workers finish first, while there is someone to report to. Interrupted, all end as soon as what runs has had
        its grace; interrupted again, at once."""
        try:
            self._terminate("worker")
            self._terminate("ventilator", "sink")
        finally:
            self.end()

    def end(self) -> None:
        """End all stations as soon as what runs has had its grace; kill those that do not end."""
        self._let_go(MAINS)
        os.close(self._held)
        deadline = time.monotonic() + STOP_TIME + self._grace
        try:
            while self._stations and (left := deadline - time.monotonic()) > 0:
                self.wait(timeout=left)
        except KeyboardInterrupt:
            self._terminate("worker")
            raise
        for station in self._stations:
            os.kill(station.pid, signal.SIGKILL)
            os.waitpid(station.pid, 0)

    def _running(self, kinds: Collection[str] = tuple(MAINS)) -> list[Station]:
        return [one for one in self._stations if one.pid and one.kind in kinds]

    def _let_go(self, kinds: Collection[str]) -> None:
        """Stations of these kinds are not started again."""
        self._leaving = kinds
        self._stations = [one for one in self._stations if one.pid or one.kind not in kinds]

    def _terminate(self, *kinds: str) -> None:
        """Let stations of these kinds end, however long that takes; the others are looked after meanwhile."""
        self._let_go(kinds if self.is_up else MAINS)
        for station in self._running(kinds):
            os.kill(station.pid, signal.SIGTERM)
        while self._running(kinds):
            self.wait()

    def _bury(self, station: Station, code: int) -> None:
        self._stations.remove(station)
        if station.kind in self._leaving:
            return
        delay = station.ended(time.monotonic())
        if not self.is_up or station.ends > self._restarts:
            raise StationEndedError(station.kind, code)
        if station.kind == "worker" and code in {SUCCESS, REFUSED} and self._folder is None:
            return  # it was drained, or its key was revoked
        self._stations.append(station)
        in_time = f" in {delay:g} s" if delay else ""
        self._say(f"the {station.kind} ended with {in_words(code)}: started again{in_time}")

    def _start(self, station: Station) -> None:
        supervisor = os.getpid()
        station.pid, station.started_at = os.fork(), time.monotonic()
        if station.pid:
            if self._folder is not None:
                written = self._folder / f"{station.kind}.pid.new"
                write_private(written, str(station.pid))
                written.replace(self._folder / f"{station.kind}.pid")
            return
        code = SOFTWARE
        try:  # nothing of the supervisor may run in a station
            if self._folder is not None:
                die_with_parent(supervisor)
            code = self._become(station)
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
        finally:
            try:
                atexit._run_exitfuncs()  # noqa: SLF001 - what waits for the end of any process, coverage for one
            finally:
                os._exit(code)

    def _become(self, station: Station) -> int:
        os.setsid()
        signal.set_wakeup_fd(-1)
        reset_signals()
        for fd in (self._held, self._died, self._wake):
            os.close(fd)
        with contextlib.suppress(OSError):
            Path("/proc/self/comm").write_text(station.kind)  # as ps and top show it
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, STDIN)
        if self._folder is not None and station.kind != "worker":  # which shows what jobs print
            os.dup2(null, STDOUT)
            log = open_private(self._folder / f"{station.kind}.log", os.O_WRONLY | os.O_APPEND)
            os.dup2(log, STDERR)
        os.close(null)
        return MAINS[station.kind](msgspec.structs.replace(station.config, lifeline=self._lifeline))


class Order(msgspec.Struct, frozen=True):
    """What the client of an embedded pipeline tells: the private folder and the open file that is its lock, the
    stations' settings, the client's sys.path. `restarts`: how often in a row a station is started again; then something
    is wrong that a restart does not heal."""

    folder: str
    lock: int
    path: list[str]
    restarts: int
    worker: WorkerConfig
    ventilator: VentilatorConfig
    sink: SinkConfig


def _last_words(folder: Path, kind: str) -> str:
    if kind == "worker":
        return ": it said why on stderr"
    with contextlib.suppress(OSError):
        lines = (folder / f"{kind}.log").read_text(errors="backslashreplace").strip().splitlines()[-LOG_LINES:]
        return "".join(f"\n  {line}" for line in lines)
    return ""


def main(text: str) -> int:
    """Run an embedded pipeline's stations until the client is gone or one cannot live; returns the exit code."""
    order = msgspec.json.decode(text, type=Order)
    folder = Path(order.folder)
    os.set_inheritable(order.lock, False)  # the stations have it, what they execute has not
    # the worker first: its slots take longest to come up
    stations = [Station(kind, getattr(order, kind)) for kind in ("worker", "ventilator", "sink")]
    supervisor = Supervisor(stations, folder=folder, restarts=order.restarts)
    reason = ""
    try:
        supervisor.start()
        remove_abandoned(folder.parent)
        while not (ready := STDIN in supervisor.wait(STDIN)) or os.read(STDIN, 64):
            supervisor.is_up |= ready
    except StationEndedError as error:
        reason = f"the embedded {error.kind} ended with {in_words(error.code)}{_last_words(folder, error.kind)}"
    finally:
        supervisor.end()
    if reason:
        write_private(folder / "ended", reason)
        return FAILURE
    shutil.rmtree(folder, ignore_errors=True)
    return SUCCESS
