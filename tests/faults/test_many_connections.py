"""More connect to a station than its open files allow: it serves those that it has, and says what it cannot."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from penstock import Pipeline
from penstock.errors import PenstockError
from penstock.exit_codes import WRONG_USE
from penstock.url import endpoints
from support.stations import LIMIT, Stations, until

FILES = 180
"""Twenty connections at each of the ventilator's four sockets."""
MANY = 200


class Limited(Stations):
    """Their ventilator may open `files` files, whatever it asks for."""

    files = FILES

    def argv(self, name: str, slots: int, url: str, settings: dict[str, object]) -> list[str]:
        argv = super().argv(name, slots, url, settings)
        return ["prlimit", f"--nofile={self.files}:{self.files}", *argv] if name == "ventilator" else argv


@contextlib.contextmanager
def crowd(endpoint: str) -> Iterator[None]:
    """So many connect at once, and come back when they are turned away."""
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 2 * MANY)
    sockets = [context.socket(zmq.DEALER) for _ in range(MANY)]
    try:
        for socket in sockets:
            socket.connect(endpoint)
        yield
    finally:
        context.destroy(0)


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
def test_those_beyond_the_open_files_are_turned_away(folder: Path, url: str, scheme: str) -> None:
    """Whoever is in stays and is served; the log and `doctor` say that it is full and why, who is turned away is told
    something true, and gets in when there is room."""
    stations = Limited(folder, url if scheme == "tcp" else f"ipc://{folder}/sockets")
    with contextlib.closing(stations):
        stations.start("ventilator", "sink", "w1")
        with Pipeline(stations.url) as pipeline:
            assert pipeline.submit(abs, -1).result(LIMIT) == 1
            with crowd(endpoints(stations.url).desk):
                log = until(lambda: [line for line in turned_away(stations) if line.endswith(" count=128")])
                assert "socket=desk most=20 " in log[0]
                assert f"may open {FILES} files (ulimit -Hn; LimitNOFILE= in systemd)" in log[0]
                assert pipeline.submit(abs, -2).result(LIMIT) == 2
                (growth,) = pipeline.status().growth
                assert " of at most 20 connections at desk (" in growth
                until(lambda: "as many connections as it may" in refusal(stations.url))
            until(lambda: not pipeline.status().growth)
        with Pipeline(stations.url) as pipeline:
            assert pipeline.submit(abs, -3).result(LIMIT) == 3


def refusal(url: str) -> str:
    """What one more client is told: on a busy machine only that nobody answers, until it is hung up on."""
    with pytest.raises(PenstockError) as refused, Pipeline(url) as other:
        other.status()
    return str(refused.value)


def turned_away(stations: Stations) -> list[str]:
    """What the ventilator's log says of them."""
    return [line for line in stations.log("ventilator").read_text().splitlines() if " too_many_connections: " in line]


def test_a_station_that_has_too_few_files_for_anybody_does_not_start(folder: Path, url: str) -> None:
    """It says what it needs."""
    stations = Limited(folder, url)
    stations.files = 110
    done = subprocess.run(
        stations.argv("ventilator", 1, url, {}), capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert "may open 110 files here, and this station needs 116 at least: raise `ulimit -Hn`" in done.stderr
    assert done.returncode == WRONG_USE
