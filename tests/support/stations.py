"""What tests of real processes share: free ports, stations, waiting."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import psutil

from penstock.station.config import SinkConfig, StationConfig, VentilatorConfig, WorkerConfig
from penstock.url import SOCKET_NAMES
from penstock.wire.bounds import HEARTBEAT_INTERVAL, LEASE_TIME, TRANSIENT_TIME

T = TypeVar("T")

LIMIT = 60.0
"""Seconds that something on a busy machine may take. No test waits that long when all is well."""
PORTS = range(10_000, 32_000, 10)
"""Below the range from which the kernel takes ports of its own accord (ip_local_port_range)."""


def until(look: Callable[[], T], limit: float = LIMIT, what: str = "") -> T:
    """Look again and again until what is seen is true; returns it. Fails after `limit` seconds, with the last seen."""
    end = time.monotonic() + limit
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit:g} s: {what or look}; last seen: {seen!r}")
        time.sleep(0.02)


def at_once(trace: Path) -> int:
    """How many jobs ran at once at most, by the trace of `overlapping` or one like it."""
    signs = trace.read_text().replace("\n", "")
    trace.unlink()
    return max(accumulate(1 if sign == "+" else -1 for sign in signs))


def free_url() -> str:
    """The URL of six free ports on loopback."""
    while True:
        base = random.choice(PORTS)
        with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
            for port in range(base, base + len(SOCKET_NAMES)):
                opened.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return f"tcp://127.0.0.1:{base}"


def descendants(mark: str) -> list[psutil.Process]:
    """Every living process that was started under an environment with `mark` in it, in whatever session it is now."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if mark.encode() in Path(f"/proc/{process.pid}/environ").read_bytes():
                found.append(process)
    return found


def embedded_pids(folder: Path) -> dict[str, int]:
    """The processes of the pipeline that is embedded in this one, by name: none if there is none, and one that is just
    started again may be missing. `folder` is that of temporary files."""
    pids = {path.stem: int(path.read_text()) for path in folder.glob("penstock-*/*.pid")}
    with contextlib.suppress(psutil.Error, KeyError):
        pids["supervisor"] = psutil.Process(pids["ventilator"]).ppid()
    return pids


class Stations:
    """Real station processes of one pipeline, with their logs in a folder; `close` kills what still runs."""

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        lease_time: float = LEASE_TIME,
        heartbeat_interval: float = HEARTBEAT_INTERVAL,
        **settings: Any,
    ) -> None:
        """`settings`: of every station's configuration; `start` takes more."""
        self.folder = folder
        self.url = url
        self._common = {"lease_time": lease_time, "heartbeat_interval": heartbeat_interval, **settings}
        self.transient_time = TRANSIENT_TIME
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *names: str, slots: int = 1, url: str = "", **settings: Any) -> None:
        """Start ``ventilator``, ``sink``, or a worker of any other name with these settings of its own; `url`: by which
        it reaches the others."""
        for name in names:
            with self.log(name).open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    self.argv(name, slots, url or self.url, settings),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def argv(self, name: str, slots: int, url: str, settings: dict[str, Any]) -> list[str]:
        """The command that `start` starts."""
        config: StationConfig
        common: Any = self._common | settings
        data = {"data": str(self.folder / "data")} | common
        if name == "ventilator":
            config = VentilatorConfig(url=url, transient_time=self.transient_time, **data)
        elif name == "sink":
            config = SinkConfig(url=url, **data)
        else:
            config = WorkerConfig(url=url, slots=slots, **{"name": name} | common)
        module = name if name in {"ventilator", "sink"} else "worker"
        return [sys.executable, "-m", f"penstock.{module}.process", msgspec.json.encode(config).decode()]

    def log(self, name: str) -> Path:
        """Where a station's log is."""
        return self.folder / f"{name}.log"

    def end(self, name: str, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait until the process is gone; its exit code."""
        self.processes[name].send_signal(number)
        return self.processes.pop(name).wait(LIMIT)

    def close(self) -> None:
        """Kill whatever is left."""
        for process in self.processes.values():
            process.kill()
            process.wait(LIMIT)
        self.processes.clear()


def logs(folder: Path) -> Iterator[str]:
    """The last lines of every log in a folder, for the report of a test that failed."""
    for path in sorted(folder.glob("*.log")):
        yield f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-40:])
