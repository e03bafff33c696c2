"""Whether the workers can run what this Python sends: code objects are of one minor version."""

from __future__ import annotations

import logging

from penstock.outcome import PipelineStatus
from penstock.shipped import PYTHON

LOOK_INTERVAL = 30.0
"""Seconds between two looks at who is connected: workers come and go, and a look is a question to the ventilator."""

log = logging.getLogger("penstock.client")


def minor(python: str) -> str:
    """``3.11`` of ``3.11.7``."""
    return ".".join(python.split(".")[:2])


class Versions:
    """Warns of each other version once."""

    def __init__(self) -> None:
        self._look_at = 0.0
        self._said: set[str] = set()

    def is_due(self, now: float) -> bool:
        """Whether to look now."""
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_INTERVAL
        return True

    def look(self, status: PipelineStatus) -> None:
        """Say which of the workers cannot run functions that travel as code."""
        for worker in status.workers:
            python = minor(worker.python)
            if python != PYTHON and python not in self._said:
                self._said.add(python)
                log.warning(
                    "worker %s has Python %s and this is %s: lambdas and functions of a script fail there; keep them "
                    "off it with needs=, give both the same version, or put the function into a module",
                    worker.name,
                    python,
                    PYTHON,
                )
