"""What of a station's files grows until it is trouble, told while it is none yet."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

LOOK_INTERVAL = 10.0
"""Seconds between two looks: what grows here takes hours."""
LOG_BYTES = 512 << 20
"""Of a write-ahead log: eight times what a checkpoint leaves of it, and a start reads all of it."""
FREE_BYTES = 2 << 30
"""On a disk, under which somebody should know: hours of a busy pipeline."""
UNUSED_BYTES = 1 << 30
"""In a store: less is not worth stopping the stations for."""
GIB = 1 << 30


class Growth:
    """Looks after the store at this path now and then; `unused` tells how many bytes in the file are."""

    def __init__(self, path: Path, unused: Callable[[], int]) -> None:
        self._path = path
        self._unused = unused
        self._looked_at = -LOOK_INTERVAL
        self._seen: tuple[str, ...] = ()

    def look(self, now: float) -> tuple[str, ...]:
        """Lines for people; none: all is as it should be."""
        if now >= self._looked_at + LOOK_INTERVAL:
            self._looked_at, self._seen = (
                now,
                tuple(line for line in (self._log(), self._disk(), self._room_inside()) if line),
            )
        return self._seen

    def _log(self) -> str:
        log = self._path.with_name(f"{self._path.name}-wal")
        try:
            size = os.stat(log).st_size
        except OSError:
            return ""
        held = "it is not written back, maybe since another program has the file open"
        return f"{log} has {size / GIB:.1f} GiB: {held}" if size > LOG_BYTES else ""

    def _disk(self) -> str:
        try:
            free = shutil.disk_usage(self._path.parent).free
        except OSError:
            return ""
        if free >= FREE_BYTES:
            return ""
        return f"the disk of {self._path.parent} has {free / GIB:.1f} GiB left: make room, or delete batches that ended"

    def _room_inside(self) -> str:
        unused = self._unused()
        if unused < UNUSED_BYTES:
            return ""
        what = f"{self._path} has {unused / GIB:.1f} GiB unused inside, which new batches fill"
        return f"{what}; `penstock compact`, while the stations are stopped, gives it back to the disk"
