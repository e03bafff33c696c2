"""A batch as its users hold it: here, in another process, another day."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Generic

from penstock.client.batch_jobs import ENDED, Jobs
from penstock.client.follow import Row
from penstock.client.kept_output import output_of
from penstock.client.readers import ArrivalReader, OrderReader, RowReader
from penstock.client.records import BatchStatus, JobInfo, Outcome, PipelineStatus, T_co, WorkerInfo
from penstock.client.results import error_of, handed_out, outcomes_of
from penstock.client.row_fetch import fetch_rows
from penstock.errors import NoSuchBatch
from penstock.job.spec import ID_BYTES, BatchSpec, JobState
from penstock.wire.messages import (
    DIGEST_BYTES,
    MAX_RECORDS,
    AskBatches,
    AskDigests,
    AskWhy,
    BatchesInfo,
    BatchLine,
    Cancel,
    Delete,
    Digests,
    PipelineInfo,
    Retry,
    TrimOutput,
    Why,
)

if TYPE_CHECKING:
    from penstock.client.live_output import Live
    from penstock.client.session import Session

POLL_INTERVAL = 0.01
"""Seconds until the first look at whether a batch is done; they double."""
POLL_INTERVAL_MAX = 0.5
ALL_JOBS = 2**63 - 1
"""Beyond every index."""


class Batch(Generic[T_co]):
    """A handle on one batch. Its iterators wait for jobs that have not ended, and end with the batch."""

    live: Live | None = None
    """Where it is shown what its jobs write, while it is read."""

    def __init__(self, session: Session, batch: bytes, spec: BatchSpec, total: int | None) -> None:
        self._session = session
        self._batch = batch
        self._spec = spec
        self._total = total
        self._faces = Jobs(session, batch, spec)

    def __repr__(self) -> str:
        return f"<Batch {self.id} {self._spec.name!r}>"

    @property
    def id(self) -> str:
        """Its id, in hexadecimal."""
        return self._batch.hex()

    @property
    def name(self) -> str:
        """The name it was given, or ``""``."""
        return self._spec.name

    def status(self) -> BatchStatus:
        """How it stands. Raises NoSuchBatch: it was deleted; NoPipeline: no answer."""
        line = find_batches(self._session, self.id, 1)
        if not line:
            raise NoSuchBatch(f"no batch {self.id}: it was deleted")
        self._total = line[0].total
        return status_of(line[0])

    def values(self) -> Iterator[T_co]:
        """The values in the order of the jobs; raises at the first job that has none."""
        for row in self._rows(OrderReader):
            if row.head.state is not JobState.SUCCEEDED:
                raise error_of(row, row.start, self._spec)
            yield from handed_out(row, self._spec)

    def outcomes(self) -> Iterator[Outcome[T_co]]:
        """The outcomes in the order of the jobs."""
        for row in self._rows(OrderReader):
            yield from outcomes_of(row, self._spec)

    def follow(self, after: int = 0) -> Iterator[Outcome[T_co]]:
        """The outcomes as they are recorded, behind the position `after` of an earlier one."""
        for row in self._rows(ArrivalReader):
            if row.position + row.jobs > after + 1:
                for outcome in outcomes_of(row, self._spec):
                    if outcome.position > after:
                        yield outcome

    def failures(self) -> Iterator[Outcome[T_co]]:
        """The outcomes of the jobs that did not succeed, as they are recorded."""
        for row in self._rows(ArrivalReader):
            if row.head.state is not JobState.SUCCEEDED:
                yield from outcomes_of(row, self._spec)

    def wait(self, timeout: float | None = None) -> BatchStatus:
        """Wait until every job has an outcome. Raises TimeoutError after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        interval = POLL_INTERVAL
        while not (status := self.status()).done:
            if deadline is not None and time.monotonic() + interval > deadline:
                raise TimeoutError(f"batch {self.id}: {status.finished} of {status.total} jobs ended in {timeout:g} s")
            time.sleep(interval)
            interval = min(2 * interval, POLL_INTERVAL_MAX)
        return status

    def cancel(self, *, running: bool = True) -> int:
        """Cancel all jobs that have not ended; without `running` what runs is let finish and nothing is started any
        more, also not again. Returns how many had not been given to a worker, without `running` how many had not
        started."""
        return cancel_jobs(self._session, self._batch, 0, ALL_JOBS, running=running)

    def retry(self, index: int | None = None) -> int:
        """Open the jobs again that ended without success (failed, dead, timed out, cancelled), or the one at `index`;
        returns how many that were. From then on the batch has not ended, and what it was counts no longer.

        Raises NoLongerKept: their arguments are gone, nothing was opened; NoSuchBatch.
        """
        span = (0, ALL_JOBS) if index is None else (index, index + 1)
        return retry_jobs(self._session, self._batch, *span)

    def delete(self) -> None:
        """Delete it, with all that is recorded of it; what of it is open is cancelled. Returns when it is gone."""
        self._session.ask(lambda number: Delete(number, self._batch), None)

    def attempts(self, index: int) -> list[Outcome[T_co]]:
        """All that is recorded of one job, attempts that were not its last included; empty: nothing is yet."""
        rows = sorted(fetch_rows(self._session, self._batch, index, index + 1), key=lambda row: row.head.stamp)
        return [outcome for row in rows if not row.opens for outcome in outcomes_of(row, self._spec)]

    def output(self, outcome: Outcome[Any], *, stderr: bool = False, start: int = 0) -> Iterator[bytes | int]:
        """What the job of one of its outcomes wrote to stdout, or to stderr, from the byte `start` on: bytes, some at a
        time, and where some were not kept their number. The outcome itself has no more than head and tail of what is
        long."""
        return output_of(self._session, self._batch, self._spec, outcome, is_error=stderr, start=start)

    def trim_output(self, keep: int) -> None:
        """What its jobs wrote was read: no more than about `keep` bytes of each stream need be kept any longer."""
        self._session.say(TrimOutput(self._batch, keep))

    def jobs(self, states: Iterable[str] = (), *, limit: int | None = None, full: bool = False) -> Iterator[JobInfo]:
        """Its jobs in order, each with what it is and how it stands: those that wait and run too; only those in one of
        `states`, at most `limit`. With `full` what they were given is not shortened. Nothing is waited for."""
        return Jobs(self._session, self._batch, self._spec, full=full).between(0, self.status().accepted, states, limit)

    def text(self, index: int) -> str:
        """What one of its jobs is: the command line, or the function and its arguments. Empty: the ventilator is of a
        release that does not say."""
        return self._faces.text(index)

    def job(self, index: int, *, full: bool = False) -> JobInfo:
        """All that is known of one of its jobs. Raises NoSuchBatch: there is no such job."""
        waits: Why = self._session.ask(lambda number: AskWhy(number, self._batch, index))
        status = self.status()
        return Jobs(self._session, self._batch, self._spec, full=full).one(index, status.created, waits.reason)

    def digests(self) -> Iterator[bytes]:
        """What tells its jobs apart by what they are given, in order; none if it was not submitted with digests."""
        start = 0
        while True:
            answer: Digests = self._session.ask(partial(AskDigests, batch=self._batch, start=start), None)
            found = answer.digests
            if not found:
                return
            start += len(found) // DIGEST_BYTES
            for at in range(0, len(found), DIGEST_BYTES):
                yield found[at : at + DIGEST_BYTES]

    def ended(self) -> Iterator[tuple[int, int, JobState]]:
        """What has ended by now, and how: jobs [start, stop) of one final state each, as they were recorded."""
        left = self.status().finished
        rows = self._rows(ArrivalReader) if left else iter(())
        for row in rows:
            yield row.start, row.stop, row.head.state
            left -= row.jobs
            if left <= 0:
                return

    def why(self, index: int) -> str:
        """Why a job does not run, where it does, or what it came to: one line for people.

        Raises NoSuchBatch: there is no such job."""
        answer: Why = self._session.ask(lambda number: AskWhy(number, self._batch, index))
        if answer.reason:
            return answer.reason
        (last,) = Jobs(self._session, self._batch, self._spec).between(index, index + 1)
        if last.state not in ENDED:
            return "it has ended; what it came to is recorded by now or is about to be"
        where = f" at worker {last.worker}" if last.worker else ""
        return f"it has ended: {last.state}{where}{': ' if last.cause else ''}{last.cause}"

    def _rows(self, kind: type[RowReader]) -> Iterator[Row]:
        if self._total is None:
            self.status()
        reader = self._reader(kind)
        reader.refresh = lambda: self._refresh(reader)
        if (live := self.live) is not None:
            reader.live, live.wake = live, reader.wake
        if self._total is not None:
            reader.close_at(self._total)
        try:
            while (row := reader.next_row()) is not None:
                if live is not None:
                    live.settle(row)
                yield row
        finally:
            reader.close()

    def _reader(self, kind: type[RowReader]) -> RowReader:
        return kind(self._session, self._batch)

    def _refresh(self, reader: RowReader) -> None:
        """While a reader waits: is the batch closed by now, is it still there?"""
        if reader.total is None and self.status().total is not None and self._total is not None:
            reader.close_at(self._total)


