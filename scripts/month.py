"""Batches of one, new functions and workers with new names come and go: does anything stay of them?

scripts/month                       100,000 batches and functions: about twenty minutes
scripts/month --batches 10000000    a month at four a second: a day and more

Real ventilator, sink and workers with real files, in virtual time. At ten moments it says how many objects can be
reached from each station, how large the files are, and how many calls of functions a batch costs. Exits with 1 if any
of these is more at the end than after the first tenth.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from support.month import Month, grown

LOOKS = 10


def main() -> int:
    """Live, and look; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=100_000)
    parser.add_argument("--functions", type=int, default=100_000, help="how many before the first one comes again")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    print(f"--batches {asked.batches} --functions {asked.functions} --seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="penstock-month-") as folder:
        month = Month(Path(folder), asked.seed, asked.functions)
        looks = []
        for _ in range(LOOKS):
            month.live(asked.batches // LOOKS)
            looks.append(month.look())
            seen = looks[-1]
            print(f"{month.client.batches:,} batches, {month.now / 3600:,.1f} virtual hours: {seen}", flush=True)
        more = grown(looks[0], looks[-1])
    print("\n".join(more) if more else "nothing has grown")
    return 1 if more else 0


if __name__ == "__main__":
    sys.exit(main())
