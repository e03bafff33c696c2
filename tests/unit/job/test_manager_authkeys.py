"""The key of multiprocessing's managers, from a client to its slots."""

from __future__ import annotations

import multiprocessing.managers
import os
from collections.abc import Iterator
from multiprocessing import process
from pathlib import Path

import pytest

from penstock.job import manager_authkeys
from penstock.job.manager_authkeys import Client, Heir


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where keys are put; this process has its own key again afterwards."""
    assert multiprocessing.managers
    key = process.current_process().authkey
    monkeypatch.setattr(manager_authkeys, "ROOT", tmp_path)
    yield tmp_path / f"penstock-{os.geteuid()}"
    process.current_process().authkey = bytes(key)


def test_a_slot_has_the_key_of_its_client(root: Path) -> None:
    """Also one that is changed later; nobody else can read it, and it goes with the client."""
    process.current_process().authkey = b"first"
    client, heir = Client(), Heir()
    client.share_key()
    assert [root.stat().st_mode & 0o777, *(path.stat().st_mode & 0o777 for path in root.iterdir())] == [0o700, 0o600]
    process.current_process().authkey = b"of a slot"
    heir.look(os.urandom(16))
    heir.look(b"")
    assert process.current_process().authkey == b"of a slot"
    heir.look(client.word)
    assert process.current_process().authkey == b"first"
    process.current_process().authkey = b"second"
    client.share_key()
    process.current_process().authkey = b"of a slot"
    heir.look(client.word)
    assert process.current_process().authkey == b"second"
    del client
    assert list(root.iterdir()) == []


def test_what_a_stranger_puts_in_its_place_is_not_read(root: Path, tmp_path: Path) -> None:
    """Neither a link to another file nor a pipe, at which a slot would wait for ever."""
    (tmp_path / "key").write_bytes(b"another")
    root.mkdir()
    link, pipe = os.urandom(16), os.urandom(16)
    (root / link.hex()).symlink_to(tmp_path / "key")
    os.mkfifo(root / pipe.hex(), 0o600)
    process.current_process().authkey = b"of a slot"
    for client in (link, pipe):
        Heir().look(client)
    assert process.current_process().authkey == b"of a slot"


def test_a_folder_that_others_can_enter_gets_no_key(root: Path) -> None:
    """Somebody else may have made it."""
    root.mkdir(mode=0o755)
    client = Client()
    client.share_key()
    assert list(root.iterdir()) == []


def test_what_a_killed_client_left_is_removed_by_the_next(root: Path) -> None:
    """One that lives keeps its own."""
    living = Client()
    living.share_key()
    (root / "dead").write_bytes(b"key")
    (root / "being made").touch()
    client = Client()
    client.share_key()
    assert {path.name for path in root.iterdir()} == {living.word.hex(), client.word.hex(), "being made"}


def test_who_uses_no_managers_shares_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most clients."""
    monkeypatch.setattr(manager_authkeys, "MANAGERS", "no such module")
    client = Client()
    client.share_key()
    assert not root.exists()
