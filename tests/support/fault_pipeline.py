"""A pipeline of real processes with short leases, and what a fault test does with it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jobs.fault import OPEN, STARTS
from penstock import Pipeline
from penstock.client import Batch
from support.stations import LIMIT, Stations, until

LEASE_TIME = 2.0
HEARTBEAT_INTERVAL = 0.4
HARM = ("SIGKILL", "SIGTERM", "SIGSTOP")

harm = pytest.mark.parametrize("how", HARM)


class World:
    """Stations that can be harmed, a client, and the traces of the jobs in `folder`."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.stations = Stations(folder, url, lease_time=LEASE_TIME, heartbeat_interval=HEARTBEAT_INTERVAL)
        self.start, self.end = self.stations.start, self.stations.end
        self.clients: list[Pipeline] = []

    def up(self, *workers: str, slots: int = 1) -> Pipeline:
        """Start ventilator, sink and these workers; a client of them."""
        self.start("ventilator", "sink", *workers, slots=slots)
        return self.client_of(*workers)

    def client_of(self, *workers: str) -> Pipeline:
        """A client of what was started, with these workers."""
        self.clients.append(Pipeline(self.stations.url))
        until(lambda: len(self.clients[0].workers()) == len(workers), what="all workers have joined")
        return self.clients[0]

    def batch(self, job: Callable[[str, int], object], count: int, **options: Any) -> Batch:
        """Jobs that leave traces here."""
        return self.clients[0].batch(job, [str(self.folder)] * count, range(count), **options)

    def harm(self, name: str, how: str) -> None:
        """SIGKILL or SIGTERM, and start it again; SIGSTOP for longer than a lease, and let it go on."""
        if how == "SIGSTOP":
            self.stop(name)
            time.sleep(LEASE_TIME * 1.5)
            self.go_on(name)
        else:
            code = self.end(name, signal.Signals[how])
            assert code == (0 if how == "SIGTERM" else -signal.SIGKILL)
            self.start(name)

    @contextmanager
    def dying_at(self, name: str, call: str, number: int = 1) -> Iterator[None]:
        """Let a station run into its death, at this system call: behind the block it has died, and is started again."""
        process = self.stations.processes[name]
        command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
        command += ["-e", f"inject={call}:signal=KILL:when={number}", "-p", str(process.pid)]
        tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        status = Path(f"/proc/{process.pid}/status")
        until(lambda: "TracerPid:\t0\n" not in status.read_text() or process.poll(), what="somebody traces it")
        yield
        assert process.wait(LIMIT) == -signal.SIGKILL
        tracer.wait(LIMIT)
        self.stations.processes.pop(name)
        self.start(name)

    def stop(self, name: str) -> None:
        """SIGSTOP."""
        self.stations.processes[name].send_signal(signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        """SIGCONT."""
        self.stations.processes[name].send_signal(signal.SIGCONT)

    def end_refused(self, name: str, **settings: Any) -> int:
        """Start a station that is to end by itself; its exit code."""
        self.start(name, **settings)
        return self.stations.processes.pop(name).wait(LIMIT)

    def open_gate(self) -> None:
        """Let the jobs that wait come to their end."""
        (self.folder / OPEN).touch()

    def starts(self) -> list[tuple[int, int, str]]:
        """What the jobs wrote: index, pid, worker."""
        path = self.folder / STARTS
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(index), int(pid), worker) for index, pid, worker in map(str.split, lines)]

    def started(self, count: int) -> list[tuple[int, int, str]]:
        """Wait for so many starts; all there are."""
        return until(lambda: (len(found := self.starts()) >= count and found) or [], what=f"{count} starts")

    def times(self) -> Counter[int]:
        """How many times each job was started."""
        return Counter(index for index, _, _ in self.starts())

    def check(self, batch: Batch, count: int) -> None:
        """Every job succeeded with its own index as the value, and a reader sees each once."""
        assert batch.wait(LIMIT).succeeded == count
        values: list[Any] = [outcome.value for outcome in batch.follow()]
        assert sorted(values) == list(range(count))

    def close(self) -> None:
        """Leave the clients, then kill the stations: no job is waited for."""
        self.open_gate()
        for client in self.clients:
            client.shutdown(wait=False)
        for name in self.stations.processes:
            self.go_on(name)
        self.stations.close()


def is_alive(pid: int) -> bool:
    """Whether the process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
