"""Where the user of this process has folders (XDG base directories), or what to set where there are none: in containers
many a user has neither a home nor an entry in the list of users."""

from __future__ import annotations

import os
from pathlib import Path

from penstock.errors import ConfigError


def config() -> Path:
    """For settings and keys. Raises ConfigError."""
    return _folder("XDG_CONFIG_HOME", ".config")


def state() -> Path:
    """For stores, sockets and logs. Raises ConfigError."""
    return _folder("XDG_STATE_HOME", ".local/state")


def _folder(variable: str, usual: str) -> Path:
    if said := os.environ.get(variable):
        return Path(said)
    try:
        return Path.home() / usual
    except RuntimeError:
        who = f"the user with number {os.geteuid()}" if hasattr(os, "geteuid") else "this user"
        raise ConfigError(f"{who} has no home folder: set HOME, or {variable}, to a folder of its own") from None
