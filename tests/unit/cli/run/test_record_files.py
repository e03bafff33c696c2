"""Whether records can be written is looked at before anything runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.run.record_files import Recording, check_file, check_folder
from penstock.cli.streams import CannotWrite
from penstock.errors import ConfigError


def listing(folder: Path) -> list[tuple[str, bytes]]:
    return sorted((str(path), path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("check", "name", "reason"),
    [
        (check_file, "file", None),
        (check_file, "new", None),
        (check_file, "folder", "it is a folder"),
        (check_file, "none/new", "there is no folder"),
        (check_file, "file/new", "not a directory"),
        (check_folder, "folder", None),
        (check_folder, "new/and/new", None),
        (check_folder, "file", "is a file"),
        (check_folder, "file/new", "there is no folder"),
    ],
)
def test_looking_makes_nothing_and_changes_nothing(
    tmp_path: Path, check: Callable[[str], None], name: str, reason: str | None
) -> None:
    """What cannot be written is refused with why; what is there stays as it is."""
    (tmp_path / "file").write_bytes(b"kept")
    (tmp_path / "folder").mkdir()
    before = listing(tmp_path)
    if reason is None:
        check(str(tmp_path / name))
    else:
        with pytest.raises(ConfigError, match=reason):
            check(str(tmp_path / name))
    assert listing(tmp_path) == before


class Full:
    """A record on a full disk."""

    failure = ""

    def add(self, _: Any) -> None:
        """It cannot be written."""
        raise OSError(28, os.strerror(28))

    def close(self) -> None:
        """Nothing is open."""


def test_a_disk_that_fills_up_is_said_with_the_file() -> None:
    """Whether it is noticed at the beginning or later."""
    recording = Recording("log", Full)
    recording.begin()
    with pytest.raises(CannotWrite, match="cannot write to log: no space left on device"):
        recording.add(None)  # type: ignore[arg-type]  # it is not looked at
    with pytest.raises(CannotWrite, match="cannot write to log"):
        Recording("log", lambda: full(28)).begin()


def full(number: int) -> Full:
    """Cannot even be opened."""
    raise OSError(number, os.strerror(number))
