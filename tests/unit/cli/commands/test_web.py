"""Where `penstock web` listens, and who may call it what: penstock.cli.commands.web."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import pytest

import penstock.web
from penstock.cli.commands.web import HERE, Address, AddressType, _hosts, _token, command
from penstock.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8765", Address("127.0.0.1", 8765)),
        ("[::1]:80", Address("::1", 80)),
        ("Head.Example:0", Address("head.example", 0)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: Address) -> None:
    """Names are the same in capitals."""
    assert AddressType().convert(text, None, None) == address


@pytest.mark.parametrize(
    "text", ["", "8765", ":8765", "host:", "host:x", "host:65536", "::1:80", "[::1]", "[]:80", "h:٣"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """With the form that it has to have."""
    with pytest.raises(click.BadParameter):
        AddressType().convert(text, None, None)


def test_loopback_is_known_by_its_names_and_those_that_are_said() -> None:
    """Metrics are for everybody on this machine only while no name is said: others come by it."""
    assert _hosts("127.0.0.1", ()) == (HERE, True)
    assert _hosts("::1", ("Head.Example",)) == (HERE | {"head.example"}, False)


def test_beyond_this_machine_a_warning_is_said_and_a_name_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    """All addresses have no name by which a browser could be told from one that was led astray."""
    assert _hosts("192.0.2.1", ()) == (frozenset({"192.0.2.1"}), False)
    assert "not encrypted" in capsys.readouterr().err
    with pytest.raises(click.UsageError, match="--host NAME"):
        _hosts("0.0.0.0", ())
    assert _hosts("0.0.0.0", ("head",)) == (HERE | {"head"}, False)


@pytest.mark.parametrize("text", ["", "too short", "0123456789abcdef\nand more", "0123456789abcdeé"])
def test_a_token_is_a_line_that_nobody_guesses(text: str, tmp_path: Path) -> None:
    """What is none is refused before anything listens; the line's end is not a part of it."""
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(ConfigError, match="token"):
        _token(file)
    file.write_text("0123456789abcdef\n")
    assert _token(file) == "0123456789abcdef"


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line; all other commands do without."""
    monkeypatch.delitem(sys.modules, "penstock.web.server", raising=False)
    monkeypatch.delattr(penstock.web, "server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ConfigError) as raised:
        command.main(["--url", "tcp://127.0.0.1:5555"], standalone_mode=False)
    assert str(raised.value) == "this needs uvicorn: pip install 'penstock[web]'"
