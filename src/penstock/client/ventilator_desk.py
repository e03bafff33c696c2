"""What onlookers ask: nearly all of it of the ventilator, so that it is answered while the sink is away, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

from penstock.client.batch import ALL_JOBS, Batch, cancel_jobs, find_batch, find_batches, pipeline_status_of, status_of
from penstock.client.batch_changes import WHOLE_PIPELINE, pause
from penstock.client.event_reader import last_event, read_events
from penstock.client.failures import failures_of
from penstock.client.filtered_jobs import FilteredJobs, behind
from penstock.client.locate import locate
from penstock.client.many_jobs import Many
from penstock.client.outage import CONNECT_TIMEOUT
from penstock.client.records import BatchStatus, Event, Failures, JobInfo, PipelineStatus
from penstock.client.session import Session
from penstock.client.single_submits import Streams
from penstock.errors import NoPipeline, ProtocolError
from penstock.job.filters import Filter
from penstock.keys.files import KeyFile
from penstock.wire.desk_messages import AskMetrics, AskPipeline, DrainWorker, Metrics

SINK_TIME = 2.0
"""Seconds that a sink may take for its numbers: its ventilator has just said that it is there."""


class Desk:
    """Asks through this session; each raises NoPipeline when no ventilator answers."""

    def __init__(self, session: Session, key: KeyFile | None) -> None:
        self._session = session
        self._key = key

    @property
    def has_failed(self) -> bool:
        """Whether nothing will be answered any more: it takes another session."""
        return self._session.failure is not None

    def ensure_reached(self) -> None:
        """After a question without an answer: raises NoPipeline, Refused or ConfigError, which say who is missing, and
        why, as far as that is known."""
        self._session.connect(0.0)

    def status(self) -> PipelineStatus:
        """The state of the pipeline now, as Pipeline.status has it."""
        return pipeline_status_of(self._session.ask(AskPipeline), self._session.url)

    def metrics(self) -> tuple[PipelineStatus, Metrics | None, Metrics | None]:
        """The state of the pipeline, and what ventilator and sink have counted; None: it is of an earlier release, or
        away."""
        status = self.status()
        ventilator = _unless_older(lambda: self._session.ask(AskMetrics))
        sink = _unless_older(lambda: self._session.fetch(AskMetrics, SINK_TIME)[0]) if status.sink_present else None
        return status, ventilator, sink

    def batches(self, limit: int) -> list[BatchStatus]:
        """The newest batches of all names, at most `limit`."""
        return [status_of(line) for line in find_batches(self._session, "", limit)]

    def attach(self, batch: str) -> Batch:
        """A handle on a batch, as Pipeline.attach finds it. Raises NoSuchBatch."""
        return find_batch(self._session, batch)

    def jobs(self, where: str, after: str | None, limit: int) -> list[JobInfo]:
        """Those that fit a filter, behind the job with this id, as Pipeline.jobs has them. Raises ConfigError for a
        wrong filter, ValueError for an id that is none."""
        return FilteredJobs(self._session, Filter.parse(where)).page(behind(after), limit)

    def failures(self, batch: str) -> Failures:
        """The failed jobs of the batch with this id, grouped by their error."""
        return failures_of(self._session, bytes.fromhex(batch), CONNECT_TIMEOUT)

    def events(self, before: int | None, limit: int) -> list[Event]:
        """The last of what has happened before the event of this number, or till now: at most `limit` events."""
        last = last_event(self._session) if before is None else before - 1
        return list(islice(read_events(self._session, max(0, last - limit), follow=False), min(last, limit)))

    def cancel(self, batch: Batch, index: int | None) -> None:
        """End all jobs of a batch, even those that run, or the one at `index`."""
        start, stop = (0, ALL_JOBS) if index is None else (index, index + 1)
        cancel_jobs(self._session, bytes.fromhex(batch.id), start, stop, running=True)

    def many(self, kind: type[Many], where: Filter) -> Many:
        """What acts so on all that fits. Raises Refused: the key may not."""
        return kind(self._session, self._key, where)

    def pause(self, *, resumes: bool) -> None:
        """Start no job of any batch, or let all go on. Raises Refused."""
        pause(self._session, WHOLE_PIPELINE, resumes=resumes)

    def drain(self, worker: str) -> None:
        """Let a worker finish and leave, as Pipeline.drain does. Raises NoSuchWorker."""
        self._session.ask(lambda number: DrainWorker(number, worker))


def _unless_older(ask: Callable[[], Metrics]) -> Metrics | None:
    """What it tells, or None: it does not know the question, or the sink has gone this moment."""
    try:
        return ask()
    except (ProtocolError, NoPipeline):
        return None


@contextmanager
def ventilator_at(url: str) -> Iterator[Desk]:
    """The ventilator of the pipeline at this URL, asked with the key of the environment. Raises NoPipeline: none
    answers; Refused, ConfigError."""
    url, key = locate(url, None)
    session = Session(url, Streams(), None, key)  # it submits nothing
    desk = Desk(session, key)
    try:
        yield desk
    except NoPipeline:
        desk.ensure_reached()
        raise
    finally:
        session.close()


def ask_status(url: str) -> PipelineStatus:
    """As Pipeline.status, of the pipeline at this URL. Raises what `ventilator_at` raises."""
    with ventilator_at(url) as ventilator:
        return ventilator.status()
