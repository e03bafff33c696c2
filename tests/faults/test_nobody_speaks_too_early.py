"""Persist, then speak, seen from outside: what a real ventilator and sink tell their disk and their peers, in order."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock import Pipeline
from penstock.errors import ProtocolError
from penstock.wire.desk_messages import Accepted, ClientToVentilator, Submit, VentilatorToClient
from penstock.wire.frames import Decoder, Wire
from penstock.wire.messages import (
    Closed,
    Completions,
    Jobs,
    Rows,
    SinkToClient,
    ToVentilator,
    VentilatorToSink,
    VentilatorToWorker,
)
from penstock.wire.records import Bytes
from support.stations import Stations, logs, until
from support.strace_log import STRACE, Call, calls, messages, synced

MARKS = [f"mark-{number:03d}-{number * 7919 % 1000:03d}" for number in range(12)]
MARK_IN = re.compile(rb"mark-\d{3}-\d{3}")

Found = tuple[Counter[str], list[str]]
"""What was said, by kind of message, and what of it was said too early."""


class Traced(Stations):
    """Stations under strace; `durable` as configured."""

    durable = True

    def argv(self, name: str, slots: int, url: str, settings: dict[str, Any]) -> list[str]:
        *argv, config = super().argv(name, slots, url, settings)
        if name not in {"ventilator", "sink"}:
            return [*argv, config]
        config = json.dumps(json.loads(config) | {"durable": self.durable})
        return [*STRACE, "-o", str(self.trace(name)), *argv, config]

    def trace(self, name: str) -> Path:
        """Where a station's trace is."""
        return self.folder / f"{name}.trace"


Run = Callable[[bool], tuple[Path, Path]]


@pytest.fixture
def run(ptrace: None, folder: Path, url: str) -> Run:
    """Submits jobs whose arguments and values are MARKS, one batch after the other; the two traces."""

    def run_traced(durable: bool) -> tuple[Path, Path]:
        stations = Traced(folder, url)
        stations.durable = durable
        try:
            stations.start("ventilator", "sink", "w1")
            with Pipeline(url) as pipeline:
                until(lambda: len(pipeline.workers()) == 1)
                for mark in MARKS:
                    assert list(pipeline.batch(str, [mark]).values()) == [mark]
            for name in ("w1", "sink", "ventilator"):
                assert stations.end(name, signal.SIGTERM) == 0
        finally:
            stations.close()
            print("\n".join(logs(folder)))
        return stations.trace("ventilator"), stations.trace("sink")

    return run_traced


def decode(union: Any, frame: bytes) -> Wire:
    """The message in a frame, which on control begins with a topic; of None if it is none of this union."""
    for topic in (0, 16):
        with contextlib.suppress(ProtocolError):
            return Decoder(union).decode(frame[topic:])
    return Wire(None)


def marks(data: Bytes) -> set[bytes]:
    """Those in it."""
    return set(MARK_IN.findall(data))


class Told:
    """What the ventilator was told: which marks a submit has, which lines of the sink's log are about which jobs."""

    def __init__(self, trace: list[Call]) -> None:
        self.submitted: dict[int, set[bytes]] = {}
        self.seqs: dict[bytes, int] = {}
        self.lines: dict[tuple[bytes, int], int] = {}
        for _, frame in messages(trace, "recvfrom"):
            match decode(ClientToVentilator | ToVentilator, frame):
                case Wire(Submit(number=number), payload):
                    self.submitted[number] = marks(payload)
                case Wire(Completions(records=records)):
                    self.seqs |= {line.chain: line.seq for line in records}
                    self.lines |= {(line.batch, line.start): line.seq for line in records}


def of_ventilator(path: Path) -> Found:
    """Accepted and Jobs only when the job is on the disk, Closed only when the sink's line is applied there."""
    trace = calls(path)
    told, on_disk = Told(trace), synced(trace, "queue.db-wal")
    said: Counter[str] = Counter()
    early: list[str] = []
    for place, frame in messages(trace, "sendto"):
        pages = b"".join(data for at, data in on_disk if at < place)
        need: set[bytes] = set()
        match decode(VentilatorToClient | VentilatorToWorker | VentilatorToSink, frame):
            case Wire(Accepted(number=number)) if told.submitted[number]:
                need, kind = told.submitted[number], "Accepted"
            case Wire(Jobs(), payload):
                need, kind = marks(payload), "Jobs"
            case Wire(Closed(spans=spans)):
                kind = "Closed"
                applied = max((seq for chain, seq in told.seqs.items() if chain in pages), default=0)
                wanted = [told.lines[span.batch, span.start] for span in spans]
                early += [f"Closed of line {seq}, applied {applied}" for seq in wanted if seq > applied]
            case _:
                continue
        said[kind] += 1
        early += [f"{kind} of {mark!r}" for mark in need if mark not in pages]
    return said, early


def of_sink(path: Path) -> Found:
    """Completions and Rows only when their lines are on the disk."""
    trace = calls(path)
    on_disk = synced(trace, "results.db-wal")
    said: Counter[str] = Counter()
    early: list[str] = []
    for place, frame in messages(trace, "sendto"):
        pages = b"".join(data for at, data in on_disk if at < place)
        match decode(ToVentilator | SinkToClient, frame):
            case Wire(Completions(records=records)):
                need, kind = {line.chain for line in records}, "Completions"
            case Wire(Rows(records=records), payload) if records:
                need, kind = marks(payload), "Rows"
            case _:
                continue
        said[kind] += 1
        early += [f"{kind} of {one!r}" for one in need if one not in pages]
    return said, early


def test_nothing_is_said_before_it_is_on_the_disk(run: Run) -> None:
    """No Accepted, Jobs, Closed, Completions or Rows leaves before the fdatasync of the commit that it tells of."""
    ventilator, sink = run(True)
    said, early = of_ventilator(ventilator)
    said_by_sink, early_by_sink = of_sink(sink)
    print(said, said_by_sink)
    assert early + early_by_sink == []
    assert min(said["Accepted"], said["Jobs"]) >= len(MARKS)
    assert min(said["Closed"], said_by_sink["Completions"], said_by_sink["Rows"]) > 0


def test_without_syncs_it_is_seen(run: Run) -> None:
    """The control: stations that are not durable say everything too early."""
    for said, early in map(lambda of, path: of(path), (of_ventilator, of_sink), run(False)):
        assert len(early) >= sum(said.values())
