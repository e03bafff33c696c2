"""Stores that earlier releases wrote are opened, and what was under way goes on."""

from __future__ import annotations

import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import Outcome, Pipeline
from penstock.client.batch import Batch
from support.stations import Stations, until

STORES = sorted(Path(__file__).parents[1].joinpath("data").glob("release_*.tar.xz"))
"""Made on Python 3.11 by support/release_stores.py, those of 0.2 by its like: batches that had ended, and others whose
jobs ask for a tag that no worker had."""
PYTHON = (3, 11)


@pytest.fixture(params=STORES, ids=lambda stores: stores.name.partition(".")[0])
def found(folder: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Pipeline, dict[str, str]]]:
    """The pipeline of then, with a worker that has what its jobs ask for."""
    with tarfile.open(request.param) as archive:
        archive.extractall(folder, filter="data")
    ids: dict[str, str] = json.loads((folder / "ids.json").read_text())
    stations = Stations(folder, f"ipc://{folder}")
    try:
        stations.start("ventilator", "sink")
        stations.start("worker", tags=("later",))
        with Pipeline(stations.url) as pipeline:
            yield pipeline, ids
        stations.end("worker")  # which takes along what it unpacked; of one that is killed the next one does
    finally:
        stations.close()


def causes(batch: Batch) -> list[str]:
    return [outcome.cause for outcome in batch.outcomes()]


def printed(batch: Batch) -> list[bytes]:
    return [outcome.stdout for outcome in batch.outcomes()]


def test_what_has_ended_is_read(found: tuple[Pipeline, dict[str, str]]) -> None:
    """Values, errors, outputs, and values that are records of penstock's own; what had failed is counted by its error,
    of which no release before 0.3 says the place."""
    pipeline, ids = found
    assert list(pipeline.attach(ids["done"]).values()) == [x * x for x in range(20)]
    assert causes(pipeline.attach(ids["failed"])) == ["ValueError: no 1", "ValueError: no 2"]
    assert printed(pipeline.attach(ids["commands"])) == [b"out-a\n", b"out-b\n"]
    ((first, second),) = pipeline.attach(ids["records"]).values()
    assert isinstance(first, Outcome)
    assert {first.value, second.value} <= {x * x for x in range(20)}
    assert first.state == "succeeded"
    until(lambda: not pipeline.failures().incomplete)
    errors = [(group.jobs, group.error) for group in pipeline.failures(batch=ids["failed"])]
    assert errors == [(2, "ValueError: no …")]


def test_what_waited_runs(found: tuple[Pipeline, dict[str, str]]) -> None:
    """Calls of the user's own modules, partials, single submits, commands; what they are given can be read."""
    pipeline, ids = found
    partials = pipeline.attach(ids["partials"])
    assert [job.text for job in partials.jobs()] == [f"partial(userjobs.area)({width})" for width in (1, 2, 3)]
    assert list(partials.values()) == [5, 10, 15]
    assert list(pipeline.attach(ids["waiting"]).values()) == [0, 1, 4, 9, 16]
    batch, _, _ = ids["single"].partition(":")
    assert next(pipeline.attach(batch).values()) == 12  # its client was killed, so more of it might come
    assert printed(pipeline.attach(ids["echoes"])) == [b"q\n", b"r\n"]
    if sys.version_info[:2] == PYTHON:  # whose code objects they are
        assert list(pipeline.attach(ids["lambdas"]).values()) == [101, 102]


def test_what_failed_can_be_retried(found: tuple[Pipeline, dict[str, str]]) -> None:
    """By the function that was stored then."""
    pipeline, ids = found
    failed = pipeline.attach(ids["failed"])
    assert failed.retry() == 2
    assert causes(failed) == ["ValueError: no 1", "ValueError: no 2"]
