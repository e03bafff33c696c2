"""Processes are killed at exact system calls, and disks fail at them, while jobs run: is one lost, or started twice?

scripts/kills --minutes 30 --seed 7

Ventilator, sink and two workers with their fork servers and slots are real processes over tcp, with durable files. One
of them at a time, at random, is traced until a random system call by which it saves or speaks: there it is killed, or
the call fails with EIO or ENOSPC. A station that has ended is started again, as its supervisor would. Half of the jobs
may start only once. Exits with 1 if a number that must be 0 is not.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from jobs.fault import nap
from penstock.client import Batch
from penstock.exit_codes import in_words
from penstock.slot.process_tree import children, is_alive
from support.fault_pipeline import World
from support.stations import free_url

JOBS = 150
"""In each of the two batches of a round."""
FAULTS = 6
"""In a round."""
WORKERS = ("w1", "w2")
VICTIMS = ("ventilator", "sink", "worker", "fork server", "slot")
SAVES = ("pwrite64", "fdatasync")
SPEAKS = ("sendto", "recvfrom")
TRACE_TIME = 4.0
"""Seconds in which the call must come: else there is no fault."""
END_TIME = 240.0
"""Seconds within which a round has ended, on a machine that is busy."""
FOUND = ("lost", "wrong", "started twice", "stations gone for good")
"""What must be 0."""
RESTARTS = 10
"""In a row, after which a station is gone for good."""
DEEPEST = 12
"""Of the calls that are counted before the one that is hit."""


class Kills:
    """A pipeline, what is done to it, and what is counted."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.faults: Counter[str] = Counter()
        self.found: Counter[str] = Counter(
            dict.fromkeys(("lost", "wrong", "started twice", "stations gone for good"), 0)
        )
        self.jobs = 0
        self.world = World(folder, free_url())

    def round(self) -> None:
        """Two batches, and some faults while they run."""
        starts = self.folder / "starts"
        starts.unlink(missing_ok=True)
        often = self.world.batch(nap, JOBS, max_crashes=10_000)
        once = self.world.clients[0].batch(nap, [str(self.folder)] * JOBS, range(JOBS, 2 * JOBS), max_crashes=1)
        for _ in range(FAULTS):
            self.fault()
        self.count(often, once)

    # ------------------------------------------------------------------------------------------ faults

    def fault(self) -> None:
        """One process at one system call."""
        victim = self.chance.choice(VICTIMS)
        name = victim if victim in {"ventilator", "sink"} else self.chance.choice(WORKERS)
        pid = self.pid_of(victim, self.world.stations.processes[name].pid)
        if pid is None:
            return
        call = self.chance.choice(SAVES + SPEAKS if victim == name else SPEAKS)
        how = self.chance.choice(("signal=KILL", "error=EIO", "error=ENOSPC")) if call in SAVES else "signal=KILL"
        when = self.chance.randint(1, DEEPEST)
        traced = ["-e", f"trace={call}", "-e", f"inject={call}:{how}:when={when}", "-p", str(pid)]
        tracer = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", "/dev/null", *traced], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + TRACE_TIME
        while time.monotonic() < end and tracer.poll() is None and is_alive(pid):
            time.sleep(0.02)
        self.world.stations.processes[name].poll()  # strace does not end while a process it has seen die is a zombie
        tracer.send_signal(signal.SIGINT)
        try:
            tracer.wait(TRACE_TIME)
        except subprocess.TimeoutExpired:
            tracer.kill()
            tracer.wait()
        if not is_alive(pid) or how != "signal=KILL":
            self.faults[f"{victim}: {how.partition('=')[2]} at {call}"] += 1
        self.look_after()

    @staticmethod
    def pid_of(victim: str, station: int) -> int | None:
        """The process of a worker's that is meant; None: it is not there just now."""
        depth = {"fork server": 2, "slot": 3}.get(victim, 0)
        for _ in range(depth):
            below = children(station)
            if not below:
                return None
            station = below[0]
        return station

    def look_after(self) -> None:
        """Start again what has ended."""
        processes = self.world.stations.processes
        for name in list(processes):
            for _ in range(RESTARTS):
                if (code := processes[name].poll()) is None:
                    break
                print(f"  the {name} ended with {in_words(code)}: started again", flush=True)
                del processes[name]
                self.world.start(name)
                time.sleep(0.5)
            else:
                self.found["stations gone for good"] += 1

    # ------------------------------------------------------------------------------------------ counting

    def count(self, often: Batch, once: Batch) -> None:
        """What has become of the jobs of a round."""
        end = time.monotonic() + END_TIME
        while not all(batch.status().done for batch in (often, once)) and time.monotonic() < end:
            self.look_after()
            time.sleep(0.2)
        self.jobs += 2 * JOBS
        for batch, first in ((often, 0), (once, JOBS)):
            outcomes = list(batch.outcomes()) if batch.status().done else []
            self.found["lost"] += JOBS - len(outcomes)
            for outcome in outcomes:
                expected = ("succeeded",) if batch is often else ("succeeded", "dead")
                right = outcome.value == first + outcome.index if outcome.state == "succeeded" else True
                self.found["wrong"] += outcome.state not in expected or not right
        times = self.world.times()
        self.found["started twice"] += sum(times[index] > 1 for index in range(JOBS, 2 * JOBS))
        for batch in (often, once):
            batch.delete()


def main() -> int:
    """Kill and count; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    asked = parser.parse_args()
    print(f"--minutes {asked.minutes:g} --seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="penstock-kills-") as folder:
        kills = Kills(Path(folder), asked.seed)
        try:
            kills.world.up(*WORKERS, slots=2)
            end = time.monotonic() + 60 * asked.minutes
            while time.monotonic() < end:
                kills.round()
                print(f"{kills.jobs:,} jobs, {kills.faults.total()} faults: {dict(kills.found)}", flush=True)
        finally:
            kills.world.close()
    for what, times in sorted(kills.faults.items()):
        print(f"{times:6}  {what}")
    return 1 if any(kills.found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
