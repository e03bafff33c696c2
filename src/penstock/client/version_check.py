"""Whether the workers can run what this Python sends: code objects are of one minor version. And whether they are of
this penstock."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress

from penstock.client.records import PipelineStatus, WorkerInfo
from penstock.errors import PenstockError
from penstock.job.shipped_modules import PYTHON
from penstock.version import VERSION, minor

LOOK_INTERVAL = 30.0
"""Seconds between two looks at who is connected: workers come and go, and a look is a question to the ventilator."""

log: logging.Logger = logging.getLogger("penstock.client")


class Versions:
    """Warns, once for each version, of workers with another Python or another penstock than this client."""

    def __init__(self, status: Callable[[], PipelineStatus], now: Callable[[], float] = time.monotonic) -> None:
        """`status` tells which workers there are. Raises PenstockError when nobody answers, RuntimeError where none can
        be waited for."""
        self._status = status
        self._now = now
        self._look_at = 0.0
        self._said: set[str] = set()

    def look(self) -> None:
        """Before code is submitted: say which of the workers cannot run it, now and then."""
        if self._now() < self._look_at:
            return
        self._look_at = self._now() + LOOK_INTERVAL
        with suppress(PenstockError, RuntimeError):  # what follows meets it too
            for worker in self._status().workers:
                self._compare(worker)

    def _compare(self, worker: WorkerInfo) -> None:
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
        if worker.version and minor(worker.version) != minor(VERSION) and worker.version not in self._said:
            self._said.add(worker.version)
            log.warning(
                "worker %s has penstock %s and this is %s: install one version everywhere",
                worker.name,
                worker.version,
                VERSION,
            )
