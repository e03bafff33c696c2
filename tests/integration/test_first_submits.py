"""The first submits of a process, from many threads at once: what one of them imports, none meets half imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.stations import LIMIT

PROGRAM = """
import sys, threading, time
from importlib.abc import MetaPathFinder
from penstock import Pipeline

is_half_there = threading.Event()

class SlowDisk(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "cloudpickle.cloudpickle":
            is_half_there.set()
            time.sleep(0.5)

sys.meta_path.insert(0, SlowDisk())

def double(number):
    return 2 * number

def first(pipeline, number):  # a function of the script needs cloudpickle, to look at it
    return pipeline.submit(double, number).result({limit}) == 2 * number

def another(pipeline, number):
    assert is_half_there.wait({limit})
    numbers = [number] * 10
    futures = [pipeline.submit(abs, number) for number in numbers]
    mapped, batch = pipeline.map(abs, numbers), pipeline.batch(abs, numbers)
    return [future.result({limit}) for future in futures] == list(mapped) == list(batch.values()) == numbers

with Pipeline({where}) as pipeline:
    good, bad = [], []

    def run(submits, number):
        try:
            good.append(submits(pipeline, number))
        except BaseException as error:
            bad.append(repr(error))

    threads = [threading.Thread(target=run, args=(first if number == 0 else another, number)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(good, *bad)
"""


@pytest.mark.parametrize("where", ["'local', slots=2", "'inline'"])
def test_all_of_them_are_taken(folder: Path, where: str) -> None:
    """Eight threads in a fresh process, on a disk that is slow just then."""
    program = folder / "program.py"
    program.write_text(PROGRAM.format(where=where, limit=LIMIT))
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=LIMIT, check=False, cwd=folder
    )
    assert (done.stdout, done.returncode) == (f"{[True] * 8}\n", 0), done.stderr
