"""Which key a station has, and where the list is of those that it lets in."""

from __future__ import annotations

from pathlib import Path

from penstock.keys.files import load
from penstock.keys.roles import Role
from penstock.station.config import StationConfig
from penstock.wire.guard import Security


def for_station(config: StationConfig, role: Role) -> Security:
    """What a station is told. ConfigError: its key file cannot be used. ipc needs no key: its folder is private."""
    if not config.key or config.url.startswith("ipc://"):
        return Security(limits=config.limits, insecure=config.insecure)
    path = Path(config.key).absolute()
    return Security(load(path, role), path if path.is_dir() else path.parent, config.limits)
