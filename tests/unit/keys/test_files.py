"""Key files and key folders: what is written, and what is refused when it is read."""

from __future__ import annotations

import os
import stat
from itertools import count
from pathlib import Path

import msgspec
import pytest

from penstock.errors import ConfigError
from penstock.keys.files import KeyFile, KeyFolder, load, load_peers
from penstock.keys.roles import GIVEN, Role

URL = "tcp://head:5555"
CLIENTS = (Role.ADMIN, Role.SUBMIT, Role.OBSERVE)


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    """A folder of keys that are only numbers."""
    numbers = count()
    folder = KeyFolder(tmp_path / "keys", lambda: (f"{next(numbers):040}", f"{next(numbers):040}"))
    folder.init(URL)
    return folder


def test_a_key_file_is_all_its_holder_needs(keys: KeyFolder) -> None:
    """Role, name, the own secret, both server keys, the URL; the lease key only stations have."""
    key = load(keys.new(Role.SUBMIT, "alice"), *CLIENTS)
    ventilator, sink = load(keys.path, Role.VENTILATOR), load(keys.path, Role.SINK)
    assert (key.role, key.name, key.url) == (Role.SUBMIT, "alice", URL)
    assert (key.ventilator, key.sink) == (ventilator.public, sink.public)
    assert key.secret not in {ventilator.secret, sink.secret}
    assert ventilator.lease_key == sink.lease_key != ""
    assert key.lease_key == ""


def test_a_folder_stands_for_the_file_that_fits(keys: KeyFolder) -> None:
    """For each kind of process."""
    found = [load(keys.path, role).name for role in (Role.VENTILATOR, Role.SINK, Role.WORK)]
    assert found == ["ventilator", "sink", "workers"]
    assert load(keys.path, *CLIENTS).name == "admin"


def test_nobody_else_can_read_a_key(keys: KeyFolder) -> None:
    """0600 in a 0700 folder, also under a lax umask; nothing else is left behind."""
    before = os.umask(0)
    try:
        keys.new(Role.WORK, "gpu")
    finally:
        os.umask(before)
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys.path.iterdir()} == {0o600}
    assert {path.name for path in keys.path.iterdir()} == {
        "ventilator.key",
        "sink.key",
        "admin.key",
        "workers.key",
        "gpu.key",
        "peers.json",
    }


def test_no_secret_is_shown_or_listed(keys: KeyFolder) -> None:
    """Neither in a log line nor in the list that is copied about."""
    key = load(keys.path, Role.WORK)
    assert key.secret not in repr(key)
    assert key.secret not in f"{key}"
    assert key.secret not in (keys.path / "peers.json").read_text()


def loosen(path: Path) -> None:
    path.chmod(0o640)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def shorten(path: Path) -> None:
    path.write_text(path.read_text().replace("0" * 30, "0" * 29, 1))


def extend(path: Path) -> None:
    path.write_text(path.read_text().replace("{", '{"more": 1,', 1))


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "admin.key").symlink_to("/etc/passwd")


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def give_away(path: Path) -> None:
    os.chown(path, 12345, -1)


def open_folder(path: Path) -> None:
    path.parent.chmod(0o777)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    "spoil",
    [
        loosen,
        link,
        empty,
        shorten,
        extend,
        replace_by_folder,
        replace_by_fifo,
        pytest.param(give_away, marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")),
        open_folder,
        remove,
    ],
)
def test_what_is_no_safe_key_file_is_refused(keys: KeyFolder, spoil: object) -> None:
    """One line that names the file; it is never opened half."""
    path = keys.new(Role.SUBMIT, "alice")
    assert callable(spoil)
    spoil(path)
    with pytest.raises(ConfigError) as caught:
        load(path, *CLIENTS)
    assert str(keys.path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("public", "é" * 40),
        ("secret", "0" * 39 + "\n"),
        ("ventilator", "\x1b[2J" * 10),
        ("sink", "0" * 39 + "'"),
        ("name", "a\nb"),
        ("name", "x/y"),
        ("name", ""),
        ("seal", "no hex"),
        ("url", "tcp://head:5555\n#SBATCH --wrap=x"),
        ("url", "tcp://user@head:5555"),
    ],
)
def test_what_no_key_can_have_is_refused(keys: KeyFolder, field: str, value: str) -> None:
    """In one line that a terminal can show: ZeroMQ, logs and printed files never see it."""
    path = keys.new(Role.SUBMIT, "alice")
    path.write_bytes(msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | {field: value}))
    with pytest.raises(ConfigError) as caught:
        load(path, *CLIENTS)
    assert str(caught.value).isprintable()


