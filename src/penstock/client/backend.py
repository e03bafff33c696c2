"""What stands behind a Pipeline: this process alone, stations of its own, or those of a running pipeline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.client.callback_thread import ensure_threads
from penstock.client.engine import Engine

if TYPE_CHECKING:
    from penstock.client.inline import Inline
    from penstock.keys.files import KeyFile


def engine_at(
    url: str,
    key: KeyFile | None,
    slots: int | None,
    data: str | os.PathLike[str] | None,
    *,
    pass_output: bool,
    ship: bool,
    grace: float,
) -> Engine | Inline:
    """Of this URL, as Pipeline has the rest. Raises NoPipeline, Refused, ConfigError."""
    if url == "inline":
        from penstock.client.inline import Inline  # noqa: PLC0415 - for tests and debuggers

        return Inline()
    ensure_threads()
    if url != "local":
        return Engine(url, key=key, ship=ship)
    from penstock.client.local_stations import LocalStations  # noqa: PLC0415 - only embedded pipelines start processes

    stations = LocalStations(slots, None if data is None else Path(data), pass_output=pass_output, grace=grace)
    return Engine(stations.url, stations, ship=ship)
