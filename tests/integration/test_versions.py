"""Two versions meet, of Python or of penstock: it is said before the first job fails."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

import pytest

from conftest import Cli
from penstock import Pipeline, errors
from penstock.client import submit_packing
from penstock.version import VERSION
from penstock.wire import frames
from support.stations import LIMIT, Stations, until


def test_a_worker_with_another_python_is_warned_of(
    stations: Stations, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """At the first function that travels as code, before it runs; one that travels by name is no matter."""
    (folder / "sitecustomize.py").write_text("import platform\nplatform.python_version = lambda: '3.99.1'\n")
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        stations.start("ventilator", "sink", "w1")
    with caplog.at_level(logging.WARNING), Pipeline(stations.url) as pipeline:
        until(pipeline.workers)
        assert pipeline.submit(abs, -1).result(LIMIT) == 1
        assert caplog.messages == []
        future = pipeline.submit(lambda: 1)
        assert "worker w1 has Python 3.99 and this is" in caplog.text
        assert future.result(LIMIT) == 1


def test_a_worker_of_another_penstock_is_named(
    stations: Stations, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cli: Cli
) -> None:
    """By the ventilator when it joins, in its own log, in the list of workers, and to whoever submits code; each says
    which side to upgrade. Its jobs run."""
    (folder / "sitecustomize.py").write_text("import penstock.version\npenstock.version.VERSION = '99.1.0'\n")
    stations.start("ventilator", "sink")
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        stations.start("w1")
    with caplog.at_level(logging.WARNING), Pipeline(stations.url) as pipeline:
        (worker,) = until(pipeline.workers)
        assert worker.version == "99.1.0"
        assert pipeline.submit(lambda: 1).result(LIMIT) == 1
    assert "has penstock 99.1.0 and this is" in caplog.text
    assert "upgrade this client to penstock 99.1.0" in caplog.text
    advice = "upgrade the ventilator to penstock 99.1.0"
    for name in ("ventilator", "w1"):
        (line,) = [line for line in stations.log(name).read_text().splitlines() if " other_version: " in line]
        assert advice in line
        assert f"host={worker.host}" in line or name == "w1"
    assert f"{worker.host} has penstock 99.1.0, and the ventilator" in (
        shown := cli("workers", "--url", stations.url).stdout.decode()
    )
    assert advice in shown


def test_stations_of_another_penstock_are_named(
    stations: Stations, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A sink, and a client, as they are of the release before, which do not say their version."""
    (folder / "sitecustomize.py").write_text("import penstock.version\npenstock.version.VERSION = ''\n")
    stations.start("ventilator", "w1")
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        stations.start("sink")
    monkeypatch.setattr(submit_packing, "Program", lambda *_: None)
    with caplog.at_level(logging.WARNING), Pipeline(stations.url) as pipeline:
        assert [pipeline.submit(abs, -n).result(LIMIT) for n in range(3)] == [0, 1, 2]
    (told,) = [message for message in caplog.messages if "penstock" in message]
    assert told.endswith(f"upgrade the client to penstock {VERSION}")
    assert f"upgrade the sink to penstock {VERSION}" in stations.log("sink").read_text()
    logged = stations.log("ventilator").read_text()
    assert f"upgrade the sink to penstock {VERSION}" in logged
    assert re.search(r" other_version: .* client=\S+ batch=", logged)


def test_a_client_of_another_penstock_is_told(stations: Stations, monkeypatch: pytest.MonkeyPatch) -> None:
    """One error that names both versions, for whatever is asked; the pipeline goes on."""
    stations.start("ventilator", "sink", "w1")
    with monkeypatch.context() as patch:
        patch.setattr(frames, "SIGNATURE", b"PNS\x09")
        with Pipeline(stations.url) as pipeline:
            with pytest.raises(errors.VersionMismatch, match="desk of the pipeline: protocol version 1"):
                pipeline.status()
            with pytest.raises(errors.VersionMismatch, match="install one penstock on both sides"):
                pipeline.submit(abs, -1)
    with Pipeline(stations.url) as pipeline:
        assert pipeline.submit(abs, -1).result(LIMIT) == 1
