"""Stations that a service manager has started, which wants to hear of them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import Cli
from penstock import Pipeline
from support.stations import LIMIT, Stations, until

WATCHDOG_TIME = 1.0
"""Seconds."""


@pytest.mark.parametrize("name", ["ventilator", "sink", "worker"])
def test_a_station_feeds_its_watchdog_until_it_hangs(
    stations: Stations, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It says that it is up, and goes on saying that its loop turns, busy or not; its jobs are told nothing of that."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(LIMIT)
        with monkeypatch.context() as environment:
            environment.setenv("NOTIFY_SOCKET", str(folder / "notify"))
            environment.setenv("WATCHDOG_USEC", str(int(WATCHDOG_TIME * 1e6)))
            stations.start(name)
        stations.start(*{"ventilator", "sink", "worker"} - {name})
        assert manager.recv(100) == b"READY=1"
        assert [manager.recv(100) for _ in range(4)] == [b"WATCHDOG=1"] * 4
        with Pipeline(stations.url) as pipeline:
            assert pipeline.submit(os.environ.get, "NOTIFY_SOCKET").result(LIMIT) is None
        process = stations.processes[name]
        process.send_signal(signal.SIGSTOP)
        until(lambda: "stopped" in Path(f"/proc/{process.pid}/status").read_text())
        manager.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                manager.recv(100)
        time.sleep(2 * WATCHDOG_TIME)  # in which a manager would have ended it
        with pytest.raises(BlockingIOError):
            manager.recv(100)
        process.send_signal(signal.SIGCONT)


def test_a_pod_whose_station_hangs_fails_its_liveness(stations: Stations, folder: Path, cli: Cli) -> None:
    """By the probes of the printed manifest: a worker is alive while it waits for its ventilator, ready when it has
    joined, and not alive when it does not turn; then a shut port would still answer."""
    health = folder / "health"
    manifest = cli("print", "k8s", "--image", "x", "--url", "tcp://head:5555").stdout.decode()
    (deployment,) = yaml.safe_load_all(manifest.replace("/tmp/penstock.health", str(health)))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]

    def passes(probe: str) -> bool:
        words: Any = container[probe]["exec"]["command"]
        return not subprocess.run(words, capture_output=True, check=False).returncode

    assert not passes("startupProbe")
    stations.start("worker", health_file=str(health))
    until(lambda: passes("startupProbe"))
    assert passes("livenessProbe")
    assert not passes("readinessProbe")
    stations.start("ventilator", "sink")
    until(lambda: passes("readinessProbe"))
    process = stations.processes["worker"]
    process.send_signal(signal.SIGSTOP)
    until(lambda: "stopped" in Path(f"/proc/{process.pid}/status").read_text())
    os.utime(health, (time.time() - 61,) * 2)  # as it is a minute later
    assert not passes("livenessProbe")
    process.send_signal(signal.SIGCONT)
    until(lambda: passes("livenessProbe"))
