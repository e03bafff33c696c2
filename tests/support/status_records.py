"""Records as a pipeline answers with, for tests that need some."""

from __future__ import annotations

from typing import Any

from penstock.client.records import PipelineStatus, WorkerInfo
from penstock.version import VERSION


def worker_info(**changes: Any) -> WorkerInfo:
    """Of an idle worker."""
    usual: dict[str, Any] = {
        "id": "",
        "name": "w",
        "host": "h",
        "pid": 1,
        "slots": 1,
        "jobs": 0,
        "done": 0,
        "draining": False,
    }
    return WorkerInfo(**usual | {"python": "3.11"} | changes)


def pipeline_status(*workers: WorkerInfo, **changes: Any) -> PipelineStatus:
    """Of a pipeline with nothing to do."""
    usual: dict[str, Any] = {
        "url": "",
        "version": VERSION,
        "python": "3",
        "queued": 0,
        "leased": 0,
        "batches": 0,
        "malformed": 0,
    }
    return PipelineStatus(**usual | {"sink_present": True} | changes, workers=workers)
