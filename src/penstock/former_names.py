"""Modules of penstock under the names that release 0.2 had for them: pickles that it wrote name these.

Stores live longer than a release: a queue.db or results.db of 0.2 has functions and values that refer to
``penstock.payload`` or ``penstock.bundle``. Each of those names stands for the module of today, which is imported when
something of it is asked for. Whatever moves from here on, and can be in a pickle, is added.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

MOVED = {
    "penstock.arrays": "penstock.adapters.mapped_arrays",
    "penstock.bundle": "penstock.job.bundle",
    "penstock.byvalue": "penstock.job.pickle_by_value",
    "penstock.client.jobs": "penstock.client.batch_jobs",
    "penstock.command": "penstock.job.command",
    "penstock.current": "penstock.job.current_job",
    "penstock.finished": "penstock.adapters.finished_queue",
    "penstock.joblibjobs": "penstock.adapters.joblib_jobs",
    "penstock.jobqueues": "penstock.adapters.queues",
    "penstock.limited": "penstock.job.run_limit",
    "penstock.named": "penstock.job.main_pickling",
    "penstock.outcome": "penstock.client.records",
    "penstock.payload": "penstock.job.payload",
    "penstock.pool": "penstock.adapters.pool",
    "penstock.prepared": "penstock.job.wrappers",
    "penstock.raised": "penstock.job.exception_pickling",
    "penstock.script": "penstock.job.main_module",
    "penstock.shipped": "penstock.job.shipped_modules",
}


def today(module: str) -> str:
    """What a module is called now."""
    return MOVED.get(module, module)


class _Moved(ModuleType):
    """Stands under a former name. It has nothing of its own, so that whoever looks for modules passes it by."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module(MOVED[self.__name__]), name)


def admit() -> None:
    """Let pickles of release 0.2 find what they name."""
    for name in MOVED:
        sys.modules.setdefault(name, _Moved(name))
