"""Batches of one, new functions and workers with new names come and go: does anything stay of them?

scripts/month                       100,000 batches and functions: about ten minutes
scripts/month --batches 4000000     a month, at 1.6 a second: three to four hours

Real ventilator, sink and workers with real files, in virtual time. What stations remember on purpose (deleted batches,
workers' keys, cached functions) is bounded so tightly that it is full soon: what grows then has no bound. At ten
moments it says how many objects can be reached from each station, how large the files are, and how many calls of
functions a batch costs. Exits with 1 if any of these is more at the end than after the first tenth.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import pytest

from support.month import BOUNDS, Month, grown

LOOKS = 10


def main() -> int:
    """Live, and look; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=100_000)
    parser.add_argument("--functions", type=int, default=100_000, help="how many before the first one comes again")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    print(f"--batches {asked.batches} --functions {asked.functions} --seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="penstock-month-") as folder, pytest.MonkeyPatch.context() as patch:
        for name, bound in BOUNDS.items():
            patch.setattr(name, bound)
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
