"""The names that a station listens at."""

from __future__ import annotations

import logging
import socket

import pytest

from penstock.errors import NoAddress
from penstock.station import own_address
from penstock.station.own_address import is_own_name, note_local_name, wait_for_address
from support.surroundings import Logged, logger_to


@pytest.fixture
def lines() -> list[Logged]:
    """What was logged."""
    return []


@pytest.fixture
def logger(lines: list[Logged]) -> logging.Logger:
    """Keeps it there."""
    return logger_to(lines)


def test_a_name_that_never_has_an_address(monkeypatch: pytest.MonkeyPatch, logger: logging.Logger) -> None:
    """The wait ends, with the name and the reason; addresses and interfaces are not looked up at all."""

    def resolve(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_AGAIN, "temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(own_address, "NAME_TIME", 0.0)
    with pytest.raises(NoAddress, match=r"head has no address here \(temporary failure"):
        wait_for_address("tcp://head:5555", logger)
    for endpoint in ("ipc:///run/p/desk", "tcp://*:5555", "tcp://[::1]:5555", "tcp://192.0.2.7:5555", "tcp://lo:5555"):
        wait_for_address(endpoint, logger)
        note_local_name(endpoint, logger)


@pytest.mark.parametrize(
    ("own", "address", "is_said"),
    [("head", "127.0.1.1", True), ("head", "192.0.2.7", False), ("x", "127.0.1.1", False)],
)
def test_a_local_name_is_told_of(
    monkeypatch: pytest.MonkeyPatch, logger: logging.Logger, lines: list[Logged], own: str, address: str, is_said: bool
) -> None:
    """If it is that of the machine: who listens at localhost wants no others."""
    entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [entry])
    monkeypatch.setattr(socket, "gethostname", lambda: own)
    note_local_name("tcp://head:5555", logger)
    assert [line.event for line in lines] == ["local_name"] * is_said


def test_a_name_is_the_machines_own_with_its_domain_or_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Either way round."""
    monkeypatch.setattr(socket, "gethostname", lambda: "head.example.org")
    assert is_own_name("HEAD")
    assert is_own_name("head.example.org.")
    assert not is_own_name("tail")
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    assert not is_own_name("localhost")
