"""How far a reader of events has come."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.cli.event_cursor import Cursor
from penstock.errors import ConfigError


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    """By the next process, too; before the first time there is none."""
    path = tmp_path / "new" / "cursor.json"
    assert Cursor(path).load() is None
    Cursor(path).save(7)
    Cursor(path).save(8)
    assert Cursor(path).load() == 8
    assert [file.name for file in path.parent.iterdir()] == ["cursor.json"]


def test_a_file_that_says_nothing_is_no_beginning(tmp_path: Path) -> None:
    """Else everything, or nothing, would be told again."""
    path = tmp_path / "cursor.json"
    path.write_text("{")
    with pytest.raises(ConfigError, match="does not say how far events were read"):
        Cursor(path).load()
