"""What the sink records in numbers, for `penstock web`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from penstock.job.spec import JobState
from penstock.sink.contract import SaveRow
from penstock.station.counters import JOB_BOUNDS, Counters, Histogram
from penstock.station.store_metrics import StoreMetrics
from penstock.wire.desk_messages import Metrics
from penstock.wire.records import OutcomeHead


class SinkMetrics:
    """Of one life of the sink: final outcomes by state and cause, how long attempts ran that have started, and what is
    to be told of its `store`."""

    def __init__(self, store: StoreMetrics) -> None:
        self._store = store
        self._counters = Counters()
        self._runs = Histogram(JOB_BOUNDS)

    @contextmanager
    def commit(self, saves: Sequence[Any]) -> Iterator[None]:
        """Count what is committed, if it is, and how long that takes."""
        with self._store.commit():
            yield
        for save in saves:
            if isinstance(save, SaveRow):
                self._count(save.head)

    def _count(self, head: OutcomeHead) -> None:
        jobs = head.stop - head.start
        if head.final:
            self._counters.count("outcomes_total", head.state.value, cause_of(head), by=jobs)
        if head.started_time:
            self._runs.observe(head.elapsed / jobs, jobs)

    def told(self, number: int, malformed: int, questions: int, outcomes: int) -> Metrics:
        """As a client is told that asks under this number; the others are how much of each was refused."""
        refused = {"malformed": malformed, "questions": questions, "outcomes": outcomes}
        numbers = Metrics(number, self._counters.samples(), (self._runs.spread("job_run_seconds"),))
        return self._store.added_to(numbers, refused)


def cause_of(head: OutcomeHead) -> str:
    """Why jobs did not succeed, in one word of few; empty: they did, or their state says it already."""
    note = head.note
    match head.state:
        case JobState.FAILED:
            return "exception" if note is None or note.returncode is None else "exit_code"
        case JobState.DEAD:
            return "lost" if note is None or note.exitcode is None else "process_died"
        case _:
            return ""
