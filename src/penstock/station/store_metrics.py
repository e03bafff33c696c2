"""What a station's process tells of itself in metrics: its store, how long commits take, and what it has refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec.structs import replace

from penstock.station.backups import Backups
from penstock.station.clock import Clock
from penstock.station.counters import COMMIT_BOUNDS, Histogram
from penstock.wire.desk_messages import Metrics, Sample


class StoreMetrics:
    """Of the store at this path, which is known as ``queue`` or ``results``."""

    def __init__(self, path: Path, clock: Clock, backups: Backups) -> None:
        self._path = path
        self._name = path.stem
        self._clock = clock
        self._backups = backups
        self._commits = Histogram(COMMIT_BOUNDS)

    @contextmanager
    def commit(self) -> Iterator[None]:
        """Count how long this takes, if it succeeds."""
        began = self._clock.now()
        yield
        self._commits.observe(self._clock.now() - began)

    def added_to(self, message: Metrics, refused: Mapping[str, int]) -> Metrics:
        """`message` with the numbers of this process: how many things it has `refused`, by reason, and the age of the
        last copy of its store that it made in this life."""
        samples = [*message.samples, *(Sample("refused_total", (why,), float(count)) for why, count in refused.items())]
        with suppress(OSError):
            samples.append(Sample("store_bytes", (self._name,), float(_size(self._path))))
            free = shutil.disk_usage(self._path.parent).free
            samples.append(Sample("store_free_bytes", (self._name,), float(free)))
        if (made_at := self._backups.made_at) is not None:
            samples.append(Sample("backup_age_seconds", (self._name,), self._clock.now() - made_at))
        spreads = (*message.spreads, self._commits.spread("commit_seconds", self._name))
        return replace(message, samples=tuple(samples), spreads=spreads)


def _size(path: Path) -> int:
    """Of the file and of its write-ahead log. Raises OSError."""
    size = os.stat(path).st_size
    with suppress(FileNotFoundError):
        size += os.stat(path.with_name(f"{path.name}-wal")).st_size
    return size
