"""Private folders: whose they are, and when they go."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from pathlib import Path

import pytest

from penstock.job import private_folder


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_its_owners_as_long_as_one_holds_its_lock(where: Path) -> None:
    """The file, or a copy of it that a child has; then it goes."""
    folder, lock = private_folder.make_folder()
    (folder / "data").mkdir()
    copy = os.dup(lock)
    for held in (lock, copy):
        private_folder.remove_abandoned(where)
        assert (folder / "data").is_dir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        os.close(held)
    private_folder.remove_abandoned(where)
    assert not folder.exists()


def test_only_what_was_ours_is_removed(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not another user's, not one that others could have written to, not what a link points to, not what is no such
    folder."""
    abandoned, lock = private_folder.make_folder()
    os.close(lock)
    (where / "penstock-link").symlink_to(abandoned)
    (where / "penstock-file").touch()
    other = where / "other"
    other.mkdir()
    (abandoned / "data").symlink_to(other)
    (other / "kept").touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        private_folder.remove_abandoned(where)
    abandoned.chmod(0o770)
    private_folder.remove_abandoned(where)
    assert abandoned.is_dir()
    abandoned.chmod(0o700)
    private_folder.remove_abandoned(where)
    assert sorted(path.name for path in where.iterdir()) == ["other", "penstock-file", "penstock-link"]
    assert (other / "kept").exists()
    private_folder.remove_abandoned(where / "missing")


def test_one_that_is_being_made_is_left_alone(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it has its lock; if its maker was killed meanwhile it goes later, unless there is something in it."""
    new, full = where / "penstock-new", where / "penstock-full"
    for folder in (new, full):
        folder.mkdir(mode=0o700)
    (new / private_folder.NEW_LOCK).touch()
    (full / "data").touch()
    private_folder.remove_abandoned(where)
    assert (new / private_folder.NEW_LOCK).exists()
    monkeypatch.setattr(private_folder, "UNFINISHED_TIME", -1.0)
    private_folder.remove_abandoned(where)
    assert [path.name for path in where.iterdir()] == ["penstock-full"]


def test_whoever_sees_the_lock_sees_it_locked(where: Path) -> None:
    """Or one that makes it would lose its folder to one that clears up."""
    folder, lock = private_folder.make_folder()
    with (folder / private_folder.LOCK).open("r+") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(lock)
