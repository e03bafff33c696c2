"""A mixed load on a real pipeline for a long time, and whether anything grows.

scripts/soak --minutes 60      an hour; five minutes are enough for every night

Ventilator, sink, two workers of two slots and a client over tcp, with durable files. Resident memory, open files and
threads of each process and the size of the write-ahead logs are sampled; a line through the samples after the first
third says what they grow by in the rest. Exits with 1 if that is more than noise, or if an answer is wrong.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import psutil

from chaos import UP_TIME, Processes, show_logs, until
from chaos_load import megabyte
from penstock import Pipeline

STATIONS = ("ventilator", "sink", "worker-1", "worker-2")
SAMPLES = 120
"""Of a run: a line through two thirds of them is steady."""
WARM_UP = 1 / 3
"""Share of the run in which caches fill."""
GROWTH = {"RSS MiB": 8.0, "files": 3.0, "threads": 1.0, "WAL MiB": 24.0}
"""What may be noise, from the first third to the end: an allocator's arena, a connection, the log between two
checkpoints (16 MiB and a burst)."""

Series = dict[tuple[str, str], list[tuple[float, float]]]
"""By process and quantity: seconds and value."""


def square(x: int) -> int:
    """Tiny; leaves no line behind, unlike the jobs of chaos."""
    return x * x


def rounds(pipeline: Pipeline, end: float) -> tuple[int, list[str]]:
    """Maps, single jobs and commands until that time; how many jobs, and which answers were wrong."""
    rng, jobs, wrong = random.Random(0), 0, list[str]()
    while time.monotonic() < end:
        loads: list[tuple[Callable[[], object], object, int]] = [
            (lambda: sum(pipeline.map(square, range(20_000))), sum(x * x for x in range(20_000)), 20_000),
            (lambda: [len(value) for value in pipeline.map(megabyte, range(8))], [1 << 20] * 8, 8),
            (lambda: [pipeline.submit(square, x).result() for x in range(100)], [x * x for x in range(100)], 100),
            (lambda: pipeline.command(["echo", "soak"]).result().stdout, b"soak\n", 1),
        ]
        do, expected, count = rng.choice(loads)
        answer = do()
        jobs += count
        if answer != expected:
            wrong.append(f"{str(answer)[:80]} instead of {str(expected)[:80]}")
    return jobs, wrong


def sample(processes: Processes, series: Series, at: float) -> None:
    """One more of everything."""
    members = [(name, psutil.Process(process.pid)) for name, process in processes.running.items()]
    for name in list(processes.running):
        if name.startswith("worker"):
            servers, slots = processes.inside(name)
            members += [(f"{name} fork server", server) for server in servers]
            members += [(f"{name} slot {number}", slot) for number, slot in enumerate(slots)]
    members.append(("client", psutil.Process()))
    for name, process in members:
        with process.oneshot():
            series[name, "RSS MiB"].append((at, process.memory_info().rss / 2**20))
            series[name, "files"].append((at, process.num_fds()))
            series[name, "threads"].append((at, process.num_threads()))
    for path in (processes.folder / "data").glob("*-wal"):
        series[path.name, "WAL MiB"].append((at, path.stat().st_size / 2**20))


def growth(points: list[tuple[float, float]]) -> float:
    """What a line through the points after the warm-up rises by from its first to its last."""
    begin, end = points[0][0], points[-1][0]
    rest = [(x, y) for x, y in points if x >= begin + WARM_UP * (end - begin)]
    xs, ys = zip(*rest, strict=True)
    return statistics.linear_regression(xs, ys).slope * (xs[-1] - xs[0]) if len(set(xs)) > 1 else 0.0


def report(series: Series) -> list[str]:
    """The table; what grows."""
    grown: list[str] = []
    print(f"{'':<26}{'':>8}{'first':>10}{'median':>10}{'last':>10}{'grows by':>10}{'an hour':>10}")
    for (name, what), points in sorted(series.items()):
        by = growth(points)
        seconds = (points[-1][0] - points[0][0]) * (1 - WARM_UP) or 1.0
        values = [value for _, value in points]
        columns = (values[0], statistics.median(values), values[-1], by, by / seconds * 3600)
        print(f"{name:<26}{what:>8}" + "".join(f"{value:>10.1f}" for value in columns))
        if by > GROWTH[what]:
            grown.append(f"{name}: {what} grows by {by:.1f}")
    return grown


def run(minutes: float, folder: Path) -> int:
    """The load in this process, the samples in between. Returns the exit code."""
    processes = Processes(folder)
    series: Series = defaultdict(list)
    try:
        processes.start(*STATIONS)
        with Pipeline(processes.url) as pipeline:
            if not until(lambda: len(pipeline.workers()) == len(STATIONS) - 2, UP_TIME):
                raise RuntimeError(f"the workers did not come up; their logs are in {folder}")
            begun = time.monotonic()
            jobs, wrong = 0, list[str]()
            for number in range(1, SAMPLES + 1):
                done, bad = rounds(pipeline, begun + minutes * 60 * number / SAMPLES)
                jobs, wrong = jobs + done, wrong + bad
                sample(processes, series, time.monotonic() - begun)
        for name in (*STATIONS[2:], *STATIONS[:2]):
            processes.end(name, signal.SIGTERM)
    finally:
        processes.close()
    grown = report(series)
    print(f"{jobs:,} jobs, {len(wrong)} wrong answers, {len(grown)} things that grow")
    for what in wrong[:10] + grown:
        print(what, file=sys.stderr)
    return 1 if wrong or grown else 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long the load goes on (5)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="penstock-soak-"))
    code = run(options.minutes, folder)
    if code:
        show_logs(folder)
    shutil.rmtree(folder)
    print("soak: all is flat" if code == 0 else "SOAK FAILED")
    return code


if __name__ == "__main__":
    sys.exit(main())
