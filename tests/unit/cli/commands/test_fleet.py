"""`penstock fleet`: which hosts, which key, and what is said of an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.cli import main
from penstock.cli.commands import fleet
from penstock.cli.commands.keys import work_key_file
from penstock.errors import ConfigError
from penstock.fleet.ssh import Answer, Host
from penstock.keys.files import KeyFolder, load
from penstock.keys.roles import Role
from penstock.wire.guard import new_pair


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFolder:
    """A key folder, which the environment names."""
    folder = KeyFolder(tmp_path / "keys", new_pair)
    folder.init("tcp://head:7555")
    monkeypatch.setenv("PENSTOCK_KEY", str(folder.path))
    return folder


def test_hosts_are_a_file_or_names(tmp_path: Path) -> None:
    """A path that is not there is no host's name."""
    path = tmp_path / "hosts"
    path.write_text("a\n")
    assert fleet._listed(str(path)) == ("a\n", str(path))
    assert fleet._listed("a,b") == ("a\nb", "HOSTS")
    with pytest.raises(ConfigError, match="there is no file"):
        fleet._listed("./hosts")


def test_a_pipeline_of_this_machine_has_no_fleet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is asked; the line says how to make it reachable."""
    monkeypatch.delenv("PENSTOCK_KEY", raising=False)
    assert main(["fleet", "start", "a", "--url", "tcp://127.0.0.1:5555", "--ssh", "false"]) == 2
    assert "penstock keys init" in capsys.readouterr().err


def test_the_key_for_workers_is_reused_or_made(keys: KeyFolder) -> None:
    """One for all hosts; after it was revoked a new one is made, and that lets in who comes with it."""
    first = work_key_file().read_text()
    assert first == (keys.path / "workers.key").read_text() == work_key_file().read_text()
    keys.revoke("workers")
    assert work_key_file().read_text() != first
    made = load(keys.path / "workers.key", Role.WORK)
    assert [one.revoked_time for one in keys.entries() if one.public == made.public] == [None]


def test_a_key_of_another_role_is_not_given_away(keys: KeyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's host would have the admin's key."""
    monkeypatch.setenv("PENSTOCK_KEY", str(keys.path / "admin.key"))
    with pytest.raises(ConfigError, match="admin"):
        work_key_file()


def test_each_host_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """What comes from there cannot move the cursor; one failure is the exit code."""
    well = Answer(Host(name="a"), {"stopped": 7, "undelivered": False, "last": "x stopped: down"})
    late = Answer(Host(name="d"), {"stopped": 7, "undelivered": True, "last": "x stopped: down"})
    none = Answer(Host(name="b"), {"stopped": 0, "last": ""})
    bad = Answer(Host(name="c"), {}, "no route\x1b[2J")
    assert fleet._report(iter([well, none]), fleet._stopped) == 0
    assert fleet._report(iter([well, bad, late]), fleet._stopped) == 1
    assert capsys.readouterr().out.splitlines() == [
        "a: stopped",
        "b: no worker runs",
        "a: stopped",
        "c: no route\\x1b[2J",
        "d: stopped, with outcomes that no sink has taken: these jobs run again",
    ]
