"""A station of an embedded pipeline, in its own process: it ends with the client, and the last one tidies up.

Each station holds a shared lock in the pipeline's private folder. When the client is gone, however it went, whoever can
have that lock alone is the last and removes the folder.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import select
import sys
from pathlib import Path
from typing import Any

import msgspec

from penstock.config import SinkConfig, VentilatorConfig, WorkerConfig

CONFIGS = {"ventilator": VentilatorConfig, "sink": SinkConfig, "worker": WorkerConfig}


class Order(msgspec.Struct, frozen=True):
    """What the client tells: which station, its configuration, the private folder, the client's sys.path."""

    kind: str
    config: Any
    folder: str
    path: list[str]


def main(order: str) -> int:
    """Run the station until its client is gone; returns the exit code."""
    told = msgspec.json.decode(order, type=Order)
    folder = Path(told.folder)
    living = os.open(folder / "living", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(living, fcntl.LOCK_SH)
    config = msgspec.convert(told.config, CONFIGS[told.kind])
    try:
        return int(importlib.import_module(f"penstock.{told.kind}").main(config))
    finally:
        if config.lifeline is not None and select.select([config.lifeline], [], [], 0)[0]:
            _remove_if_last(folder, living)


def _remove_if_last(folder: Path, living: int) -> None:
    try:
        fcntl.flock(living, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    import shutil  # noqa: PLC0415 - brings much that is not needed before

    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
