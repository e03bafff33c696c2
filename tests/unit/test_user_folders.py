"""Folders of a user who may have none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock import user_folders
from penstock.errors import ConfigError


@pytest.mark.parametrize(
    ("find", "variable", "below"),
    [
        (user_folders.config, "XDG_CONFIG_HOME", ".config"),
        (user_folders.state, "XDG_STATE_HOME", ".local/state"),
    ],
)
def test_the_variable_counts_then_home_and_without_both_it_is_said(
    monkeypatch: pytest.MonkeyPatch, find: Callable[[], Path], variable: str, below: str
) -> None:
    """What to set is in the error: in a container that is all that its user knows."""
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv(variable, "/said")
    assert find() == Path("/said")
    monkeypatch.delenv(variable)
    assert find() == Path("/home/me", below)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ConfigError, match=f"has no home folder: set HOME, or {variable}"):
        find()
