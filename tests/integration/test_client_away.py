"""A client that says nothing for longer than a map waits for its client: busy, stopped, or without its ventilator."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock import Pipeline, errors
from support.stations import LIMIT, Stations, until

TRANSIENT = 3.0
"""Seconds after which the map of a client that is gone is cancelled, here."""

PROGRAM = """
import ctypes, os, sys, time
from penstock import Pipeline, errors
def wait(folder, x):
    while not os.path.exists(folder + "/gate"): time.sleep(0.01)
    return x
url, folder, what = sys.argv[1:]
with Pipeline(url) as p:
    values = p.map(wait, [folder] * 4, range(4))
    p.flush()
    print("accepted", flush=True)
    if what == "busy":
        ctypes.PyDLL(None).sleep(12)  # C code that keeps the GIL
        print("back", flush=True)
    try:
        print(list(values), flush=True)
    except errors.JobCancelled as error:
        print(error, flush=True)
    print(p.submit(pow, 2, 3).result(60), flush=True)
"""

Client = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def running(stations: Stations) -> Stations:
    """Ventilator, sink and a worker."""
    stations.transient_time = TRANSIENT
    stations.start("ventilator", "sink", "w")
    return stations


@pytest.fixture
def client(running: Stations, folder: Path) -> Iterator[Client]:
    """Another process that maps, and reads when it may."""
    started: list[subprocess.Popen[str]] = []

    def run(what: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", PROGRAM, running.url, str(folder), what]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        running.processes[what] = process  # type: ignore[assignment]  # it is killed like the stations
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "accepted\n"
        return process

    yield run
    for process in started:
        assert process.stdout is not None
        process.stdout.close()


def test_a_client_that_keeps_the_gil_loses_nothing(client: Client, running: Stations, folder: Path) -> None:
    """Four times as long as a map waits for a client that is gone: its connection is up all the time."""
    process = client("busy")
    assert process.stdout is not None
    assert process.stdout.readline() == "back\n"
    assert "map_abandoned" not in running.log("ventilator").read_text()
    (folder / "gate").touch()
    assert process.stdout.readline() == "[0, 1, 2, 3]\n"
    assert (process.stdout.readline(), process.wait(LIMIT)) == ("8\n", 0)


def test_a_client_that_was_stopped_is_told_and_goes_on(client: Client, running: Stations) -> None:
    """Its map was cancelled; it learns so in words, and its pipeline is usable."""
    process = client("stopped")
    assert process.stdout is not None
    process.send_signal(signal.SIGSTOP)
    with Pipeline(running.url) as other:
        until(lambda: not other.batches(), what="its map is gone")
    process.send_signal(signal.SIGCONT)
    said = process.stdout.readline()
    assert "was cancelled" in said
    assert "its client was out of reach for 3 s" in said
    assert (process.stdout.readline(), process.wait(LIMIT)) == ("8\n", 0)


def test_whoever_waits_is_told_when_its_batch_is_deleted(running: Stations, monkeypatch: pytest.MonkeyPatch) -> None:
    """By somebody else, while its own connection to the sink brings nothing: Futures and readers end."""
    monkeypatch.setattr("penstock.client.courier.ALIVE_INTERVAL", 0.5)
    with Pipeline(running.url) as pipeline, Pipeline(running.url) as other:
        future = pipeline.options(name="mine").submit(pow, 2, 3)
        assert future.result(LIMIT) == 8
        waiting = pipeline.options(name="mine", worker="nobody").submit(pow, 2, 3)
        batch = pipeline.batch(pow, [2], [3], name="read", worker="nobody")
        pipeline.flush(LIMIT)
        monkeypatch.setattr("penstock.client.follow.Follower.on_rows", lambda *_: None)  # they are lost
        for name in ("mine", "read"):
            other.attach(name).delete()
        assert isinstance(waiting.exception(LIMIT), errors.NoSuchBatch)
        with pytest.raises(errors.NoSuchBatch, match="deleted"):
            list(batch.outcomes())


@pytest.mark.parametrize("is_stopped", [False, True])
def test_cancelling_in_an_event_loop_never_waits(running: Stations, is_stopped: bool) -> None:
    """Whether or not the ventilator is there: each cancel says False without an answer, and what could be cancelled is
    in the end."""

    async def cancels(pipeline: Pipeline) -> None:
        loop = asyncio.get_running_loop()
        futures = [pipeline.submit(time.sleep, 0.05) for _ in range(500)]
        waiting = [asyncio.wrap_future(future) for future in futures]
        await loop.run_in_executor(None, pipeline.flush)
        if is_stopped:
            running.processes["ventilator"].send_signal(signal.SIGSTOP)
        assert not any(future.cancel() for future in futures if not future.done())
        if is_stopped:
            running.processes["ventilator"].send_signal(signal.SIGCONT)
        await asyncio.wait(waiting)
        assert sum(future.cancelled() for future in futures) > 250
        assert all(future.cancelled() or future.result(0) is None for future in futures)

    with Pipeline(running.url) as pipeline:
        asyncio.run(cancels(pipeline))
