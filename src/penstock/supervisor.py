"""The supervisor of an embedded pipeline: forks the three stations, so that what they import is in memory once.

It imports all that they need, opens nothing, and has no threads; a station is a fork of it. Promises:

1. A station that dies is started again. Before the client has reached them all, or too often, it ends the pipeline,
   and the file ``ended`` in the private folder says why.
2. The stations end when the client's end of this process's stdin closes, however the client went; then the folder goes.
3. They end with this process too, at once: a supervisor that follows it never meets them.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import select
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

import msgspec

from penstock.exit_codes import FAILURE, SOFTWARE, in_words
from penstock.job.private_folder import remove_abandoned
from penstock.sink import process as sink
from penstock.slot.process_tree import die_with_parent
from penstock.station.config import SinkConfig, VentilatorConfig, WorkerConfig
from penstock.ventilator import process as ventilator
from penstock.worker import process as worker

RESTART_TIME = 60.0
"""Seconds within which `restarts` are counted."""
STOP_TIME = 5.0
"""Seconds a station has to end by itself when the client leaves, beyond the grace of the jobs that run then."""
LOG_LINES = 5
"""Shown of the log of a station that died."""
STDIN = 0


class Order(msgspec.Struct, frozen=True):
    """What the client tells: the private folder and the open file that is its lock, the stations' settings, the
    client's sys.path. `restarts`: so often a station is started again within RESTART_TIME; then something is wrong that
    a restart does not heal."""

    folder: str
    lock: int
    path: list[str]
    restarts: int
    worker: WorkerConfig
    ventilator: VentilatorConfig
    sink: SinkConfig


STATIONS = ("worker", "ventilator", "sink")
"""The worker first: its slots take longest to come up."""


class Supervisor:
    """The parent process of the stations of an embedded pipeline."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._folder = Path(order.folder)
        self._lifeline, self._held = os.pipe2(os.O_CLOEXEC)
        os.set_inheritable(order.lock, False)  # the stations have it, what they execute has not
        self._died, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._living: dict[int, str] = {}
        self._starts: dict[str, list[float]] = {kind: [] for kind in STATIONS}
        self._up = False
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> int:
        """Look after the stations until the client is gone or one cannot live; returns the exit code."""
        gc.collect()
        gc.freeze()  # a collection in one process would copy what all share
        try:
            for kind in STATIONS:
                self._start(kind)
            remove_abandoned(self._folder.parent)
            reason = self._supervise()
        finally:
            self._end()
        if reason:
            (self._folder / "ended").write_text(reason)
            return FAILURE
        shutil.rmtree(self._folder, ignore_errors=True)
        return 0

    def _supervise(self) -> str:
        """Why a station could not live; empty: the client is gone."""
        while True:
            ready, _, _ = select.select([STDIN, self._died], [], [])
            if STDIN in ready:
                if not os.read(STDIN, 64):
                    return ""
                self._up = True
            with contextlib.suppress(BlockingIOError):
                os.read(self._died, 64)
            for kind, status in self._ended():
                reason = f"the embedded {kind} ended with {in_words(status)}"
                recent = [at for at in self._starts[kind] if at > time.monotonic() - RESTART_TIME]
                if not self._up or len(recent) > self._order.restarts:
                    return reason + self._last_words(kind)
                self._start(kind)

    def _ended(self) -> list[tuple[str, int]]:
        """Which stations have ended, and their exit codes, negative for a signal."""
        ended = []
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                ended.append((self._living.pop(found[0]), os.waitstatus_to_exitcode(found[1])))
        return ended

    def _start(self, kind: str) -> None:
        self._starts[kind].append(time.monotonic())
        supervisor = os.getpid()
        pid = os.fork()
        if pid:
            self._living[pid] = kind
            written = self._folder / f"{kind}.pid.new"
            written.write_text(str(pid))
            written.replace(self._folder / f"{kind}.pid")
            return
        code = SOFTWARE
        try:
            die_with_parent(supervisor)
            code = self._become(kind)
        except BaseException:  # noqa: BLE001 - nothing of the supervisor may run in a station
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            try:
                atexit._run_exitfuncs()  # noqa: SLF001 - what waits for the end of any process, coverage for one
            finally:
                os._exit(code)

    def _become(self, kind: str) -> int:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for fd in (self._held, self._died, self._wake):
            os.close(fd)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, STDIN)
        if kind != "worker":  # which shows what jobs print
            os.dup2(null, sys.stdout.fileno())
            os.dup2(os.open(self._log(kind), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), sys.stderr.fileno())
        os.close(null)
        match kind:
            case "worker":
                return worker.main(msgspec.structs.replace(self._order.worker, lifeline=self._lifeline))
            case "ventilator":
                return ventilator.main(msgspec.structs.replace(self._order.ventilator, lifeline=self._lifeline))
            case _:
                return sink.main(msgspec.structs.replace(self._order.sink, lifeline=self._lifeline))

    def _log(self, kind: str) -> Path:
        return self._folder / f"{kind}.log"

    def _last_words(self, kind: str) -> str:
        if kind == "worker":
            return ": it said why on stderr"
        with contextlib.suppress(OSError):
            lines = self._log(kind).read_text(errors="backslashreplace").strip().splitlines()[-LOG_LINES:]
            return "".join(f"\n  {line}" for line in lines)
        return ""

    def _end(self) -> None:
        """Let the stations end; kill those that do not."""
        os.close(self._held)
        deadline = time.monotonic() + STOP_TIME + self._order.worker.grace
        while True:
            self._ended()
            left = deadline - time.monotonic()
            if not self._living:
                return
            if left <= 0:
                break
            select.select([self._died], [], [], left)
            with contextlib.suppress(BlockingIOError):
                os.read(self._died, 64)
        for pid in self._living:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def main(order: str) -> int:
    """Run an embedded pipeline's stations until the client is gone; returns the exit code."""
    return Supervisor(msgspec.json.decode(order, type=Order)).run()
