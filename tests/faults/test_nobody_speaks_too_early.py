"""Persist, then speak, seen from outside: what a real ventilator and sink tell their disk and their peers, in order."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock import Pipeline
from penstock.errors import ProtocolError
from penstock.messages import (
    Accepted,
    Closed,
    Completions,
    Decoder,
    Jobs,
    Rows,
    SinkToClient,
    ToVentilator,
    VentilatorToClient,
    VentilatorToSink,
    VentilatorToWorker,
)
from support import Stations, logs, until
from trace import STRACE, calls, streams, synced

MARKS = [f"mark-{number:03d}-{number * 7919 % 1000:03d}" for number in range(12)]
MARK_IN = re.compile(rb"mark-\d{3}-\d{3}")
COMMIT = re.compile(r"-wal$")

Found = tuple[Counter[str], list[str]]
"""What was said, by kind of message, and what of it was said too early."""


class Traced(Stations):
    """Stations under strace; `durable` as configured."""

    durable = True

    def _argv(self, name: str, slots: int) -> list[str]:
        *argv, config = super()._argv(name, slots)
        if name not in {"ventilator", "sink"}:
            return [*argv, config]
        config = json.dumps(json.loads(config) | {"durable": self.durable})
        return [*STRACE, "-o", str(self.trace(name)), *argv, config]

    def trace(self, name: str) -> Path:
        """Where a station's trace is."""
        return self.folder / f"{name}.trace"


@pytest.fixture(scope="module")
def ptrace() -> None:
    """Skips where nobody may look at another process."""
    if shutil.which("strace") is None:
        if os.geteuid() == 0:
            pytest.fail("no strace: apt-get install strace")
        pytest.skip("no strace, and no right to install it")
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], check=False, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no right to trace: {tried.stderr.strip()}")


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


def decode(union: Any, frames: list[bytes]) -> Any:
    """The message among the frames; None if none of this union is."""
    decoder = Decoder(union)
    for frame in frames:
        try:
            return decoder.decode(frame)
        except ProtocolError:
            continue
    return None


def marks(data: bytes) -> set[bytes]:
    """Those in it."""
    return set(MARK_IN.findall(data))


def of_ventilator(path: Path) -> Found:
    """Accepted and Jobs only when the job is on the disk, Closed only when the sink's line is applied there."""
    trace = calls(path)
    on_disk = synced(trace, "queue.db-wal")
    told: list[tuple[int, Any]] = []
    lines: dict[bytes, int] = {}
    for _, _, frames in streams(trace, "recvfrom"):
        message = decode(ToVentilator, frames)
        if isinstance(message, Completions):
            told += [(line.seq, line) for line in message.records]
            lines |= {line.chain: line.seq for line in message.records}
    said: Counter[str] = Counter()
    early: list[str] = []
    for place, _, frames in streams(trace, "sendto"):
        pages = [data for at, data in on_disk if at < place]
        message = decode(VentilatorToClient | VentilatorToWorker | VentilatorToSink, frames)
        need: set[bytes] = set()
        if isinstance(message, Accepted):
            need = {MARKS[said["Accepted"]].encode()}
        elif isinstance(message, Jobs):
            need = marks(frames[-1])
        elif isinstance(message, Closed):
            applied = max((seq for chain, seq in lines.items() if any(chain in page for page in pages)), default=0)
            spans = {(span.batch, span.start) for span in message.spans}
            wanted = [seq for seq, line in told if (line.batch, line.start) in spans]
            early += [f"Closed of line {seq}, applied {applied}" for seq in wanted if seq > applied]
        else:
            continue
        said[type(message).__name__] += 1
        early += [f"{type(message).__name__} of {mark!r}" for mark in need if not any(mark in page for page in pages)]
    return said, early


def of_sink(path: Path) -> Found:
    """Completions and Rows only when their lines are on the disk."""
    trace = calls(path)
    on_disk = synced(trace, "results.db-wal")
    said: Counter[str] = Counter()
    early: list[str] = []
    for place, _, frames in streams(trace, "sendto"):
        pages = [data for at, data in on_disk if at < place]
        message = decode(ToVentilator | SinkToClient, frames)
        if isinstance(message, Completions):
            need = {line.chain for line in message.records}
        elif isinstance(message, Rows) and message.records:
            need = marks(frames[-1])
        else:
            continue
        said[type(message).__name__] += 1
        early += [f"{type(message).__name__} of {one!r}" for one in need if not any(one in page for page in pages)]
    return said, early


def test_nothing_is_said_before_it_is_on_the_disk(run: Run) -> None:
    """No Accepted, Jobs, Closed, Completions or Rows leaves before the fdatasync of the commit that it tells of."""
    ventilator, sink = run(True)
    for (said, early), kinds in ((of_ventilator(ventilator), {"Accepted", "Jobs", "Closed"}),
                                 (of_sink(sink), {"Completions", "Rows"})):  # fmt: skip
        print(said)
        assert early == []
        assert all(said[kind] >= len(MARKS) // 2 for kind in kinds), said
    assert of_ventilator(ventilator)[0]["Accepted"] == len(MARKS)


def test_without_syncs_it_is_seen(run: Run) -> None:
    """The control: stations that are not durable say everything too early."""
    ventilator, sink = run(False)
    for said, early in (of_ventilator(ventilator), of_sink(sink)):
        assert len(early) >= sum(said.values()) // 2
