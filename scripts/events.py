"""Is any event missed, or out of order, when the stations and whoever reads events are killed again and again?

scripts/events                                      100,000 events, 10 kills of each: some two minutes
scripts/events --events 1000000 --restarts 100      a million, as many as are ever read in one go

Ventilator, sink and a worker are processes of their own; batches of one job are submitted all the time. The reader is
`penstock events --follow --json --from N`, killed with -9 at random moments, where N is behind the last whole line that
the one before had printed. The ventilator is killed with -9, too, and at times the sink. Exits with 1 if a number is
missing, comes twice or out of order, or if a batch was not submitted, started and ended exactly once, in this order.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from concurrent.futures import wait
from pathlib import Path

from penstock import Pipeline
from support.stations import Stations, free_url

AT_ONCE = 500
"""Batches of one that are open at a time."""
STORY = ["submitted", "started", "ended"]


class Reader:
    """One that is killed and started again, and knows what it has read."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.numbers: list[int] = []
        self.told: dict[str, list[str]] = defaultdict(list)
        self.kills = 0

    def read(self, lines_before_kill: int | None = None) -> None:
        """So many lines, then it is killed; None: what there is now."""
        first = self.numbers[-1] + 1 if self.numbers else 1
        argv = [sys.executable, "-m", "penstock", "events", "--url", self._url, "--json", "--from", str(first)]
        if lines_before_kill is not None:
            argv.append("--follow")
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for count, line in enumerate(process.stdout, 1):
                if not line.endswith(b"\n"):
                    break  # half of one: the next reader begins with it
                event = json.loads(line)
                self.numbers.append(event["number"])
                if event["batch"]:
                    self.told[event["batch"]].append(event["event"])
                if lines_before_kill is not None and count >= lines_before_kill:
                    process.kill()
                    self.kills += 1
                    return


def submit_all(url: str, batches: int, reader: Reader) -> None:
    """Batches of one, each of which is a batch of its own because its name is."""
    with Pipeline(url) as pipeline:
        done = 0
        while done < batches:
            futures = [pipeline.options(name=f"b{done + place}").submit(abs, 1) for place in range(AT_ONCE)]
            pipeline.flush()
            wait(futures)
            done += AT_ONCE
            while len(reader.numbers) < 3 * done - 50_000:  # the newest 100,000 are kept
                time.sleep(0.1)


def main() -> int:
    """Run, read, count; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--restarts", type=int, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    print(f"--events {asked.events} --restarts {asked.restarts} --seed {asked.seed}", flush=True)
    chance = random.Random(asked.seed)
    batches = -(-asked.events // len(STORY) // AT_ONCE) * AT_ONCE
    with tempfile.TemporaryDirectory(prefix="penstock-events-") as folder:
        stations = Stations(Path(folder), free_url())
        stations.start("ventilator", "sink", "w1", slots=2)
        reader = Reader(stations.url)
        load = threading.Thread(target=submit_all, args=(stations.url, batches, reader))
        load.start()
        try:
            for number in range(asked.restarts):
                each = asked.events // asked.restarts
                reader.read(chance.randrange(each // 2, each * 9 // 10))
                name = "sink" if number % 5 == 4 else "ventilator"
                stations.end(name, signal.SIGKILL)
                stations.start(name)
                if (number + 1) % 10 == 0:
                    print(f"{len(reader.numbers):,} events read, {number + 1} kills", flush=True)
            while load.is_alive():
                reader.read()
            reader.read()
        finally:
            stations.close()
    return judge(reader, batches)


def judge(reader: Reader, batches: int) -> int:
    """What was read, and what is wrong with it."""
    gaps = sum(second != first + 1 for first, second in zip(reader.numbers, reader.numbers[1:], strict=False))
    wrong = {batch: told for batch, told in reader.told.items() if told != STORY}
    print(f"{len(reader.numbers):,} events of {len(reader.told):,} batches read by {reader.kills + 1} readers")
    print(f"{gaps} gaps, {len(wrong)} batches with another story, {batches - len(reader.told)} batches unheard of")
    for batch, told in list(wrong.items())[:5]:
        print(f"  {batch}: {' '.join(told)}")
    return 1 if gaps or wrong or len(reader.told) != batches or reader.numbers[:1] != [1] else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a client whose pipeline is gone would wait for it
