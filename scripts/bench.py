"""What penstock costs beside its peers: ratios of medians taken in one run, interleaved, answers checked.

scripts/bench            everything, five rounds (some minutes)
scripts/bench --short    three rounds, smaller inputs: for CI, which reports and does not judge
scripts/bench --only map --json bench.json
"""

from __future__ import annotations

import argparse
import functools
import heapq
import json
import multiprocessing
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import zmq
from demo import free_url

from penstock import Pipeline

SLOTS = 2


# ------------------------------------------------------------------------------------------------ the jobs


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
    """A job of known length."""
    time.sleep(seconds)
    return seconds


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

    @property
    def ratio(self) -> float:
        """Of the medians."""
        return statistics.median(self.ours) / statistics.median(self.theirs)

    @property
    def holds(self) -> bool:
        """Whether the ratio is what it must be."""
        return self.ratio >= self.reach if self.better == "more" else self.ratio <= self.reach


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):,.4g} ({min(values):,.4g}-{max(values):,.4g})"


def timed(call: Callable[[], Any]) -> float:
    """Seconds."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


# ------------------------------------------------------------------------------------------------ pipelines


@contextmanager
def durable(workers: int = 1, slots: int = SLOTS) -> Iterator[Pipeline]:
    """Separate processes over tcp, both files synchronous=FULL."""
    penstock = str(Path(sys.executable).with_name("penstock"))
    url = free_url()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-bench-", dir=Path.cwd()))
        log = stack.enter_context((Path(folder) / "log").open("wb"))
        commands = [["ventilator", "--bind", url, "--data", folder], ["sink", "--bind", url, "--data", folder]]
        commands += [
            ["worker", "--connect", url, "--slots", str(slots), "--name", f"w{number}"] for number in range(workers)
        ]
        processes = [subprocess.Popen([penstock, *command], stderr=log) for command in commands]
        try:
            with Pipeline(url) as pipeline:
                while len(pipeline.workers()) < workers:
                    time.sleep(0.05)
                yield pipeline
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(20)


class RawPipeline:
    """A plain pyzmq ventilator, worker and sink: what the wire costs without any promise."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        folder = tempfile.mkdtemp(prefix="penstock-raw-")
        self._jobs = self._context.socket(zmq.PUSH)
        self._jobs.bind(f"ipc://{folder}/jobs")
        self._results = self._context.socket(zmq.PULL)
        self._results.bind(f"ipc://{folder}/results")
        code = (
            "import sys, zmq, pickle; c = zmq.Context(); a = c.socket(zmq.PULL); a.connect(sys.argv[1] + '/jobs')\n"
            "b = c.socket(zmq.PUSH); b.connect(sys.argv[1] + '/results')\n"
            "while True:\n  x = pickle.loads(a.recv())\n  if x is None: break\n  b.send(pickle.dumps(x + 1))"
        )
        self._worker = subprocess.Popen([sys.executable, "-c", code, f"ipc://{folder}"])
        self._folder = folder

    def call(self, x: int) -> int:
        """One job, there and back."""
        import pickle  # noqa: PLC0415

        self._jobs.send(pickle.dumps(x))
        answer: int = pickle.loads(self._results.recv())
        return answer

    def close(self) -> None:
        """End it."""
        import pickle  # noqa: PLC0415

        self._jobs.send(pickle.dumps(None))
        self._worker.wait(10)
        self._context.destroy(0)
        for path in Path(self._folder).iterdir():
            path.unlink()
        Path(self._folder).rmdir()


# ------------------------------------------------------------------------------------------------ measurements


