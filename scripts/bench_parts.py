"""What the benchmarks are made of: the jobs, the figures, the pipelines that are compared."""

from __future__ import annotations

import os
import pickle
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil
import zmq

from demo import free_url
from penstock import Pipeline
from penstock.errors import NoPipeline

SLOTS = 2
START_TIME = 60.0
"""Seconds a pipeline has to come up."""
STOP_TIME = 20.0
"""Seconds a station has to end by itself."""


# ------------------------------------------------------------------------------------------------ the jobs


JOIN_TIME = 120.0
"""Seconds for a thousand workers to join, on a busy machine."""


def square(x: int) -> int:
    """The smallest job."""
    return x * x


def increment(x: int) -> int:
    """A job for one round trip."""
    return x + 1


def mirror(data: bytes) -> bytes:
    """As much out as in."""
    return data[::-1]


def nap(seconds: float) -> float:
    """A job of known length: returns what it was, in seconds."""
    begun = time.perf_counter()
    time.sleep(seconds)
    return time.perf_counter() - begun


# ------------------------------------------------------------------------------------------------ figures


@dataclass
class Row:
    """One line of the table: ours and theirs in the same unit, and what the ratio must reach."""

    name: str
    unit: str
    better: str
    reach: float
    """With "more": ours / theirs at least this; with "less": at most."""
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    our_cpu: list[float] = field(default_factory=list)
    """CPU microseconds per job, of all processes; the same for theirs."""
    their_cpu: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Of the medians."""
        return statistics.median(self.ours) / statistics.median(self.theirs)

    @property
    def holds(self) -> bool:
        """Whether the ratio is what it must be."""
        return self.ratio >= self.reach if self.better == "more" else self.ratio <= self.reach

    @property
    def score(self) -> float:
        """Times as good as it must be."""
        return self.ratio / self.reach if self.better == "more" else self.reach / self.ratio

    def figures(self) -> dict[str, Any]:
        """For --json."""
        return {**vars(self), "ratio": self.ratio, "holds": self.holds}

    def lines(self) -> Iterator[str]:
        """As it is printed."""
        yield self.name
        yield f"    {spread(self.ours)} against {spread(self.theirs)} {self.unit}"
        if self.our_cpu and self.their_cpu:
            yield f"    CPU {spread(self.our_cpu)} against {spread(self.their_cpu)} us a job"
        sign = ">=" if self.better == "more" else "<="
        verdict = "holds" if self.holds else "DOES NOT HOLD"
        yield f"    ratio {self.ratio:.2f}, to be {sign} {self.reach:g}: {verdict}"


NewRow = Callable[[str, str, str, float], Row]
"""Adds a line to the table."""


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):,.4g} ({min(values):,.4g}-{max(values):,.4g})"


def timed(call: Callable[[], Any]) -> float:
    """Seconds."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def cpu_seconds() -> float:
    """Of this process and all that descend from it, as far as they live."""
    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def fdatasync_ms() -> float:
    """Of this disk: the median of 50 appends of a page."""
    times = []
    with tempfile.NamedTemporaryFile(dir=Path.cwd()) as file:
        for _ in range(50):
            os.write(file.fileno(), b"x" * 4096)
            times.append(timed(lambda: os.fdatasync(file.fileno())))
    return statistics.median(times) * 1000


# ------------------------------------------------------------------------------------------------ pipelines


