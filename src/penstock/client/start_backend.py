"""Starts what stands behind a Pipeline: this process alone, stations of its own, or the way to running ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.client.callback_thread import ensure_threads
from penstock.client.engine import Engine

if TYPE_CHECKING:
    from penstock.client.backend import Backend
    from penstock.keys.files import KeyFile


def start_backend(
    url: str,
    key: KeyFile | None,
    slots: int | None,
    data: str | os.PathLike[str] | None,
    *,
    pass_output: bool,
    ship: bool,
    grace: float,
) -> Backend:
    """What stands behind a Pipeline at this URL, which has the other arguments from its user. Raises NoPipeline,
    Refused, ConfigError."""
    if url == "inline":
        from penstock.client.inline import Inline  # noqa: PLC0415 - for tests and debuggers

        return Inline()
    ensure_threads()
    if url != "local":
        return Engine(url, key=key, ship=ship)
    from penstock.client.local_stations import LocalStations  # noqa: PLC0415 - only embedded pipelines start processes

    stations = LocalStations(slots, None if data is None else Path(data), pass_output=pass_output, grace=grace)
    return Engine(stations.url, stations, ship=ship)
