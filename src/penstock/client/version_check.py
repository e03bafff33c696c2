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
from penstock.version import VERSION, advice, is_older, minor

LOOK_INTERVAL = 30.0
"""Seconds between two looks at who is connected: workers come and go, and a look is a question to the ventilator."""

TELLS = "0.3"
"""From this release on a ventilator tells clients of other versions by itself."""

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
            status = self._status()
            for worker in status.workers:
                self._compare(worker)
            if is_older(status.version, TELLS):
                self._say(status.version, f"the ventilator at {status.url}", "the ventilator")

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
        if worker.version:
            self._say(worker.version, f"worker {worker.name} on {worker.host}", "that worker")

    def _say(self, version: str, who: str, what: str) -> None:
        text = advice(version, VERSION, what, "this client")
        if text and (said := f"{what} {version}") not in self._said:
            self._said.add(said)
            log.warning("%s has penstock %s and this is %s: %s", who, version, VERSION, text)