class Stations:
    """A pipeline of separate processes over tcp, both files synchronous=FULL; `keyed`: encrypted, with keys."""

    def __init__(self, folder: str, log: IO[bytes], *, keyed: bool = False) -> None:
        self.url = free_url()
        self._keys = f"{folder}/keys" if keyed else ""
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._folder = folder
        self._log = log
        self._penstock = str(Path(sys.executable).with_name("penstock"))
        if keyed:
            subprocess.run(
                [self._penstock, "keys", "init", "--keys", self._keys, self.url], check=True, stdout=log, stderr=log
            )

    def start(self, name: str, *options: str) -> None:
        """``ventilator``, ``sink`` or a worker's name."""
        if name in {"ventilator", "sink"}:
            command = [name, "--bind", self.url, "--data", self._folder]
        else:
            command = ["worker", "--connect", self.url, "--name", f"workers/{name}" if self._keys else name]
        if self._keys:
            command += ["--key", self._keys]
        scripts = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
        self.processes[name] = subprocess.Popen(
            [self._penstock, *command, *options], stderr=self._log, env=os.environ | {"PYTHONPATH": scripts}
        )

    def client(self) -> Pipeline:
        """Of this pipeline, as soon as it is up."""
        end = time.monotonic() + START_TIME
        while True:
            try:
                return Pipeline(self.url, key=f"{self._keys}/admin.key" if self._keys else None)
            except NoPipeline:
                if time.monotonic() > end:
                    raise

    def kill(self, name: str) -> None:
        """With SIGKILL."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def stop(self) -> None:
        """All of them, workers first: they wait until their outcomes are recorded."""
        for name in sorted(self.processes, key=["sink", "ventilator"].count):
            self.processes[name].terminate()
            try:
                self.processes[name].wait(STOP_TIME)
            except subprocess.TimeoutExpired:
                self.kill(name)


@contextmanager
def stations(*, keyed: bool = False) -> Iterator[Stations]:
    """A ventilator and a sink on a disk that is synced."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-bench-", dir=Path.cwd()))
        log = stack.enter_context((Path(folder) / "log").open("wb"))
        running = Stations(folder, log, keyed=keyed)
        stack.callback(running.stop)
        running.start("ventilator")
        running.start("sink")
        yield running


@contextmanager
def durable(workers: int = 1, slots: int = SLOTS, *, keyed: bool = False) -> Iterator[Pipeline]:
    """The same with workers, and a client."""
    with stations(keyed=keyed) as running:
        for number in range(workers):
            running.start(f"w{number}", "--slots", str(slots))
        with running.client() as pipeline:
            await_workers(pipeline, workers)
            yield pipeline


def await_workers(pipeline: Pipeline, workers: int) -> None:
    """Until so many have joined. Raises TimeoutError: they do not."""
    end = time.monotonic() + JOIN_TIME
    while (joined := len(pipeline.workers())) < workers:
        if time.monotonic() > end:
            raise TimeoutError(f"{joined} of {workers} workers have joined in {JOIN_TIME:g} s")
        time.sleep(0.05)


RAW_WORKER = """
import pickle, sys, zmq
context = zmq.Context()
jobs, results = context.socket(zmq.PULL), context.socket(zmq.PUSH)
jobs.connect(sys.argv[1] + "/jobs"), results.connect(sys.argv[1] + "/results")
while (items := pickle.loads(jobs.recv())) is not None:
    results.send(pickle.dumps([x + 1 for x in items]))
"""


class RawPipeline:
    """A plain pyzmq ventilator, workers and sink: what the wire costs without any promise."""

    def __init__(self, workers: int = 1) -> None:
        self._context = zmq.Context()
        self._folder = tempfile.mkdtemp(prefix="penstock-raw-")
        address = f"ipc://{self._folder}"
        self._jobs = self._socket(zmq.PUSH, f"{address}/jobs")
        self._results = self._socket(zmq.PULL, f"{address}/results")
        command = [sys.executable, "-c", RAW_WORKER, address]
        self._workers = [subprocess.Popen(command) for _ in range(workers)]
        self.map(range(1000 * workers), 1)

    def _socket(self, kind: int, address: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.set(zmq.SNDHWM, 0)
        socket.set(zmq.RCVHWM, 0)
        socket.bind(address)
        return socket

    def call(self, x: int) -> int:
        """One job, there and back."""
        return self.map([x], 1)[0]

    def map(self, items: Any, size: int) -> list[int]:
        """All of them, so many a message."""
        messages = 0
        for at in range(0, len(items), size):
            self._jobs.send(pickle.dumps(list(items[at : at + size])))
            messages += 1
        values: list[int] = []
        for _ in range(messages):
            values += pickle.loads(self._results.recv())
        return values

    def close(self) -> None:
        """End it."""
        for _ in self._workers:
            self._jobs.send(pickle.dumps(None))
        for worker in self._workers:
            worker.wait(10)
        self._context.destroy(0)
        for path in Path(self._folder).iterdir():
            path.unlink()
        Path(self._folder).rmdir()
