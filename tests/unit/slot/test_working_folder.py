"""The folder in which a slot's jobs begin."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.slot.working_folder import Home


def test_it_is_found_again_wherever_a_job_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after it was given another name."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    home = Home()
    (tmp_path / "here").rename(tmp_path / "there")
    os.chdir("/")
    home.go()
    assert Path.cwd() == tmp_path / "there"


def test_a_folder_that_is_gone_is_left_and_entered_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process that stands in one lives on there."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    home = Home()
    os.chdir("/")
    home.go()
    with pytest.raises(FileNotFoundError):
        Path.cwd()
