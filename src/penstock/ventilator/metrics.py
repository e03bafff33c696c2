"""What the ventilator's decisions come to in numbers, for `penstock web`."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.station.contract import Answer
from penstock.station.counters import JOB_BOUNDS, Counters, Histogram
from penstock.ventilator.jobs_model import Batch, Part, Place
from penstock.wire.desk_messages import Metrics, Sample


class JobMetrics:
    """Counts jobs that are accepted and given out, and losses of workers. The time of a job that this life has accepted
    begins then; of one that was read from the queue file, with its batch."""

    def __init__(self) -> None:
        self._counters = Counters()
        self._waits = Histogram(JOB_BOUNDS)

    def accepted(self, jobs: int) -> None:
        """So many more jobs are accepted."""
        self._counters.count("jobs_submitted_total", by=jobs)

    def given(self, part: Part, now: float) -> None:
        """It is given to a worker; how long a job has waited is counted at its first attempt."""
        if part.fresh:
            self._waits.observe(max(0.0, now - part.chunk.since), part.jobs)

    def lost(self, cause: str) -> None:
        """One more worker was lost."""
        self._counters.count("worker_losses_total", cause)

    def answer(self, client: bytes, number: int, batches: Iterator[Batch], now: float) -> Answer:
        """To a client that asks, under this number."""
        waiting_since = min((one for batch in batches if (one := _oldest(batch)) is not None), default=now)
        samples = (
            *self._counters.samples(),
            Sample("oldest_waiting_seconds", (), max(0.0, now - waiting_since)),
        )
        return Answer(client, Metrics(number, samples, (self._waits.spread("job_wait_seconds"),)))


def _oldest(batch: Batch) -> float | None:
    """Since when the first of its jobs waits that could be given to a worker; None: none does."""
    for chunk in batch.chunks.values():
        if any(part.place is Place.QUEUED for part in chunk.parts):
            return chunk.since
    return None
