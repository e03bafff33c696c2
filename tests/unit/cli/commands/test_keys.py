"""`penstock keys`, from words to files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock import cli


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands of a test have their keys."""
    monkeypatch.setenv("PENSTOCK_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("PENSTOCK_KEY", "")  # a command sets it, and afterwards it is as it was
    return tmp_path / "keys"


def test_keys_are_made_listed_and_revoked(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """init prints the line that uses them, new the file to hand out, list one line a key."""
    assert cli.main(["keys", "init", "tcp://127.0.0.1:7000"]) == 0
    assert capsys.readouterr().out == f"export PENSTOCK_KEY={keys}\n"
    assert cli.main(["keys", "new", "submit", "alice"]) == 0
    assert capsys.readouterr().out == f"{keys}/alice.key\n"
    assert cli.main(["keys", "revoke", "alice"]) == 0
    assert capsys.readouterr().err == "penstock: 1 key of alice revoked\n"
    assert cli.main(["keys", "list", "--json"]) == 0
    listed = {one["name"]: one for one in map(json.loads, capsys.readouterr().out.splitlines())}
    assert set(listed) == {"ventilator", "sink", "admin", "workers", "alice"}
    assert listed["alice"]["revoked_time"]
    assert "secret" not in listed["alice"]
    assert cli.main(["keys", "list"]) == 0
    assert "submit" in capsys.readouterr().out


def test_where_the_sink_is_elsewhere_its_list_is_spoken_of(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The ventilator tells it, but its copy of the list is as it was."""
    cli.main(["keys", "init", "tcp://head:7000/store"])
    assert cli.main(["keys", "revoke", "workers"]) == 0
    assert "copy peers.json to the sink's host, too" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("new", "submit", "alice"),
        ("list",),
        ("revoke", "alice"),
        ("init", "head:5555"),
        ("init", "ipc:///tmp/x"),
        ("new", "root", "alice"),
    ],
)
def test_wrong_use_is_one_line(keys: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """No keys yet, no URL, no such role: exit code 2."""
    assert cli.main(["keys", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_key_says_where(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --url its own URL is used; nobody answers there."""
    cli.main(["keys", "init", "tcp://127.0.0.1:7000"])
    assert cli.main(["run", "--key", str(keys / "workers.key"), "true", ":::", "a"]) == 2
    assert "role work" in capsys.readouterr().err
