"""Stations that a service manager has started, which wants to hear of them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path

import pytest

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
