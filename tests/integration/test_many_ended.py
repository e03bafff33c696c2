"""Files of pipelines that have run for weeks: what has ended costs no memory, and is there all the same."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import Pipeline
from penstock.job.spec import BatchSpec, JobState
from penstock.sink.store import ResultStore
from penstock.ventilator.contract import (
    EndedPart,
    SaveBatch,
    SaveChunk,
    SaveCounts,
    SaveEnded,
    SaveOpen,
    SaveTotal,
    VentilatorSave,
)
from penstock.ventilator.store import QueueStore
from support.sink_models import head_of
from support.stations import Stations, until
from support.store_samples import CODE, DIGEST, lines

ENDED = 30_000
MOST = {"ventilator": 80 << 20, "sink": 56 << 20}
"""Bytes: with all of these in memory they have 148 MB and 70 MB, without 48 MB and 42 MB."""
OLD = (17).to_bytes(16, "big")


def queue_saves(number: int) -> list[VentilatorSave]:
    """A batch of one job that failed."""
    batch, now = number.to_bytes(16, "big"), time.time()
    return [
        SaveBatch(batch, BatchSpec(name=f"night-{number}"), DIGEST, CODE, now),
        SaveChunk(batch, 0, 1, b"arguments"),
        SaveOpen(batch, 0, (), (EndedPart(0, 1, JobState.FAILED),)),
        SaveCounts(batch, {"failed": 1}),
        SaveTotal(batch, 1),
        SaveEnded(batch, now, 1e6, 0),
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which so many batches have ended."""
    folder = tmp_path_factory.mktemp("weeks")
    queue, results = QueueStore(folder / "data", durable=False), ResultStore(folder / "data", durable=False)
    for first in range(0, ENDED, 1000):
        numbers = range(first, first + 1000)
        queue.save(save for number in numbers for save in queue_saves(number))
        heads = (head_of(number.to_bytes(16, "big"), 0, 1, state=JobState.FAILED) for number in numbers)
        results.save(lines(results, *heads))
    queue.close()
    results.close()
    return folder


@pytest.fixture
def stations(files: Path) -> Iterator[Stations]:
    """Ventilator and sink on these files."""
    made = Stations(files, f"ipc://{files}")
    made.start("ventilator", "sink")
    yield made
    made.close()


def peak(stations: Stations, name: str) -> int:
    """Bytes of memory that a station has had at once, at most."""
    (line,) = re.findall(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{stations.processes[name].pid}/status").read_text())
    return int(line) << 10


def test_what_has_ended_is_on_disk_alone(stations: Stations) -> None:
    """It is found and listed, asked of, opened again by a retry, and deleted."""
    with Pipeline(stations.url) as pipeline:
        newest = pipeline.batches(limit=3)
        assert [int(batch.id, 16) for batch in newest] == [ENDED - 1, ENDED - 2, ENDED - 3]
        old = pipeline.attach("night-17")
        assert old.id == OLD.hex()
        assert old.status().failed == 1
        assert list(old.ended()) == [(0, 1, JobState.FAILED)]
        assert old.retry() == 1  # which the sink records
        assert old.status().failed == 0
        assert old.why(0) == "no worker is connected"
        old.delete()
        until(lambda: not pipeline.batches("night-17"))
        assert [name for name in ("ventilator", "sink") if peak(stations, name) > MOST[name]] == []
