"""The whole pipeline on this machine: three station processes in a private folder that live as long as their client.

The client holds the writing end of a pipe, the lifeline; the stations end when it closes, also when the client is
killed.
A station that dies is started again: its files are still there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path

import msgspec

from penstock.config import IPC_PATH_BYTES, SinkConfig, StationConfig, VentilatorConfig, WorkerConfig, default_slots
from penstock.errors import NoPipeline

START = "import json,sys; sys.path[:]=json.loads(sys.argv[1])['path']; "
START += "from penstock.embedded import main; sys.exit(main(sys.argv[1]))"

START_TIME = 30.0
"""Seconds the stations have to come up: a cold start of Python from a slow disk, many times over."""
RESTARTS = 5
"""So often a station is started again within RESTART_TIME; then something is wrong that a restart does not heal."""
RESTART_TIME = 60.0
STOP_TIME = 3.0
"""Seconds a station has to end by itself when the client leaves; all of its work is done or given up by then."""
LOG_LINES = 5
"""Shown of the log of a station that died."""

_living: weakref.WeakSet[LocalStations] = weakref.WeakSet()


class Station:
    """One station's process."""

    def __init__(self, kind: str, config: StationConfig, folder: Path, log: Path | None) -> None:
        """`log`: where its stderr goes; None: it shares the client's stdout and stderr."""
        self.kind = kind
        self._order = msgspec.json.encode(
            {"kind": kind, "config": config, "folder": str(folder), "path": sys.path}
        ).decode()
        self._lifeline = config.lifeline
        self._log = log
        self._started_at: list[float] = []
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._started_at.append(time.monotonic())
        assert self._lifeline is not None
        with contextlib.ExitStack() as stack:
            log = None if self._log is None else stack.enter_context(self._log.open("ab"))
            return subprocess.Popen(
                [sys.executable, "-c", START, self._order],
                stdin=subprocess.DEVNULL,
                stdout=None if log is None else subprocess.DEVNULL,
                stderr=log,
                pass_fds=(self._lifeline,),
                start_new_session=True,
            )

    def check(self, *, restart: bool) -> None:
        """Start it again if it has died. Raises NoPipeline: it may not be, or it has died too often."""
        if self.process.poll() is None:
            return
        recent = [at for at in self._started_at if at > time.monotonic() - RESTART_TIME]
        if not restart or len(recent) > RESTARTS:
            raise NoPipeline(
                f"the embedded {self.kind} ended with {_exit(self.process.returncode)}{self._last_words()}"
            )
        self.process = self._start()

    def _last_words(self) -> str:
        if self._log is None:
            return ": it said why on stderr"
        with contextlib.suppress(OSError):
            lines = self._log.read_text(errors="backslashreplace").strip().splitlines()[-LOG_LINES:]
            return "".join(f"\n  {line}" for line in lines)
        return ""

    def stop(self, deadline: float) -> None:
        """Wait for its end; kill it at the deadline."""
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class LocalStations:
    """Ventilator, sink and one worker, for this process."""

    start_time = START_TIME

    def __init__(self, slots: int | None = None, data: Path | None = None, *, pass_output: bool = True) -> None:
        """Starts them, and does not wait. `data`: a folder that keeps the batches; None: they go with the client.
        `pass_output`: show what jobs print where the client was started."""
        self.slots = slots or default_slots()
        self._pid = os.getpid()
        self._up = False
        self._folder = _private_folder()
        self._lifeline, self._held = os.pipe2(os.O_CLOEXEC)
        self._stations: list[Station] = []
        _living.add(self)
        self.url = f"ipc://{self._folder}"
        store = str(data.absolute() if data is not None else self._folder / "data")
        try:
            self._start(
                "worker",
                WorkerConfig(
                    url=self.url,
                    lifeline=self._lifeline,
                    slots=self.slots,
                    name="local",
                    pass_output=pass_output,
                    log_level="ERROR",
                ),
            )
            self._start(
                "ventilator",
                VentilatorConfig(
                    url=self.url, lifeline=self._lifeline, data=store, durable=False, scratch=data is None
                ),
            )
            self._start(
                "sink",
                SinkConfig(url=self.url, lifeline=self._lifeline, data=store, durable=False, scratch=data is None),
            )
        except BaseException:
            self.stop()
            raise

    def _start(self, kind: str, config: StationConfig) -> None:
        log = None if kind == "worker" else self._folder / f"{kind}.log"
        self._stations.append(Station(kind, config, self._folder, log))

    def pids(self) -> dict[str, int]:
        """The stations' processes."""
        return {station.kind: station.process.pid for station in self._stations}

    def up(self) -> None:
        """They have all answered: from now on one that dies is started again."""
        self._up = True

    def check(self) -> None:
        """Look after them. Raises NoPipeline with the last words of one that died at its start, or too often."""
        for station in self._stations:
            station.check(restart=self._up)

    def stop(self) -> None:
        """End them, and leave nothing behind. In a forked child: nothing."""
        if os.getpid() != self._pid or self._held < 0:
            return
        self.let_go()
        deadline = time.monotonic() + STOP_TIME
        for station in self._stations:
            station.stop(deadline)
        shutil.rmtree(self._folder, ignore_errors=True)

    def let_go(self) -> None:
        """Close the lifeline."""
        for fd in (self._held, self._lifeline):
            with contextlib.suppress(OSError):
                os.close(fd)
        self._held = self._lifeline = -1


def _private_folder() -> Path:
    """A new folder that only this user can enter, with a path short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-"))
    if len(os.fsencode(folder / "outcomes.lock")) > IPC_PATH_BYTES:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="penstock-", dir="/tmp"))
    return folder


def _exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _in_child() -> None:
    # a child that held the lifeline too would keep the stations alive after this process
    for stations in list(_living):
        stations.let_go()


os.register_at_fork(after_in_child=_in_child)