class Bench:
    """Everything that is measured; `short` takes smaller inputs."""

    def __init__(self, *, short: bool) -> None:
        self.short = short
        self.rounds = 3 if short else 5
        self.rows: list[Row] = []

    def row(self, name: str, unit: str, better: str, reach: float) -> Row:
        """A new line of the table."""
        row = Row(name, unit, better, reach)
        self.rows.append(row)
        return row

    def map(self) -> None:
        """Squares, without any tuning."""
        jobs = 200_000 if self.short else 1_000_000
        ours = self.row(f"{jobs:,} squares, map, embedded / Pool.map", "jobs/s", "more", 1.0)
        full = self.row(f"{jobs:,} squares, map, durable over tcp / Pool.map", "jobs/s", "more", 0.7)
        wanted = sum(x * x for x in range(jobs))

        def once(call: Callable[[], Any]) -> float:
            begun = time.perf_counter()
            assert sum(call()) == wanted
            return jobs / (time.perf_counter() - begun)

        with multiprocessing.Pool(SLOTS) as pool, Pipeline(slots=SLOTS) as embedded, durable() as separate:
            for call in (pool.map, embedded.map, separate.map):
                sum(call(square, range(1000)))
            for _ in range(self.rounds):
                peer = once(lambda: pool.map(square, range(jobs)))
                ours.theirs.append(peer)
                full.theirs.append(peer)
                ours.ours.append(once(lambda: embedded.map(square, range(jobs))))
                full.ours.append(once(lambda: separate.map(square, range(jobs))))

    def submit(self) -> None:
        """One future for each job."""
        jobs = 5_000 if self.short else 50_000
        ours = self.row(f"{jobs:,} x submit, embedded / ProcessPoolExecutor", "jobs/s", "more", 4.0)
        full = self.row(f"{jobs:,} x submit, durable over tcp / ProcessPoolExecutor", "jobs/s", "more", 2.0)

        def once(executor: Any) -> float:
            begun = time.perf_counter()
            futures = [executor.submit(increment, number) for number in range(jobs)]
            assert sum(future.result() for future in futures) == jobs * (jobs + 1) // 2
            return jobs / (time.perf_counter() - begun)

        with ProcessPoolExecutor(SLOTS) as pool, Pipeline(slots=SLOTS) as embedded, durable() as separate:
            for executor in (pool, embedded, separate):
                executor.submit(increment, 1).result()
            for _ in range(self.rounds):
                peer = once(pool)
                ours.theirs.append(peer)
                full.theirs.append(peer)
                ours.ours.append(once(embedded))
                full.ours.append(once(separate))

    def round_trip(self) -> None:
        """One job after the other."""
        jobs = 200 if self.short else 1000
        ours = self.row("submit().result(), p50, embedded / raw pyzmq", "ms", "less", 2.5)
        full = self.row("the same, durable over tcp / embedded + 3 fdatasync", "ms", "less", 1.3)

        def once(call: Callable[[int], int]) -> float:
            times = []
            for number in range(jobs):
                begun = time.perf_counter()
                assert call(number) == number + 1
                times.append(time.perf_counter() - begun)
            return statistics.median(times) * 1000

        raw = RawPipeline()
        with Pipeline(slots=SLOTS) as embedded, durable() as separate:
            for _ in range(self.rounds):
                ours.theirs.append(once(raw.call))
                ours.ours.append(once(lambda x: embedded.submit(increment, x).result()))
                full.theirs.append(ours.ours[-1] + 3 * fdatasync_ms())
                full.ours.append(once(lambda x: separate.submit(increment, x).result()))
        raw.close()

    def large(self) -> None:
        """1 MB in, 1 MB out."""
        count = 50 if self.short else 200
        ours = self.row(f"{count} x 1 MB in, 1 MB out, embedded / Pool.map", "MB/s", "more", 1.0)
        inputs = [bytes([number % 256]) * 1_000_000 for number in range(count)]

        def once(call: Callable[[], Any]) -> float:
            begun = time.perf_counter()
            assert sum(len(one) for one in call()) == count * 1_000_000
            return 2 * count / (time.perf_counter() - begun)

        with multiprocessing.Pool(SLOTS) as pool, Pipeline(slots=SLOTS) as embedded:
            for _ in range(self.rounds):
                ours.theirs.append(once(lambda: pool.map(mirror, inputs)))
                ours.ours.append(once(lambda: embedded.map(mirror, inputs)))

    def commands(self) -> None:
        """The smallest command."""
        count = 300 if self.short else 2000
        ours = self.row(f"{count:,} x /bin/true, penstock run / xargs -P2 -n1", "jobs/s", "more", 0.8)
        penstock = str(Path(sys.executable).with_name("penstock"))
        words = "\n".join(map(str, range(count))).encode()
        for _ in range(self.rounds):
            for row, command in (
                (ours.theirs, ["xargs", "-P2", "-n1", "/bin/true"]),
                (ours.ours, [penstock, "run", "-j", "2", "/bin/true"]),
            ):
                call = functools.partial(subprocess.run, command, input=words, check=True, stderr=subprocess.DEVNULL)
                row.append(count / timed(call))

    def balance(self) -> None:
        """Jobs of very different lengths against list scheduling in the same order."""
        long = 0.5 if self.short else 2.0
        skew = [long if number in (0, 100, 200) else 0.02 for number in range(203)]
        chance = random.Random(7)
        pareto = [min(1.5, 0.01 * chance.paretovariate(1.3)) for _ in range(200)]
        middle = [2.0 if number == 5000 else 0.001 for number in range(10_000)]
        self._makespan("203 sleeps, three long, 4 slots on 2 workers / list scheduling", skew, 2, 2, 1.02)
        self._makespan("200 Pareto sleeps, 4 slots on 4 workers / list scheduling", pareto, 4, 1, 1.02)
        if not self.short:
            self._makespan("10,000 x 1 ms, one of 2 s in the middle / lower bound", middle, 1, 2, 1.05)

    def _makespan(self, name: str, sleeps: list[float], workers: int, slots: int, reach: float) -> None:
        row = self.row(name, "s", "less", reach)
        with durable(workers, slots) as pipeline:
            list(pipeline.map(nap, [0.0] * 16))
            for _ in range(1 if self.short else 3):
                row.theirs.append(list_schedule(sleeps, workers * slots))
                row.ours.append(timed(lambda: list(pipeline.map(nap, sleeps))))

    def start_up(self) -> None:
        """Import, and a cold pipeline's first result."""
        imported = self.row("import penstock / 80 ms", "ms", "less", 1.0)
        cold = self.row("Pipeline() to the first result, cold / 500 ms", "ms", "less", 1.0)
        code = "import time; t = time.perf_counter(); import penstock; print(time.perf_counter() - t)"
        first = (
            "import time; from penstock import Pipeline; t = time.perf_counter(); p = Pipeline(slots=2)\n"
            "assert p.submit(pow, 2, 3).result() == 8; print(time.perf_counter() - t); p.shutdown()"
        )
        for _ in range(self.rounds):
            for row, program, limit in ((imported, code, 80.0), (cold, first, 500.0)):
                out = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
                row.ours.append(float(out) * 1000)
                row.theirs.append(limit)

    def memory(self) -> None:
        """PSS of all idle processes."""
        row = self.row("PSS of an idle embedded pipeline, 2 slots / 80 MB", "MB", "less", 1.0)
        code = "import sys; from penstock import Pipeline; p = Pipeline(slots=2); p.submit(pow, 2, 3).result(); "
        code += "print('up', flush=True); sys.stdin.read(); p.shutdown()"
        with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            row.ours.append(sum(one.memory_full_info().pss for one in family) / 1e6)
            row.theirs.append(80.0)
            process.communicate()


