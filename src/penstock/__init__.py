"""Penstock: Python calls and shell commands on every core of every machine.

::

    client --desk--> ventilator --jobs--> worker, worker, ... --outcomes--> sink --results--> client

A `Pipeline` is a concurrent.futures.Executor, and submits batches and commands too; `Pool` is a multiprocessing.Pool,
and `queues` are two queue.Queues. Errors are in `penstock.errors`. ::

    from penstock import Pipeline

    with Pipeline() as pipeline:  # on this machine, with one slot for each core
        print(pipeline.submit(pow, 2, 10).result())
        print(list(pipeline.map(abs, [-1, -2])))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from penstock import errors
from penstock.former_names import admit

if TYPE_CHECKING:
    from penstock.adapters.pool import Pool
    from penstock.adapters.queues import Job, queues
    from penstock.client import Batch, Pipeline
    from penstock.client.records import (
        BatchStatus,
        CommandResult,
        FailureGroup,
        Failures,
        JobInfo,
        Outcome,
        PipelineStatus,
        WorkerInfo,
    )
    from penstock.job.current_job import current_job

    __version__: str

__all__ = [
    "Batch",
    "BatchStatus",
    "CommandResult",
    "FailureGroup",
    "Failures",
    "Job",
    "JobInfo",
    "Outcome",
    "Pipeline",
    "PipelineStatus",
    "Pool",
    "WorkerInfo",
    "current_job",
    "errors",
    "queues",
]

_HOMES = {
    "__version__": "version:VERSION",
    "Batch": "client",
    "Job": "adapters.queues",
    "Pipeline": "client",
    "Pool": "adapters.pool",
    "current_job": "job.current_job",
    "queues": "adapters.queues",
}


admit()


def __getattr__(name: str) -> Any:
    # the stations import this package too, and need nothing of the client
    if name not in __all__ and name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, _, there = _HOMES.get(name, "client.records").partition(":")
    value = globals()[name] = getattr(import_module(f"penstock.{home}"), there or name)
    return value


def __dir__() -> list[str]:
    # without the modules of this package that have been imported by now
    return [*__all__, "__version__"]
