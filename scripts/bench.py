"""What penstock costs beside its peers: figures are ratios of medians of one run, interleaved, answers checked.

scripts/bench            everything, five rounds (a quarter of an hour)
scripts/bench --short    three rounds, smaller inputs: for CI, which reports and does not judge
scripts/bench --only map --json bench.json --plot .
scripts/bench --peers    also GNU parallel and Dask, where they are installed
"""

from __future__ import annotations

import argparse
import heapq
import importlib.util
import json
import multiprocessing
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from bench_parts import (
    SLOTS,
    RawPipeline,
    Row,
    cpu_seconds,
    durable,
    fdatasync_ms,
    increment,
    mirror,
    nap,
    square,
    timed,
)
from bench_scale import Scale
from penstock import Pipeline

# ------------------------------------------------------------------------------------------------ measurements


def measured(jobs: int, call: Callable[[], Any], rates: list[float], cpu: list[float]) -> None:
    """One more rate, in jobs/s, and the CPU time of all processes for a job, in microseconds."""
    used, begun = cpu_seconds(), time.perf_counter()
    call()
    rates.append(jobs / (time.perf_counter() - begun))
    cpu.append((cpu_seconds() - used) / jobs * 1e6)


PARTS = [
    *("map", "submit", "round_trip", "large", "commands", "balance", "start_up", "memory"),
    *("players", "accepting", "queued", "killing", "others"),
]


