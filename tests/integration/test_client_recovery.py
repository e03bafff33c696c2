"""A client whose stations die and come back: it notices nothing but the time."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.common import slow, square
from penstock import Pipeline, errors
from support.stations import LIMIT, Stations, embedded_pids, until

WAIT = 3 * LIMIT
NAMES = ("ventilator", "sink", "w")


@pytest.fixture
def running(stations: Stations, monkeypatch: pytest.MonkeyPatch) -> Stations:
    """Ventilator, sink and a worker that can import the tests' jobs."""
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(os.path.dirname(__file__)), prepend=os.pathsep)
    stations.start(*NAMES, slots=2)
    return stations


@pytest.mark.parametrize("name", NAMES)
def test_futures_and_maps_survive_a_killed_station(running: Stations, name: str) -> None:
    """Every value comes, once and in order."""
    with Pipeline(running.url) as pipeline:
        pipeline.submit(abs, 1).result(WAIT)
        futures = [pipeline.submit(slow, number) for number in range(50)]
        values = pipeline.map(slow, range(150))
        assert next(values) == 0
        running.end(name, signal.SIGKILL)
        later = [pipeline.submit(slow, number) for number in range(50, 60)]
        running.start(name, slots=2)
        assert [future.result(WAIT) for future in futures + later] == list(range(60))
        assert list(values) == list(range(1, 150))


@pytest.mark.parametrize("name", ["ventilator", "sink", "worker", "supervisor"])
def test_an_embedded_station_that_dies_is_started_again(folder: Path, name: str) -> None:
    """A map from a generator goes on."""
    with Pipeline("local", slots=2) as pipeline:
        victim = embedded_pids(folder)[name]
        timer = threading.Timer(0.5, os.kill, (victim, signal.SIGKILL))
        timer.start()
        assert sum(pipeline.map(slow, (number for number in range(300)))) == sum(range(300))
        timer.join()
        until(lambda: embedded_pids(folder).get(name, victim) != victim, what="it was started again")
        assert pipeline.submit(abs, -1).result(WAIT) == 1


def test_a_station_that_cannot_live_ends_the_pipeline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every future has an error that says which station, and no caller waits for ever."""
    monkeypatch.setattr("penstock.client.local_stations.RESTARTS", 1)
    with Pipeline("local") as pipeline:
        future = pipeline.submit(time.sleep, 600)
        killed: set[int] = set()
        while not future.done():
            if (victim := embedded_pids(folder).get("ventilator", 0)) not in {0, *killed}:
                killed.add(victim)
                os.kill(victim, signal.SIGKILL)
            time.sleep(0.01)
        for ask in (
            future.result,
            pipeline.status,
            lambda: pipeline.submit(abs, 1),
            lambda: list(pipeline.map(abs, [1])),
        ):
            with pytest.raises(errors.NoPipeline, match="embedded ventilator ended with signal 9"):
                ask()


def _numbers() -> Iterator[int]:
    yield from range(5_000_000)


def test_a_quick_map_survives_each_station_dying_in_turn(folder: Path) -> None:
    """Five million squares, three kills."""
    with Pipeline("local", slots=2) as pipeline:
        timers = [
            threading.Timer(0.5 + 0.7 * place, lambda name=name: os.kill(embedded_pids(folder)[name], signal.SIGKILL))
            for place, name in enumerate(("sink", "ventilator", "worker"))
        ]
        for timer in timers:
            timer.start()
        n = 5_000_000
        assert sum(pipeline.map(square, _numbers())) == (n - 1) * n * (2 * n - 1) // 6
        for timer in timers:
            timer.join()
