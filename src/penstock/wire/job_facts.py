"""What filters (job/filters.py) ask of batches and jobs, out of the records that say how these stand."""

from __future__ import annotations

from typing import Literal

from penstock.job.filters import BatchFacts, JobFacts
from penstock.job.spec import JobState
from penstock.wire.desk_messages import BatchLine, JobLine
from penstock.wire.records import Note, OutcomeHead

SILENT = Note()


def batch_facts(line: BatchLine) -> BatchFacts:
    """Of a batch."""
    spec = line.spec
    return BatchFacts(
        id=line.batch.hex(),
        name=spec.name,
        owner=spec.owner,
        title=spec.title,
        is_command=spec.kind == "command",
        submitted=line.created_time,
        jobs=line.counts,
        open=line.accepted - sum(line.counts.values()),
    )


def open_state(line: JobLine) -> Literal["queued", "delayed", "running"]:
    """How jobs stand that have not ended, for people."""
    if line.running:
        return "running"
    return "delayed" if line.state is JobState.DELAYED else "queued"


def open_facts(line: JobLine, submitted: float, now: float) -> JobFacts:
    """Of jobs that have not ended; `now` is wall clock, as `submitted` is."""
    waited, ran, started = now - submitted, None, None
    if line.in_slot is not None:
        ran = line.in_slot[1]
        waited, started = waited - ran, now - ran
    return JobFacts(
        state=open_state(line),
        worker=line.worker,
        host=line.host,
        attempts=line.stamp.attempt,
        wait=waited if started is not None or not line.running else None,
        ran=ran,
        started=started,
    )


def ended_facts(head: OutcomeHead, submitted: float) -> JobFacts:
    """Of jobs that have ended alike. Those that were timed together took alike long."""
    note = head.note or SILENT
    began = head.started_time or None
    return JobFacts(
        state=head.state.value,
        worker=head.worker,
        cause=note.cause,
        traceback=note.traceback,
        attempts=head.stamp.attempt,
        wait=None if began is None else began - submitted,
        ran=None if began is None else head.elapsed / (head.stop - head.start),
        started=began,
        ended=None if began is None else began + head.elapsed,
    )
