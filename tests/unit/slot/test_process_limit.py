"""Control groups around slots: made and removed, or done without."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.slot import process_limit


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of the kernel's."""
    monkeypatch.setattr(process_limit, "_bases", lambda: [tmp_path / "missing", tmp_path])
    return tmp_path


def test_a_fence_has_a_limit_and_takes_this_process(base: Path) -> None:
    """In the first place where one can be made."""
    made = process_limit.make_process_limit(3, 7, 1000)
    assert made == base / f"penstock-{os.getpid()}-3-7"
    assert (made / "pids.max").read_text() == str(1000 + process_limit.ROOM)
    process_limit.enter_process_limit(made)
    assert (made / "cgroup.procs").read_text() == str(os.getpid())


def test_without_the_right_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And nothing is left of the attempt."""
    monkeypatch.setattr(process_limit, "_bases", lambda: [tmp_path / "missing"])
    assert process_limit.make_process_limit(0, 1, 10) is None
    process_limit.enter_process_limit(tmp_path / "missing")


def test_what_killed_fork_servers_left_is_removed(base: Path) -> None:
    """By the next one; those of the living stay, and so does what is not ours."""
    for name in (f"penstock-{os.getpid()}-0-1", "penstock-999999999-0-1", "others"):
        (base / name).mkdir()
    process_limit.remove_abandoned()
    assert sorted(path.name for path in base.iterdir()) == ["others", f"penstock-{os.getpid()}-0-1"]
