"""Penstock: Python calls and shell commands on every core of every machine.

::

    client --desk--> ventilator --jobs--> worker, worker, ... --outcomes--> sink --results--> client

::

    with Pipeline() as p:
        p.submit(pow, 2, 10).result()
        list(p.map(f, xs))
"""

from penstock import errors
from penstock.client import Batch, Pipeline
from penstock.current import current_job
from penstock.outcome import BatchStatus, CommandResult, Outcome, PipelineStatus, WorkerInfo

__all__ = [
    "Batch",
    "BatchStatus",
    "CommandResult",
    "Outcome",
    "Pipeline",
    "PipelineStatus",
    "WorkerInfo",
    "current_job",
    "errors",
]