def test_a_key_of_another_role_is_refused(keys: KeyFolder) -> None:
    """Before anything is connected."""
    with pytest.raises(ConfigError, match="role work"):
        load(keys.path / "workers.key", *CLIENTS)
    with pytest.raises(ConfigError, match="role admin"):
        load(keys.path / "admin.key", Role.VENTILATOR)


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "-x", ".x", "x" * 65, "a\nb", "é", "\x1b[31m"])
def test_names_are_plain_words(keys: KeyFolder, name: str) -> None:
    """They are file names, and the beginning of workers' names."""
    with pytest.raises(ConfigError):
        keys.new(Role.WORK, name)


def test_roles_are_those_that_can_be_given(keys: KeyFolder) -> None:
    """A station's own key is not made a second time, and a name has one role."""
    for role in GIVEN:
        keys.new(role, f"one-{role}")
    for role, name in ((Role.SINK, "x"), (Role.VENTILATOR, "x"), (Role.ADMIN, "workers"), (Role.WORK, "sink")):
        with pytest.raises(ConfigError):
            keys.new(role, name)


def test_init_overwrites_nothing(keys: KeyFolder) -> None:
    """Nor does it take an open folder, or a URL that needs no keys."""
    with pytest.raises(ConfigError, match="already"):
        keys.init(URL)
    other = KeyFolder(keys.path.parent / "open", lambda: ("", ""))
    other.path.mkdir()
    other.path.chmod(0o755)
    with pytest.raises(ConfigError, match="chmod 700"):
        other.init(URL)
    with pytest.raises(ConfigError, match="needs no keys"):
        other.init("ipc:///tmp/x")


def test_rotation_has_both_keys_for_a_while(keys: KeyFolder) -> None:
    """A second key of a name is let in beside the first; `--old` ends the first alone."""
    old = load(keys.new(Role.SUBMIT, "alice"), *CLIENTS)
    new = load(keys.new(Role.SUBMIT, "alice"), *CLIENTS)
    assert {old.public, new.public} <= set(load_peers(keys.path).allowed)
    assert keys.revoke("alice", old=True) == 1
    peers = load_peers(keys.path)
    assert (old.public in peers.revoked, new.public in peers.allowed) == (True, True)


def test_a_revoked_key_stays_on_the_list(keys: KeyFolder) -> None:
    """So it is told apart from an unknown one, for ever, also when its name is given again."""
    old = load(keys.new(Role.SUBMIT, "alice"), *CLIENTS)
    assert keys.revoke("alice") == 1
    assert not (keys.path / "alice.key").exists()
    again = load(keys.new(Role.OBSERVE, "bob"), *CLIENTS)
    peers = load_peers(keys.path)
    assert old.public in peers.revoked
    assert peers.allowed[again.public].role is Role.OBSERVE
    for name in ("alice", "nobody", "ventilator", "sink"):
        with pytest.raises(ConfigError):
            keys.revoke(name)


def test_a_full_list_takes_no_more_and_all_of_it_can_be_revoked(
    keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Automation that makes a key for each job: what is on the list can always be read, and nobody is let in who was
    revoked."""
    monkeypatch.setattr("penstock.keys.files.LIST_BYTES", 4000)
    monkeypatch.setattr("penstock.keys.files.FILE_BYTES", 8000)
    made = 0
    with pytest.raises(ConfigError, match="is full"):  # noqa: PT012
        while made < 100:
            keys.new(Role.SUBMIT, f"key-{made}")
            made += 1
    for number in range(made):
        assert keys.revoke(f"key-{number}") == 1
    assert len(load_peers(keys.path).revoked) == made > 10


def test_a_list_that_others_can_write_is_no_list(keys: KeyFolder) -> None:
    """Whoever writes it decides who gets in."""
    (keys.path / "peers.json").chmod(0o622)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_peers(keys.path)


def test_a_key_file_says_which_pipeline(keys: KeyFolder) -> None:
    """What it is asked for and is not a station's, it does not have."""
    key = load(keys.path, Role.WORK)
    assert isinstance(key, KeyFile)
    assert key.server(Role.VENTILATOR) == load(keys.path, Role.VENTILATOR).public
    assert key.server(Role.SINK) == load(keys.path, Role.SINK).public