def find_batches(session: Session, match: str, limit: int) -> tuple[BatchLine, ...]:
    """The newest batches that fit."""
    answer: BatchesInfo = session.ask(lambda number: AskBatches(number, match, limit))
    return answer.batches


def batches_of(session: Session, call: bytes, kind: str) -> list[Batch[Any]]:
    """Handles on all batches of the function or command template with this digest, the newest first; whatever code went
    along with it."""
    lines = find_batches(session, "", MAX_RECORDS)
    some = (line for line in lines if call in {line.function, line.spec.call} and line.spec.kind == kind)
    return [Batch(session, line.batch, line.spec, line.total) for line in some]


def find_batch(session: Session, match: str) -> Batch[Any]:
    """A handle on the batch that fits. Raises NoSuchBatch: none does, or several."""
    lines = find_batches(session, match, 2) if match else ()
    if not lines:
        raise NoSuchBatch(f"no batch {match!r}: `penstock batches` lists them")
    if len(lines) > 1:
        raise NoSuchBatch(f"more than one batch fits {match!r}: give more of the id")
    return Batch(session, lines[0].batch, lines[0].spec, lines[0].total)


def cancel_jobs(session: Session, batch: bytes, start: int, stop: int, *, running: bool) -> int:
    """End these jobs, without `running` only those that have not started; returns how many were cancelled."""
    return int(session.ask(lambda number: Cancel(number, batch, start, stop, not running)).jobs)


