"""`map` and `imap_unordered` on an embedded pipeline."""

from __future__ import annotations

import gc
import os
import pickle
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.common import inverse, large_when, moment, nap, slow, square
from penstock import Pipeline
from penstock.client import readers
from penstock.errors import JobError
from support.stations import embedded_pids, until

MILLION = 1_000_000
RSS_LIMIT = 300 << 20
"""Bytes that the client and each station may have."""


@pytest.fixture
def pipeline() -> Iterator[Pipeline]:
    """Embedded, with two slots; left at the end."""
    with Pipeline("local", slots=2, pass_output=False) as made:
        yield made


def rss(pid: int) -> int:
    """Bytes that a process has."""
    return int(psutil.Process(pid).memory_info().rss)


def test_values_come_in_order(pipeline: Pipeline) -> None:
    """Of one input or several, whatever their lengths."""
    assert list(pipeline.map(square, range(10_000))) == [n * n for n in range(10_000)]
    assert list(pipeline.map(pow, [1, 2, 3], (2, 2))) == [1, 4]
    assert list(pipeline.map(square, iter(range(1000)))) == [n * n for n in range(1000)]
    assert list(pipeline.map(square, [])) == []


@pytest.mark.parametrize("is_map", [True, False])
def test_more_than_a_window_behind_a_slow_job_is_read(
    pipeline: Pipeline, folder: Path, monkeypatch: pytest.MonkeyPatch, is_map: bool
) -> None:
    """All of it has come before its reader, who is busy with the first value, gets to the job that takes longest."""
    monkeypatch.setattr(readers.OrderReader.__init__, "__kwdefaults__", {"window": 1 << 20, "accepted": True})
    render = partial(large_when, folder / "go on", 3)
    results = iter(pipeline.map(render, range(100)) if is_map else pipeline.batch(render, range(100)).values())
    values = [next(results)]
    until(lambda: sum(batch.finished for batch in pipeline.batches()) >= 90)
    (folder / "go on").touch()
    until(lambda: sum(batch.finished for batch in pipeline.batches()) == 100)
    thread = threading.Thread(target=lambda: values.extend(results), daemon=True)
    thread.start()
    until(lambda: len(values) == 100)
    assert [(int(value[:4]), len(value)) for value in values] == [(index, 20_000) for index in range(100)]


def test_the_costliest_jobs_start_first() -> None:
    """Exactly in their order, where one slot runs all; the values come in the order of the input all the same."""
    costs = [1.0] * 100
    costs[50], costs[99] = 1000.0, 2000.0
    with Pipeline("local", slots=1, pass_output=False) as pipeline:
        started = list(pipeline.map(moment, range(100), cost=costs))
    assert sorted(range(100), key=started.__getitem__)[:3] == [99, 50, 0]


