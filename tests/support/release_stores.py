"""Makes the stores that tests/integration/test_release_before.py opens, by the penstock that runs it.

When a release is made, or the schema of a store has changed, run in tests/:
``python -m support.release_stores data/release_X_Y.tar.xz``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
from functools import partial
from importlib import import_module
from pathlib import Path

from penstock import Batch, Pipeline
from support.stations import Stations

MODULE = """
def area(height, width):
    return height * width

def square(x):
    return x * x

def same(x):
    return x

def fail(x):
    raise ValueError(f"no {x}")
"""
SUBMIT = """
import os, sys
from penstock import Pipeline
from userjobs import area
pipeline = Pipeline(sys.argv[1])
before = pipeline.status().queued
future = pipeline.options(needs="later").submit(area, 3, 4)
while pipeline.status().queued == before:
    pass  # it is not accepted yet
print(future.job_id, flush=True)
os._exit(0)
"""


def make(target: Path) -> None:
    """Batches that have ended, and others whose jobs ask for a tag that no worker has."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "userjobs.py").write_text(MODULE)
        sys.path.insert(0, made)
        stations = Stations(folder, f"ipc://{folder}")
        try:
            stations.start("ventilator", "sink", "worker")
            with Pipeline(stations.url) as pipeline:
                ids = {name: batch.id for name, batch in batches(pipeline).items()}
            client = [sys.executable, "-c", SUBMIT, stations.url]
            ids["single"] = subprocess.run(client, cwd=folder, check=True, text=True, stdout=-1).stdout.strip()
            for name in ("worker", "ventilator", "sink"):
                stations.end(name)  # their last words are in the files then, and no -wal is beside them
        finally:
            stations.close()
        (folder / "ids.json").write_text(json.dumps(ids))
        with tarfile.open(target, "w:xz") as archive:
            for name in ("ids.json", "data/queue.db", "data/results.db"):
                archive.add(folder / name, name)


def batches(pipeline: Pipeline) -> dict[str, Batch]:
    """By the name under which the tests know them."""
    jobs = import_module("userjobs")
    later = pipeline.options(needs="later")
    done = pipeline.batch(jobs.square, range(20))
    ended = {
        "done": done,
        "failed": pipeline.batch(jobs.fail, [1, 2]),
        "commands": pipeline.batch(["echo", "{}"], ["out-a", "out-b"]),
        "records": pipeline.batch(jobs.same, [tuple(done.outcomes())[:2]]),
    }
    for batch in ended.values():
        batch.wait(60)
    return ended | {
        "waiting": later.batch(jobs.square, range(5)),
        "partials": later.batch(partial(jobs.area, 5), [1, 2, 3]),
        "lambdas": later.batch(lambda x: x + 100, [1, 2]),
        "echoes": later.batch(["echo", "{}"], ["q", "r"], cwd="/"),
    }


if __name__ == "__main__":
    make(Path(sys.argv[1]))
