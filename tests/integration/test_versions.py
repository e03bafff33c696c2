"""Two versions meet, of Python or of penstock: it is said before the first job fails."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from conftest import Cli
from penstock import Pipeline, errors
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
    """By the ventilator when it joins, in the list of workers, and to whoever submits code; its jobs run."""
    (folder / "sitecustomize.py").write_text("import penstock.version\npenstock.version.VERSION = '99.1.0'\n")
    stations.start("ventilator", "sink")
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        stations.start("w1")
    with caplog.at_level(logging.WARNING), Pipeline(stations.url) as pipeline:
        (worker,) = until(pipeline.workers)
        assert worker.version == "99.1.0"
        assert pipeline.submit(lambda: 1).result(LIMIT) == 1
    assert "worker w1 has penstock 99.1.0 and this is" in caplog.text
    assert b" other_version: " in stations.log("ventilator").read_bytes()
    assert b" 99.1.0 " in cli("workers", "--url", stations.url).stdout


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
