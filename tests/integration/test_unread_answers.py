"""Who asks much and reads nothing costs a station a bounded number of bytes, and is cut off; real processes."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
import zmq

from penstock import Pipeline
from penstock.keys.files import KeyFolder
from penstock.wire.bounds import Limits
from penstock.wire.desk_messages import AskArguments
from penstock.wire.messages import Fetch, Follow
from penstock.wire.records import Message
from support.deaf_client import deaf_client
from support.keyed_pipeline import door, key_of, make_keys
from support.stations import LIMIT, Stations, until

MB = 1 << 20
LIMITS = Limits(answer_bytes=4 * MB, key_answer_bytes=16 * MB, answer_time=2.0, topics=4)
UNBOUNDED = Limits(answer_bytes=1 << 40, key_answer_bytes=1 << 40, answer_time=3600.0, topics=1 << 40)
COSTS = 200 * MB
"""Some answers that are being made, and what an allocator does not give back: those asked for are 800 MB."""


def megabyte(number: int) -> bytes:
    """The value of a job, which no compression makes small."""
    return bytes([number]) + os.urandom(MB)


def resident(stations: Stations, name: str) -> int:
    """Bytes of memory that a station has."""
    return psutil.Process(stations.processes[name].pid).memory_info().rss


@pytest.fixture
def keys(folder: Path, url: str) -> KeyFolder:
    return make_keys(folder, url)


def begin(stations: Stations, keys: KeyFolder, limits: Limits) -> None:
    stations.start("ventilator", "sink", "w1", key=str(keys.path), limits=limits)
    until(lambda: b" worker_joined: " in stations.log("ventilator").read_bytes())


@pytest.mark.parametrize(("limits", "is_bounded"), [(LIMITS, True), (UNBOUNDED, False)], ids=["bounded", "control"])
@pytest.mark.parametrize("kind", ["fetch", "follow"])
def test_results_that_nobody_reads(
    stations: Stations, keys: KeyFolder, limits: Limits, *, is_bounded: bool, kind: str
) -> None:
    """100 fetches of 8 MB, or 40 connections that follow with a giant credit: the sink keeps some MB, serves others
    meanwhile, and cuts off who reads nothing. Control: without the bounds it keeps hundreds."""
    begin(stations, keys, limits)
    with Pipeline(key=str(keys.path / "alice.key")) as pipeline:
        batch = pipeline.batch(megabyte, range(20))
        batch.wait(LIMIT)
        before = resident(stations, "sink")
        of = bytes.fromhex(batch.id)
        many = [Fetch(number + 1, of, 0, 20) for number in range(100)]
        said: tuple[int, list[Message]] = (1, [*many]) if kind == "fetch" else (40, [Follow(of, 0, 1 << 62)])
        with deaf_client(keys.path / "watch.key", stations.url, "results", *said):
            if is_bounded:
                until(lambda: b" reads_nothing: " in stations.log("sink").read_bytes())
                assert resident(stations, "sink") - before < COSTS
                assert pipeline.submit(abs, -1).result(LIMIT) == 1
            else:
                until(lambda: resident(stations, "sink") - before > 2 * COSTS)


@pytest.mark.parametrize(("limits", "is_bounded"), [(LIMITS, True), (UNBOUNDED, False)], ids=["bounded", "control"])
@pytest.mark.parametrize("kind", ["fetch", "follow"])
def test_results_in_parts_that_nobody_takes(
    stations: Stations, keys: KeyFolder, limits: Limits, *, is_bounded: bool, kind: str
) -> None:
    """The same of who says that it takes parts, and takes none: what is not sent yet counts as what is not read."""
    begin(stations, keys, limits)
    with Pipeline(key=str(keys.path / "alice.key")) as pipeline:
        batch = pipeline.batch(megabyte, range(20))
        batch.wait(LIMIT)
        before = resident(stations, "sink")
        of = bytes.fromhex(batch.id)
        many = [Fetch(number + 1, of, 0, 20, parts=True) for number in range(100)]
        said: tuple[int, list[Message]] = (
            (4, [*many]) if kind == "fetch" else (40, [Follow(of, 0, 1 << 62, parts=True)])
        )
        with deaf_client(keys.path / "watch.key", stations.url, "results", *said):
            if is_bounded:
                until(lambda: b" reads_nothing: " in stations.log("sink").read_bytes())
                assert resident(stations, "sink") - before < COSTS
                assert len(list(batch.outcomes())) == 20
            else:
                until(lambda: resident(stations, "sink") - before > 2 * COSTS)


@pytest.mark.parametrize(("limits", "is_bounded"), [(LIMITS, True), (UNBOUNDED, False)], ids=["bounded", "control"])
@pytest.mark.parametrize("parts", [False, True], ids=["whole", "parts"])
def test_answers_of_the_ventilator_that_nobody_reads(
    stations: Stations, keys: KeyFolder, limits: Limits, *, is_bounded: bool, parts: bool
) -> None:
    """3,000 questions of 40 bytes over 3 connections, each with an answer of 900 KB. Control: without the bounds all
    answers are kept."""
    begin(stations, keys, limits)
    with Pipeline(key=str(keys.path / "alice.key")) as pipeline:
        batch = pipeline.batch(len, [os.urandom(900_000)])
        batch.wait(LIMIT)
        before, of = resident(stations, "ventilator"), bytes.fromhex(batch.id)
        many = [AskArguments(number + 1, of, 0, 1, 1 << 30, parts=parts) for number in range(1000)]
        with deaf_client(keys.path / "watch.key", stations.url, "desk", 3, many):
            if is_bounded:
                until(lambda: b" reads_nothing: " in stations.log("ventilator").read_bytes())
                assert resident(stations, "ventilator") - before < COSTS
                assert pipeline.status().sink_present
            else:
                until(lambda: resident(stations, "ventilator") - before > 2 * COSTS)


def test_a_connection_with_many_topics_is_cut_off(stations: Stations, keys: KeyFolder) -> None:
    """A worker has one; ZeroMQ would keep each in memory, whether it is let hear something or not. Workers go on."""
    begin(stations, keys, LIMITS)
    with door(stations.url, "control", key_of(keys, "gpu")) as control:
        assert control.answer() == "let in"
        for number in range(LIMITS.topics + 1):
            control.socket.subscribe(bytes([number]) * 16)
        control.socket.poll(0)  # only now libzmq sends them
        assert control.got(zmq.Event.DISCONNECTED)
    until(lambda: b" too_many_topics: " in stations.log("ventilator").read_bytes())
    with Pipeline(key=str(keys.path / "alice.key")) as pipeline:
        assert pipeline.submit(abs, -1).result(LIMIT) == 1
