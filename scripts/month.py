"""Batches of one, new functions and workers with new names come and go: does anything stay of them?

scripts/month                                       100,000 batches and functions: some three minutes
scripts/month --batches 10000000 --folder FOLDER    a month, at 3.9 a second: some four hours; called again it goes on
                                                    where it was stopped, with stations that start anew

Real ventilator, sink and workers with real files, in virtual time. What stations remember on purpose (deleted batches,
workers' keys, cached functions) is bounded so tightly that it is full soon: what grows then has no bound. From time to
time it says how many objects can be reached from each station, how large the files are, and how many calls of
functions a batch costs. Exits with 1 if any of these is more at the end than at the first look.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pytest

from support.month import BOUNDS, Mark, Month, Stays, grown

LOOKS = 40


def main() -> int:
    """Live, and look; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=100_000)
    parser.add_argument("--functions", type=int, default=100_000, help="how many before the first one comes again")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--folder", type=Path, help="where it is kept how far it has come")
    asked = parser.parse_args()
    print(f"--batches {asked.batches} --functions {asked.functions} --seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="penstock-month-") as folder, pytest.MonkeyPatch.context() as patch:
        for name, bound in BOUNDS.items():
            patch.setattr(name, bound)
        live = Path(folder) / "live"
        mark, looks = kept(asked.folder, live) if asked.folder else (Mark(), [])
        month = Month(live, asked.seed, asked.functions, mark)
        while len(looks) < LOOKS:
            month.live(asked.batches // LOOKS)
            looks.append(month.look())
            if asked.folder:
                keep(asked.folder, live, month.mark(), looks)
            lived, seen = month.mark(), looks[-1]
            print(f"{lived.batches:,} batches, {lived.now / 3600:,.1f} virtual hours: {seen}", flush=True)
        more = grown(looks[0], looks[-1])
    print("\n".join(more) if more else "nothing has grown")
    return 1 if more else 0


def kept(folder: Path, live: Path) -> tuple[Mark, list[Stays]]:
    """How far an earlier process came, and what it saw; its files are copied to where they live."""
    newest = folder / "month.json"
    if not newest.exists():
        return Mark(), []
    came = json.loads(newest.read_text())
    shutil.copytree(folder / came["files"], live)
    return Mark(*came["mark"]), [Stays(*look) for look in came["looks"]]


def keep(folder: Path, live: Path, mark: Mark, looks: list[Stays]) -> None:
    """The files as they are, then the note that names them."""
    files = f"files-{len(looks)}"
    shutil.rmtree(folder / files, ignore_errors=True)
    shutil.copytree(live, folder / files)
    note = folder / "month.json.new"
    note.write_text(json.dumps({"files": files, "mark": mark, "looks": looks}))
    note.rename(folder / "month.json")
    shutil.rmtree(folder / f"files-{len(looks) - 1}", ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
