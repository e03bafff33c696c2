"""What penstock costs beside its peers: figures are ratios of medians of one run, interleaved, answers checked.

scripts/bench            everything, five rounds (a quarter of an hour)
scripts/bench --short    one round, small inputs: for CI, which reports and does not judge
scripts/bench --only map --only skew --json bench.json --plot .
scripts/bench --peers    also beside Celery, Dask, ipyparallel, Parsl, Ray, HyperQueue and GNU parallel, where installed

It fails only if an answer is wrong.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from bench_balance import Balance
from bench_parts import (
    SLOTS,
    RawPipeline,
    Row,
    cpu_seconds,
    durable,
    fdatasync_ms,
    increment,
    mirror,
    square,
    timed,
)
from bench_peers import Peers, ran, words
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
    *("map", "submit", "round_trip", "large", "commands", "skew", "pareto", "cost", "middle", "imports", "cold"),
    *("memory", "players", "accepting", "queued", "killing"),
]
PEERS = ["peers"]


class Bench:
    """Everything that is measured; `short` takes smaller inputs."""

    def __init__(self, *, short: bool) -> None:
        self.short = short
        self.rounds = 1 if short else 5
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
        executable = str(Path(sys.executable).with_name("penstock"))
        lines = words(count)
        for _ in range(self.rounds):
            ours.theirs.append(count / timed(lambda: ran(["xargs", "-P2", "-n1", "/bin/true"], lines)))
            ours.ours.append(count / timed(lambda: ran([executable, "run", "-j", "2", "/bin/true"], lines)))

    def imports(self) -> None:
        """In a fresh interpreter."""
        code = "import time; t = time.perf_counter(); import penstock; print(time.perf_counter() - t)"
        self._fresh("import penstock / 80 ms", code, 80.0)

    def cold(self) -> None:
        """A pipeline's first result, in a fresh interpreter."""
        code = (
            "import time; from penstock import Pipeline; t = time.perf_counter(); p = Pipeline(slots=2)\n"
            "assert p.submit(pow, 2, 3).result() == 8; print(time.perf_counter() - t); p.shutdown()"
        )
        self._fresh("Pipeline() to the first result, cold / 500 ms", code, 500.0)

    def _fresh(self, name: str, code: str, limit: float) -> None:
        row = self.row(name, "ms", "less", 1.0)
        for _ in range(self.rounds):
            out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
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


def plot(rows: list[Row], folder: Path) -> None:
    """Two pictures: ``ratios.png``, how far each ratio is from what it must reach; ``cpu.png``, CPU time a job."""
    plt = import_module("matplotlib.pyplot")
    scores = [row.score for row in rows]
    figure, axes = plt.subplots(figsize=(12, 0.4 * len(rows) + 1.5), layout="constrained")
    colors = ["tab:green" if row.holds else "tab:red" for row in rows]
    bars = axes.barh([row.name for row in rows], [score - 1 for score in scores], left=1, color=colors)
    axes.bar_label(bars, [f" {row.ratio:.2f}" for row in rows])
    axes.axvline(1.0, color="black")
    axes.set_xscale("log")
    axes.set_xlim(min(0.5, *scores) / 2.5, max(2.0, *scores) * 2.5)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("times as good as it must be; beside each bar the ratio itself")
    axes.invert_yaxis()
    figure.savefig(folder / "ratios.png")
    plt.close(figure)
    if told := [row for row in rows if row.our_cpu and row.their_cpu]:
        figure, axes = plt.subplots(figsize=(12, 0.6 * len(told) + 1.5), layout="constrained")
        for lifetime, name, color in ((-0.2, "ours", "tab:blue"), (0.2, "theirs", "tab:gray")):
            medians = [statistics.median(row.our_cpu if name == "ours" else row.their_cpu) for row in told]
            bars = axes.barh([at + lifetime for at in range(len(told))], medians, 0.4, label=name, color=color)
            axes.bar_label(bars, [f" {median:.3g}" for median in medians])
        axes.set_yticks(range(len(told)), [row.name for row in told])
        axes.margins(x=0.1)
        axes.set_xlabel("CPU microseconds a job, of all processes (median)")
        figure.legend(loc="outside lower right")
        axes.invert_yaxis()
        figure.savefig(folder / "cpu.png")
        plt.close(figure)


def about(rounds: int) -> dict[str, Any]:
    """Where and when this is measured."""
    return {
        "machine": platform.node(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "time": time.strftime("%Y-%m-%d %H:%M"),
        "load": round(os.getloadavg()[0], 1),
        "fdatasync_ms": round(fdatasync_ms(), 2),
        "rounds": rounds,
    }


def main() -> int:
    """Measure what was asked for and print the table."""
    options = parse()
    bench = Bench(short=options.short)
    makers = (bench, *(kind(bench.row, short=options.short) for kind in (Balance, Scale, Peers)))
    head = about(bench.rounds)
    print(", ".join(f"{name} {value}" for name, value in head.items()), end="; medians of the rounds (least-most)\n\n")
    for name in options.only or PARTS + PEERS * options.peers:
        before = len(bench.rows)
        next(getattr(maker, name) for maker in makers if hasattr(maker, name))()
        bench.rows[before:] = [row for row in bench.rows[before:] if row.ours and row.theirs]
        for row in bench.rows[before:]:
            print("\n".join(row.lines()), flush=True)
    held = sum(row.holds for row in bench.rows)
    print(f"\n{held} of {len(bench.rows)} hold; every answer was right")
    if options.json:
        options.json.write_text(json.dumps({**head, "rows": [row.figures() for row in bench.rows]}, indent=2))
    if options.plot:
        plot(bench.rows, options.plot)
    assert not [one for one in threading.enumerate() if one.name.startswith("penstock")], "every pipeline was closed"
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="fewer rounds, smaller inputs")
    parser.add_argument("--only", action="append", choices=PARTS + PEERS, help="only this part; may be repeated")
    parser.add_argument("--peers", action="store_true", help="other tools too, where they are installed")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw ratios.png and cpu.png there (needs matplotlib)")
    options = parser.parse_args()
    if options.plot and importlib.util.find_spec("matplotlib") is None:
        parser.error("--plot needs matplotlib: pip install matplotlib")
    if options.plot and not options.plot.is_dir():
        parser.error(f"--plot: {options.plot} is no folder")
    return options


if __name__ == "__main__":
    sys.exit(main())
