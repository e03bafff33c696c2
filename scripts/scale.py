"""Thousands of workers and millions of jobs: the real cores, codec and stores in one process, in virtual time.

scripts/scale                          10,000 workers of one slot and 10 million jobs of 1 ms: ten to twenty minutes
scripts/scale --seconds 1              jobs of a second, each in messages of its own: hours (--jobs 200000: minutes)
scripts/scale --crashes 0              nothing dies: how far the end is from the lower bound

Workers are killed and come back, then the ventilator, then the sink: when, and for how long, is from the seed, and is
printed. Exits with 1 if a job was not recorded exactly once, ran twice although nothing that died explains it, if an
invariant of a core does not hold, or if anything is still leased, held or in memory at the end. It says how long it
took beside the lower bound, how many messages of each type a job costs, what the cores of ventilator and sink cost, and
what the ventilator had in memory.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import psutil

from penstock.ventilator.sink_beats import RECOVERY_GRACE
from support.sim.spans import Fault, SpanWorld

PROGRESS = 10.0
"""Seconds of real time between two lines."""
SHOWN = 5
"""Faults of workers that are printed one by one."""
MIB = 2**20


class Progress:
    """Prints where it is, and remembers the largest resident memory."""

    def __init__(self, world: SpanWorld, jobs: int) -> None:
        self._world = world
        self._jobs = jobs
        self._begun = self._told_at = time.monotonic()
        self.rss = 0

    @property
    def seconds(self) -> float:
        """Of real time so far."""
        return time.monotonic() - self._begun

    def __call__(self) -> None:
        """Maybe a line."""
        if time.monotonic() < self._told_at + PROGRESS:
            return
        self._told_at = time.monotonic()
        world = self._world
        self.look()
        ledger = world.ventilator.core.ledger
        chunks = sum(len(batch.chunks) for batch in ledger.backlog.batches.values())
        print(
            f"{self.seconds:6.0f} s: virtual {world.now:9.2f} s, {world.done:,} of {self._jobs:,} jobs recorded,"
            f" {len(ledger.leases.records):,} leases, {chunks:,} chunks in memory, RSS {self.rss / MIB:,.0f} MiB",
            flush=True,
        )

    def look(self) -> None:
        """At the memory of this process."""
        self.rss = max(self.rss, psutil.Process().memory_info().rss)


def tell_faults(faults: list[Fault], crashes: int) -> None:
    """Some of them by name."""
    for number, fault in enumerate(faults):
        if number < SHOWN or number >= crashes:
            print(fault)
        elif number == SHOWN:
            print(f"... and {crashes - SHOWN} more workers ...")


def outage(world: SpanWorld, faults: list[Fault]) -> float:
    """Seconds in which nothing may have been given out: a station was away, or the ventilator in its grace."""
    return sum(fault.away for fault in faults if fault.node not in world.workers) + (RECOVERY_GRACE if faults else 0.0)


def report(world: SpanWorld, options: argparse.Namespace, seconds: float, out: float, progress: Progress) -> None:
    """What it took; the stations were `out` so long."""
    jobs, workers = options.jobs, options.workers
    work = (world.busy_seconds + world.idle_seconds) / workers
    print(f"""
{jobs:,} jobs of {options.seconds:g} s on {workers:,} workers, seed {options.seed}: every one recorded once
virtual time     {seconds:.2f} s; lower bound {jobs * options.seconds / workers:.2f} s
                 {seconds / work:.3f} x {work:.2f} s, with the time of dead slots and {world.repeated:,} jobs run again
                 {seconds / (work + out):.3f} x {work + out:.2f} s, with the time that the stations were out""")
    for name in ("ventilator", "sink"):
        used, turns = world.cpu[name], world.steps[name]
        print(
            f"{name:<16} {used:.1f} s of CPU in its core: {used / jobs * 1e6:.2f} us a job,"
            f" {used / turns * 1e3:.2f} ms a turn, {used / seconds * 3600:,.0f} s a virtual hour; {turns:,} turns"
        )
    print(
        f"in memory        at most {world.most['chunks']:,} chunks and {world.most['leases']:,} leases, of"
        f" {-(-jobs // options.chunk):,} chunks; RSS of all nodes together {progress.rss / MIB:,.0f} MiB"
    )
    total = sum(world.messages.values())
    print(f"messages         {total:,}: {total / jobs:.4f} a job; of each type, and the largest:")
    for (direction, name), count in sorted(world.messages.items(), key=lambda item: -item[1]):
        print(f"  {direction:<10} {name:<14} {count:>12,} {count / jobs:>10.5f} a job {world.largest[name]:>12,} bytes")
    print(f"real time        {progress.seconds:.0f} s")


def run(options: argparse.Namespace, folder: Path) -> int:
    """Returns the exit code."""
    world = SpanWorld(folder, options.seed, options.workers, 1, options.seconds)
    progress = Progress(world, options.jobs)
    faults = world.faults_of(options.crashes) if options.crashes else []
    tell_faults(faults, options.crashes)
    batches = [random.Random(number).randbytes(16) for number in range(options.batches)]
    try:
        seconds = world.go(batches, options.jobs, options.chunk, faults, progress)
        progress.look()
    except AssertionError as error:
        print(f"SCALE FAILED with --seed {options.seed}: {error}\n{world.story()}", file=sys.stderr)
        return 1
    finally:
        world.close()
    report(world, options, seconds, outage(world, faults), progress)
    return 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=10_000, help="how many (10000)")
    parser.add_argument("--jobs", type=int, default=10_000_000, help="how many (10000000)")
    parser.add_argument("--seconds", type=float, default=0.001, help="length of a job, give or take a tenth")
    parser.add_argument("--chunk", type=int, default=250, help="jobs of a chunk")
    parser.add_argument("--batches", type=int, default=1, help="in so many batches (1)")
    parser.add_argument("--crashes", type=int, default=300, help="workers that are killed; 0: nothing is")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 16), help="random if not given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="penstock-scale-") as folder:
        return run(options, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