def list_schedule(sleeps: list[float], slots: int) -> float:
    """The makespan when each job in order goes to the slot that is free first (Graham 1966), or, if that is greater
    than the lower bound can explain, what no schedule can beat: the longest job and the mean load."""
    free = [0.0] * slots
    for sleep in sleeps:
        heapq.heapreplace(free, free[0] + sleep)
    return max(free)


def fdatasync_ms() -> float:
    """Of this disk: the median of 50 appends of a page."""
    times = []
    with tempfile.NamedTemporaryFile(dir=Path.cwd()) as file:
        for _ in range(50):
            os.write(file.fileno(), b"x" * 4096)
            times.append(timed(lambda: os.fdatasync(file.fileno())))
    return statistics.median(times) * 1000


def main() -> int:
    """Measure what was asked for and print the table."""
    names = ["map", "submit", "round_trip", "large", "commands", "balance", "start_up", "memory"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="fewer rounds, smaller inputs")
    parser.add_argument("--only", action="append", choices=names, help="only this part; may be repeated")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    bench = Bench(short=options.short)
    load = os.getloadavg()[0]
    print(f"{platform.node()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f}")
    print(f"fdatasync here: {fdatasync_ms():.2f} ms; medians of {bench.rounds} rounds (least-most)\n")
    for name in options.only or names:
        before = len(bench.rows)
        getattr(bench, name)()
        for row in bench.rows[before:]:
            sign = ">=" if row.better == "more" else "<="
            verdict = "holds" if row.holds else "DOES NOT HOLD"
            print(f"{row.name}\n    {spread(row.ours)} against {spread(row.theirs)} {row.unit}")
            print(f"    ratio {row.ratio:.2f}, to be {sign} {row.reach:g}: {verdict}", flush=True)
    if options.json:
        figures = [{**vars(row), "ratio": row.ratio, "holds": row.holds} for row in bench.rows]
        options.json.write_text(json.dumps(figures, indent=2))
    assert threading.active_count() < 5, "every pipeline was closed"
    return 0


if __name__ == "__main__":
    sys.exit(main())