def retry_jobs(session: Session, batch: bytes, start: int, stop: int) -> int:
    """Open those of these jobs again that ended without success; returns how many, when the sink has recorded it."""
    asked = os.urandom(ID_BYTES)
    return int(session.ask(lambda number: Retry(number, asked, batch, start, stop), None).jobs)


def status_of(line: BatchLine) -> BatchStatus:
    """The public form."""
    return BatchStatus(
        id=line.batch.hex(),
        name=line.spec.name,
        kind=line.spec.kind,
        title=line.spec.title,
        created=line.created_time,
        total=line.total,
        accepted=line.accepted,
        leased=line.leased,
        running=line.leased if line.running is None else line.running,
        waits=line.waits,
        **{state: line.counts.get(state, 0) for state in ("succeeded", "failed", "timed_out", "cancelled", "dead")},
    )


def pipeline_status_of(info: PipelineInfo, url: str) -> PipelineStatus:
    """The public form."""
    workers = tuple(
        WorkerInfo(
            id=line.id.hex(),
            name=line.name,
            host=line.host,
            pid=line.pid,
            slots=line.slots,
            jobs=line.jobs,
            running=min(line.jobs, line.slots) if line.running is None else line.running,
            done=line.done,
            draining=line.draining,
            python=line.python,
            tags=line.tags,
            version=line.version,
            users=line.users,
            broken=line.broken,
        )
        for line in info.workers
    )
    return PipelineStatus(
        url=url,
        version=info.version,
        python=info.python,
        queued=info.queued,
        leased=info.leased,
        running=info.leased if info.running is None else info.running,
        batches=info.batches,
        sink_present=info.sink_present,
        malformed=info.malformed,
        reopened=info.reopened,
        lost=info.lost,
        workers=workers,
        security=info.security,
        wall_time=info.wall_time,
        trouble=info.trouble,
    )