def test_values_come_in_order_whatever_they_cost(pipeline: Pipeline) -> None:
    """A failure at its place too."""
    results = pipeline.map(inverse, [4, 2, 0, 1], cost=abs)
    assert [next(results), next(results)] == [0.25, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(pipeline.map(square, range(100), chunksize=7)) == [n * n for n in range(100)]


def test_unordered_values_come_as_they_are_done(pipeline: Pipeline) -> None:
    """A slow one does not hold up the others."""
    found = list(pipeline.imap_unordered(nap, [2.0] + [0.001] * 20))
    assert found == [0.001] * 20 + [2.0]


@pytest.mark.parametrize("sized", [True, False])
def test_ten_million_squares_in_flat_memory(folder: Path, pipeline: Pipeline, sized: bool) -> None:
    """From a range and from a generator; nothing is built anywhere, and nothing is left of it."""
    n = 10 * MILLION
    peak = grown = 0
    before = rss(os.getpid())  # of all the tests before, too
    start = time.monotonic()
    total = 0
    stations = embedded_pids(folder)
    for place, value in enumerate(pipeline.map(square, range(n) if sized else (i for i in range(n)))):
        total += value
        if place % MILLION == 0:
            peak = max([peak, *map(rss, stations.values())])
            grown = max(grown, rss(os.getpid()) - before)
    print(f"{n / (time.monotonic() - start) / MILLION:.2f} M squares a second")
    assert total == (n - 1) * n * (2 * n - 1) // 6
    assert peak < RSS_LIMIT
    assert grown < RSS_LIMIT
    until(lambda: not pipeline.batches(), what="the batch is deleted")


def test_an_input_with_a_length_runs_even_if_nobody_reads(pipeline: Pipeline) -> None:
    """Dropped unread, it runs to its end and leaves nothing."""
    found = pipeline.map(slow, range(300))
    until(lambda: pipeline.batches()[0].total == 300)
    del found
    gc.collect()
    until(lambda: not pipeline.batches(), what="it ran and was deleted")
    until(lambda: sum(worker.done for worker in pipeline.workers()) == 300)


def test_closed_after_its_first_value_it_cancels_the_rest(pipeline: Pipeline) -> None:
    """At once."""
    found: Any = pipeline.map(time.sleep, [0.01] + [60.0] * 20)
    next(found)
    found.close()
    until(lambda: not pipeline.batches(), what="the batch is deleted")
    assert pipeline.submit(abs, -1).result(30) == 1


def test_an_endless_input_is_drawn_as_it_is_read(pipeline: Pipeline) -> None:
    """Some way ahead of the reader, no more."""
    drawn = count()
    found: Any = pipeline.map(square, drawn)
    assert [next(found) for _ in range(1000)] == [n * n for n in range(1000)]
    found.close()
    assert next(drawn) < 1_000_000


def test_a_buffersize_bounds_what_is_drawn(pipeline: Pipeline) -> None:
    """As in Python 3.14; also of an input with a length."""
    drawn: list[int] = []

    class Numbers(list[int]):
        def __iter__(self) -> Iterator[int]:
            for number in range(100):
                drawn.append(number)
                yield number

    found = pipeline.map(square, Numbers(range(100)), buffersize=5)
    assert len(drawn) == 5
    assert next(found) == 0
    assert len(drawn) == 6
    assert list(found) == [n * n for n in range(1, 100)]


def test_errors_come_at_their_place(pipeline: Pipeline) -> None:
    """Of a job, of the input, and of an item that cannot be pickled."""
    for items, error in (
        ([1, 2, 0, 4], ZeroDivisionError),
        ((2 // (2 - n) for n in range(4)), ZeroDivisionError),
        ([1, 2, threading.Lock()], pickle.PicklingError),
    ):
        found = pipeline.map(inverse, items)
        assert [next(found), next(found)] == [1.0, 0.5]
        with pytest.raises(error):
            next(found)
    until(lambda: not pipeline.batches())


def test_a_timeout_counts_from_the_call(pipeline: Pipeline) -> None:
    """As in the standard library; the rest is cancelled."""
    pipeline.submit(abs, 1).result(30)
    found = pipeline.map(time.sleep, [0.01, 60.0], timeout=6)
    next(found)
    with pytest.raises(TimeoutError):
        next(found)
    until(lambda: len(pipeline.batches()) == 1, what="only the submit's batch is left")


def test_a_slow_first_job_lets_the_others_go_on_in_bounded_memory(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came in behind it is fetched again when its turn comes."""
    monkeypatch.setattr(readers.OrderReader.__init__, "__kwdefaults__", {"window": 1 << 20})
    big = 100_000

    def job(x: int) -> bytes:
        if x == 0:
            time.sleep(1.5)
        return x.to_bytes(4, "big") * (big // 4)

    peak = 0
    for place, value in enumerate(pipeline.map(job, range(200))):
        assert value[:4] == place.to_bytes(4, "big")
        peak = max(peak, len(value))
    assert peak == big


def test_results_can_be_read_after_the_pipeline_was_left() -> None:
    """As with every executor: also those of an input that had not been drawn to its end."""
    with Pipeline("local", slots=2) as pipeline:
        sized = pipeline.map(square, range(20_000))
        drawn = pipeline.map(square, (n for n in range(2_000)))
    assert list(sized) == [n * n for n in range(20_000)]
    assert list(drawn) == [n * n for n in range(2_000)]


def test_two_maps_at_once(pipeline: Pipeline) -> None:
    """Each has its own place; they share the slots."""
    pairs = zip(pipeline.map(square, range(5000)), pipeline.map(abs, range(-5000, 0)), strict=True)
    assert list(pairs) == [(n * n, 5000 - n) for n in range(5000)]


def test_a_value_that_cannot_be_rebuilt_is_raised_at_its_place(pipeline: Pipeline) -> None:
    """With what unpickling it raised."""

    class Broken:
        def __reduce__(self) -> Any:
            return int, ("no number",)

    with pytest.raises((ValueError, JobError)):
        list(pipeline.map(lambda _: Broken(), [1]))