class Bench:
    """Everything that is measured; `short` takes smaller inputs."""

    def __init__(self, *, short: bool, peers: bool) -> None:
        self.short = short
        self.peers = peers
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
        keyed = self.row(f"{jobs:,} squares, map, durable over tcp with keys / without", "jobs/s", "more", 0.8)
        raw_row = self.row(f"{jobs:,} increments, map, embedded / raw pyzmq, 1,000 a message", "jobs/s", "more", 0.3)
        wanted, raised = sum(x * x for x in range(jobs)), jobs * (jobs + 1) // 2
        raw = RawPipeline(SLOTS)

        def total(values: Any, right: int) -> None:
            assert sum(values) == right

        with ExitStack() as stack:
            pool = stack.enter_context(multiprocessing.Pool(SLOTS))
            embedded = stack.enter_context(Pipeline(slots=SLOTS))
            separate, secret = (stack.enter_context(durable(keyed=keys)) for keys in (False, True))
            for call in (pool.map, embedded.map, separate.map, secret.map):
                sum(call(square, range(1000)))
            for _ in range(self.rounds):
                measured(jobs, lambda: total(pool.map(square, range(jobs)), wanted), ours.theirs, ours.their_cpu)
                measured(jobs, lambda: total(embedded.map(square, range(jobs)), wanted), ours.ours, ours.our_cpu)
                measured(jobs, lambda: total(separate.map(square, range(jobs)), wanted), full.ours, full.our_cpu)
                measured(jobs, lambda: total(secret.map(square, range(jobs)), wanted), keyed.ours, keyed.our_cpu)
                measured(jobs, lambda: total(raw.map(range(jobs), 1000), raised), raw_row.theirs, raw_row.their_cpu)
                measured(
                    jobs, lambda: total(embedded.map(increment, range(jobs)), raised), raw_row.ours, raw_row.our_cpu
                )
        full.theirs, full.their_cpu = ours.theirs, ours.their_cpu
        keyed.theirs, keyed.their_cpu = full.ours, full.our_cpu
        raw.close()

    def submit(self) -> None:
        """One future for each job."""
        jobs = 5_000 if self.short else 50_000
        ours = self.row(f"{jobs:,} x submit, embedded / ProcessPoolExecutor", "jobs/s", "more", 4.0)
        full = self.row(f"{jobs:,} x submit, durable over tcp / ProcessPoolExecutor", "jobs/s", "more", 2.0)

        def once(executor: Any) -> None:
            futures = [executor.submit(increment, number) for number in range(jobs)]
            assert sum(future.result() for future in futures) == jobs * (jobs + 1) // 2

        with ProcessPoolExecutor(SLOTS) as pool, Pipeline(slots=SLOTS) as embedded, durable() as separate:
            for executor in (pool, embedded, separate):
                executor.submit(increment, 1).result()
            for _ in range(self.rounds):
                measured(jobs, lambda: once(pool), ours.theirs, ours.their_cpu)
                measured(jobs, lambda: once(embedded), ours.ours, ours.our_cpu)
                measured(jobs, lambda: once(separate), full.ours, full.our_cpu)
        full.theirs, full.their_cpu = ours.theirs, ours.their_cpu

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
            ours.theirs.append(count / ran(["xargs", "-P2", "-n1", "/bin/true"], words))
            ours.ours.append(count / ran([penstock, "run", "-j", "2", "/bin/true"], words))

    def balance(self) -> None:
        """Jobs of very different lengths against list scheduling in the same order."""
        long = 0.5 if self.short else 2.0
        skew = [long if number in (0, 100, 200) else 0.02 for number in range(203)]
        chance = random.Random(7)
        pareto = [min(1.5, 0.01 * chance.paretovariate(1.3)) for _ in range(200)]
        middle = [2.0 if number == 5000 else 0.001 for number in range(10_000)]
        self._makespan("203 sleeps, three long, 4 slots on 2 workers / list scheduling", skew, 2, 2, 1.02)
        self._makespan("200 Pareto sleeps, 4 slots on 4 workers / list scheduling", pareto, 4, 1, 1.02)
        bound = "200 Pareto sleeps with cost=, 4 slots on 4 workers / lower bound"
        self._makespan(bound, pareto, 4, 1, 1.03, cost=pareto)
        if not self.short:
            self._makespan("10,000 x 1 ms, one of 2 s in the middle / lower bound", middle, 1, 2, 1.05)

    def _makespan(
        self, name: str, sleeps: list[float], workers: int, slots: int, reach: float, cost: list[float] | None = None
    ) -> None:
        row = self.row(name, "s", "less", reach)
        with durable(workers, slots) as pipeline:
            list(pipeline.map(nap, [0.0] * 16))
            for _ in range(1 if self.short else 3):
                bound = max(*sleeps, sum(sleeps) / (workers * slots))
                row.theirs.append(list_schedule(sleeps, workers * slots) if cost is None else bound)
                row.ours.append(timed(lambda: list(pipeline.map(nap, sleeps, cost=cost))))

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

    def others(self) -> None:
        """GNU parallel and Dask, if asked for."""
        if not self.peers:
            return
        if shutil.which("parallel"):
            self._parallel()
        else:
            print("GNU parallel is not installed")
        if importlib.util.find_spec("distributed"):
            self._dask()
        else:
            print("Dask (distributed) is not installed")

    def _parallel(self) -> None:
        count = 100 if self.short else 500
        row = self.row(f"{count:,} x /bin/true, penstock run / GNU parallel -j2", "jobs/s", "more", 1.0)
        words = "\n".join(map(str, range(count))).encode()
        penstock = str(Path(sys.executable).with_name("penstock"))
        for _ in range(self.rounds):
            row.theirs.append(count / ran(["parallel", "-j2", "/bin/true"], words))
            row.ours.append(count / ran([penstock, "run", "-j", "2", "/bin/true"], words))

    def _dask(self) -> None:
        from distributed import Client, LocalCluster  # type: ignore[import-not-found]  # noqa: PLC0415

        jobs = 2_000 if self.short else 10_000
        row = self.row(f"{jobs:,} x submit, embedded / Dask", "jobs/s", "more", 4.0)
        right = jobs * (jobs + 1) // 2
        with (
            LocalCluster(n_workers=SLOTS, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
            Pipeline(slots=SLOTS) as embedded,
        ):
            for _ in range(self.rounds):
                row.theirs.append(
                    jobs / timed(lambda: _check(client.gather(client.map(increment, range(jobs))), right))
                )
                row.ours.append(jobs / timed(lambda: _check(_submitted(embedded, jobs), right)))


def _check(values: Any, right: int) -> None:
    assert sum(values) == right


def _submitted(executor: Pipeline, jobs: int) -> list[int]:
    futures = [executor.submit(increment, number) for number in range(jobs)]
    return [future.result() for future in futures]


def ran(command: list[str], words: bytes) -> float:
    """Seconds of a command that reads these lines."""
    return timed(lambda: subprocess.run(command, input=words, check=True, stderr=subprocess.DEVNULL))


def list_schedule(sleeps: list[float], slots: int) -> float:
    """The makespan when each job in order goes to the slot that is free first (Graham 1966), or, if that is greater
    than the lower bound can explain, what no schedule can beat: the longest job and the mean load."""
    free = [0.0] * slots
    for sleep in sleeps:
        heapq.heapreplace(free, free[0] + sleep)
    return max(free)


def plot(rows: list[Row], folder: Path) -> None:
    """The ratios as a picture, ``ratios.png``."""
    import matplotlib.pyplot as plt  # type: ignore[import-not-found]  # noqa: PLC0415 - only on request

    scores = [row.ratio / row.reach if row.better == "more" else row.reach / row.ratio for row in rows]
    figure, axes = plt.subplots(figsize=(10, 0.5 * len(rows) + 1.5), layout="constrained")
    axes.barh([row.name for row in rows], scores, color=["tab:green" if row.holds else "tab:red" for row in rows])
    axes.axvline(1.0, color="black")
    axes.set_xscale("log")
    axes.set_xlabel("how far each ratio is from what it must reach (1)")
    axes.invert_yaxis()
    figure.savefig(folder / "ratios.png")


def main() -> int:
    """Measure what was asked for and print the table."""
    options = parse()
    bench = Bench(short=options.short, peers=options.peers)
    scale = Scale(bench.row, short=options.short)
    print(
        f"{platform.node()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    print(f"fdatasync here: {fdatasync_ms():.2f} ms; medians of {bench.rounds} rounds (least-most)\n")
    for name in options.only or PARTS:
        before = len(bench.rows)
        getattr(bench if hasattr(bench, name) else scale, name)()
        for row in bench.rows[before:]:
            print("\n".join(row.lines()), flush=True)
    if options.json:
        figures = [{**vars(row), "ratio": row.ratio, "holds": row.holds} for row in bench.rows]
        options.json.write_text(json.dumps(figures, indent=2))
    if options.plot:
        plot(bench.rows, options.plot)
    assert threading.active_count() < 5, "every pipeline was closed"
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="fewer rounds, smaller inputs")
    parser.add_argument("--only", action="append", choices=PARTS, help="only this part; may be repeated")
    parser.add_argument("--peers", action="store_true", help="GNU parallel and Dask too, where they are installed")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw the ratios into this folder (needs matplotlib)")
    options = parser.parse_args()
    if options.plot and importlib.util.find_spec("matplotlib") is None:
        parser.error("--plot needs matplotlib: pip install matplotlib")
    if options.plot and not options.plot.is_dir():
        parser.error(f"--plot: {options.plot} is no folder")
    return options


if __name__ == "__main__":
    sys.exit(main())
