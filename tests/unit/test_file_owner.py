"""Whose a file is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.file_owner import stranger

NOBODY = 4_000_000_000


def test_what_is_ones_own_or_missing_is_no_strangers(tmp_path: Path) -> None:
    """A link counts with what it leads to."""
    (tmp_path / "link").symlink_to(tmp_path)
    assert [stranger(tmp_path / name) for name in ("", "missing", "link")] == [""] * 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_is_whoever_has_the_link_or_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either could lead elsewhere tomorrow. Root's is trusted only by who says so."""
    theirs, link, back = tmp_path / "theirs", tmp_path / "link", tmp_path / "back"
    theirs.touch()
    os.chown(theirs, NOBODY, -1)
    link.symlink_to(theirs)
    back.symlink_to(tmp_path)
    os.lchown(back, NOBODY, -1)
    assert [stranger(path) for path in (theirs, link, back)] == [str(NOBODY)] * 3
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    assert [stranger(tmp_path), stranger(tmp_path, trusts_root=True)] == ["root", ""]
