"""What only the ventilator of a pipeline is asked, so that it is answered while the sink is away, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from penstock.client.batch import ALL_JOBS, Batch, cancel_jobs, find_batch, find_batches, pipeline_status_of, status_of
from penstock.client.batch_changes import WHOLE_PIPELINE, pause
from penstock.client.locate import locate
from penstock.client.many_jobs import Many
from penstock.client.records import BatchStatus, PipelineStatus
from penstock.client.session import Session
from penstock.client.single_submits import Streams
from penstock.errors import NoPipeline
from penstock.job.filters import Filter
from penstock.keys.files import KeyFile
from penstock.wire.desk_messages import AskPipeline, DrainWorker


class Desk:
    """Asks through this session; each raises NoPipeline when no ventilator answers."""

    def __init__(self, session: Session, key: KeyFile | None) -> None:
        self._session = session
        self._key = key

    def status(self) -> PipelineStatus:
        """The state of the pipeline now, as Pipeline.status has it."""
        return pipeline_status_of(self._session.ask(AskPipeline), self._session.url)

    def batches(self, limit: int) -> list[BatchStatus]:
        """The newest batches of all names, at most `limit`."""
        return [status_of(line) for line in find_batches(self._session, "", limit)]

    def attach(self, batch: str) -> Batch:
        """A handle on a batch, as Pipeline.attach finds it. Raises NoSuchBatch."""
        return find_batch(self._session, batch)

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


@contextmanager
def ventilator_at(url: str) -> Iterator[Desk]:
    """The ventilator of the pipeline at this URL, asked with the key of the environment. Raises NoPipeline: none
    answers; Refused, ConfigError."""
    url, key = locate(url, None)
    session = Session(url, Streams(), None, key)  # it submits nothing
    try:
        yield Desk(session, key)
    except NoPipeline:
        session.connect(0.0)  # which says who is missing, and why
        raise
    finally:
        session.close()


def ask_status(url: str) -> PipelineStatus:
    """As Pipeline.status, of the pipeline at this URL. Raises what `ventilator_at` raises."""
    with ventilator_at(url) as ventilator:
        return ventilator.status()
