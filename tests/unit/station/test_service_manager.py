"""What a service manager is told: over a socket that this test reads."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.errors import ConfigError
from penstock.station.service_manager import ServiceManager


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    """The manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        yield manager


def all_of(heard: socket.socket) -> list[bytes]:
    words = []
    try:
        while True:
            words.append(heard.recv(100))
    except BlockingIOError:
        return words


def test_it_hears_that_a_station_is_up_and_that_its_loop_turns(heard: socket.socket) -> None:
    """Twice in the time of its watchdog, however often the loop turns; and nobody else is told where it is."""
    environment = {"NOTIFY_SOCKET": heard.getsockname(), "WATCHDOG_USEC": "10000000", "HOME": "/"}
    environment["WATCHDOG_PID"] = str(os.getpid())
    manager = ServiceManager(environment)
    assert (environment, manager.interval) == ({"HOME": "/"}, 5.0)
    manager.say_ready()
    for now in range(100, 116):
        manager.say_alive(float(now), is_ready=True)
    assert all_of(heard) == [b"READY=1", *[b"WATCHDOG=1"] * 4]


def test_a_watchdog_of_another_process_is_not_fed(heard: socket.socket) -> None:
    """It is that of whoever started this one."""
    environment = {"NOTIFY_SOCKET": heard.getsockname(), "WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}
    manager = ServiceManager(environment)
    manager.say_alive(1.0, is_ready=True)
    assert (manager.interval, all_of(heard)) == (None, [])


def test_where_nobody_listens_nothing_happens(tmp_path: Path) -> None:
    """No manager, one that is gone, and a watchdog's time that is no number."""
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "soon"}):
        manager = ServiceManager(environment)
        manager.say_ready()
        manager.say_alive(1.0, is_ready=True)
        assert manager.interval is None


def test_its_probes_find_a_file_that_says_how_the_station_is(tmp_path: Path) -> None:
    """None of a life before; written when the station begins to be ready, or ceases to be, and as long as its loop
    turns."""
    path = tmp_path / "health"
    path.write_text("ready\n")
    manager = ServiceManager({}, str(path))
    assert (path.exists(), manager.interval) == (False, 5.0)
    for now, is_ready, text in [(1.0, False, "waiting\n"), (2.0, True, "ready\n"), (3.0, False, "waiting\n")]:
        manager.say_alive(now, is_ready=is_ready)
        assert path.read_text() == text
    path.write_text("")
    manager.say_alive(7.9, is_ready=False)
    assert path.read_text() == ""
    manager.say_alive(8.0, is_ready=False)
    assert path.read_text() == "waiting\n"


def test_a_file_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    """Later it grows old, which is what its probes look for."""
    with pytest.raises(ConfigError, match=r"--health-file .*: No such file or directory"):
        ServiceManager({}, str(tmp_path / "gone" / "health"))
    manager = ServiceManager({}, str(tmp_path / "health"))
    tmp_path.joinpath("health").mkdir()
    manager.say_alive(1.0, is_ready=True)
