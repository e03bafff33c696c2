"""Files that are their owner's alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.job.private_file import not_ours, open_private, write_private


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """As somebody may have set it."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def test_a_file_is_its_owners_alone_whatever_the_umask(umask: None, tmp_path: Path) -> None:
    """A new one, and one that was open to others."""
    os.close(open_private(tmp_path / "new", os.O_WRONLY | os.O_EXCL))
    (tmp_path / "old").touch()
    (tmp_path / "old").chmod(0o644)
    write_private(tmp_path / "old", "text")
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert (tmp_path / "old").read_text() == "text"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Who may write into the folder gets no other file opened, or made its owner's alone."""
    (tmp_path / "other").touch(mode=0o644)
    (tmp_path / "link").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic link"):
        open_private(tmp_path / "link", os.O_WRONLY)


def test_whose_a_file_is_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One's own is no matter, nor is one that is not there; a user without a name has a number."""
    path = tmp_path / "a file"
    assert not_ours(path) == ""
    path.touch()
    assert not_ours(path) == ""
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)
    folder = f"'{tmp_path}'" if " " in str(tmp_path) else str(tmp_path)
    owner = path.owner()
    assert not_ours(path) == (
        f"{path} is another user's: it belongs to {owner}, and this process to 4000000000; run it as {owner}, or give"
        f" all of it to 4000000000 (chown -R 4000000000 {folder})"
    )
