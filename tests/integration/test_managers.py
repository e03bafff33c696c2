"""Proxies of multiprocessing's managers in jobs, on embedded and on running pipelines of this host."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.stations import LIMIT, Stations

SCRIPT = """
import multiprocessing, sys
from penstock import Pipeline, Pool

def put(queue, x):
    queue.put(x)

if __name__ == "__main__":
    url = sys.argv[1]
    with Pipeline(url) as p:
        p.submit(abs, 1).result(60)
        with multiprocessing.Manager() as manager:
            queue = manager.Queue()
            p.submit(put, queue, 1).result(60)
            list(p.map(put, [queue] * 2, [2, 3]))
            list(p.batch(put, [queue], [4]).values())
            with Pool(1, url=url) as pool:
                pool.apply(put, (queue, 5))
            print(sorted(queue.get() for _ in range(5)))
"""


@pytest.mark.parametrize("kind", ["local", "running"])
def test_a_job_reaches_its_clients_manager(folder: Path, url: str, kind: str) -> None:
    """As a Pool's workers do, also if the manager was made after the pipeline."""
    stations = Stations(folder, url)
    try:
        if kind == "running":
            stations.start("ventilator", "sink", "w1")
        script = folder / "script.py"
        script.write_text(SCRIPT)
        where = "local" if kind == "local" else url
        done = subprocess.run(
            [sys.executable, str(script), where], timeout=LIMIT, capture_output=True, text=True, check=False
        )
        assert done.stdout == "[1, 2, 3, 4, 5]\n", done.stderr
    finally:
        stations.close()
