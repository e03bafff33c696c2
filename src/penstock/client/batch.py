"""A batch as its users hold it: here, in another process, another day."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from penstock.client.batch_changes import BatchChanges
from penstock.client.batch_jobs import ENDED, Jobs
from penstock.client.batch_views import BatchViews
from penstock.client.follow import Row
from penstock.client.kept_output import output_of
from penstock.client.readers import ArrivalReader, OrderReader, RowReader
from penstock.client.records import BatchStatus, JobInfo, Outcome, PipelineStatus, T_co, WorkerInfo
from penstock.client.results import error_of, handed_out, outcomes_of
from penstock.client.row_fetch import fetch_rows
from penstock.errors import JobError, NoSuchBatch
from penstock.job.spec import ID_BYTES, BatchSpec, JobState
from penstock.wire.desk_messages import (
    AskBatches,
    AskDigests,
    AskStack,
    AskWhy,
    BatchesInfo,
    BatchLine,
    Cancel,
    Delete,
    Digests,
    PipelineInfo,
    Retry,
    Stack,
    TrimOutput,
    Why,
    WorkerLine,
)
from penstock.wire.records import DIGEST_BYTES, MAX_RECORDS

if TYPE_CHECKING:
    from penstock.client.live_output import Live
    from penstock.client.session import Session

R = TypeVar("R", bound=msgspec.Struct)

POLL_INTERVAL = 0.01
"""Seconds until the first look at whether a batch is done; they double."""
POLL_INTERVAL_MAX = 0.5
ALL_JOBS = 2**63 - 1
"""Beyond every index."""


class Batch(BatchChanges, BatchViews[T_co]):
    """A handle on one batch, which `Pipeline.batch` and `Pipeline.attach` return. Any number of programs may hold one.

    `values`, `outcomes`, `follow` and `failures` return iterators that wait for jobs that have not ended, and end with
    the batch; iterating over a batch is `values`, and `len` is how many jobs it has. All methods raise NoPipeline when
    the pipeline does not answer, and NoSuchBatch when the batch was deleted.
    """

    live: Live | None = None
    """Shows what the jobs write while the batch is read; for the command line."""
    opens_pickles: bool | None = None
    """Whether outcomes have values and exceptions as they were, which runs code that came with them; None: they have,
    with a warning where somebody else submitted the batch. For the command line, which opens none unless it is asked
    to: what is no plain value is an job.display.Unopened then, and a job's own exception a RemoteError."""

    def __init__(self, session: Session, batch: bytes, spec: BatchSpec, total: int | None) -> None:
        """Programs call `Pipeline.batch` or `Pipeline.attach` instead. `session`: the connection. `batch`: the id.
        `spec`: its options. `total`: how many jobs it has; None while it takes in more."""
        self._session = session
        self._batch = batch
        self._spec = spec
        self._total = total
        self._faces = Jobs(session, batch, spec)

    def __repr__(self) -> str:
        return f"<Batch {self.id} {self._spec.name!r}>"

    @property
    def id(self) -> str:
        """The id of the batch, 32 hexadecimal digits."""
        return self._batch.hex()

    @property
    def name(self) -> str:
        """The name that it was given; empty without one."""
        return self._spec.name

    def status(self) -> BatchStatus:
        """The state of the batch now: how many jobs wait, run and have ended. Raises NoSuchBatch, NoPipeline."""
        line = find_batches(self._session, self.id, 1)
        if not line:
            raise NoSuchBatch(f"no batch {self.id}: it was deleted")
        self._total = line[0].total
        return status_of(line[0])

    def values(self) -> Iterator[T_co]:
        """An iterator over the values in the order of the jobs; at the first job that has none it raises that job's
        error. As the outcomes below they are unpickled, which runs code of whoever submitted and ran the jobs: of a
        batch that was submitted with another key than yours a UserWarning says so."""
        for row in self._rows(OrderReader):
            self._warn(row)
            if row.head.state is not JobState.SUCCEEDED:
                raise error_of(row, row.start, self._spec)
            yield from handed_out(row, self._spec)

    def outcomes(self) -> Iterator[Outcome[T_co]]:
        """An iterator over the outcomes, whatever they are, in the order of the jobs."""
        for row in self._rows(OrderReader):
            self._warn(row)
            yield from self._outcomes_of(row)

    def follow(self, after: int = 0) -> Iterator[Outcome[T_co]]:
        """An iterator over the outcomes in the order in which they are recorded; `after`: the position of an outcome,
        to go on behind it (0: from the first one). Example::

            for outcome in batch.follow():
                print(outcome.index, outcome.state, outcome.value)
        """
        for row in self._rows(ArrivalReader):
            if row.position + row.jobs > after + 1:
                self._warn(row)
                for outcome in self._outcomes_of(row):
                    if outcome.position > after:
                        yield outcome

    def failures(self) -> Iterator[Outcome[T_co]]:
        """An iterator over the outcomes of the jobs that did not succeed, in the order in which they are recorded."""
        for row in self._rows(ArrivalReader):
            if row.head.state is not JobState.SUCCEEDED:
                self._warn(row)
                yield from self._outcomes_of(row)

    def wait(self, timeout: float | None = None) -> BatchStatus:
        """Wait until every job has an outcome, and return the status then. Raises TimeoutError after `timeout` seconds
        (None: it waits without end)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        interval = POLL_INTERVAL
        while not (status := self.status()).done:
            if deadline is not None and time.monotonic() + interval > deadline:
                raise TimeoutError(f"batch {self.id}: {status.finished} of {status.total} jobs ended in {timeout:g} s")
            time.sleep(interval)
            interval = min(2 * interval, POLL_INTERVAL_MAX)
        return status

    def cancel(self, *, running: bool = True) -> int:
        """Cancel all jobs that have not ended. `running`: end those that run, too; False: they finish, no other job
        starts, and none is tried again.

        Returns how many jobs had not been given to a worker; with ``running=False`` how many had not started.
        """
        return cancel_jobs(self._session, self._batch, 0, ALL_JOBS, running=running)

    def retry(self, index: int | None = None) -> int:
        """Run the jobs again that ended without success (failed, dead, timed out or cancelled), or only the one at
        `index`, counted from 0. Their earlier outcomes count no longer, and the batch has not ended then.

        Returns how many jobs wait to run again. Raises NoLongerKept when their arguments are not kept any more (then
        none does), and NoSuchBatch.
        """
        asked = os.urandom(ID_BYTES)
        start, stop = (0, ALL_JOBS) if index is None else (index, index + 1)
        return int(self._session.ask(lambda number: Retry(number, asked, self._batch, start, stop), None).jobs)

    def delete(self) -> None:
        """Delete the batch with all its outcomes, and cancel its jobs that have not ended. Returns when it is gone."""
        self._session.ask(lambda number: Delete(number, self._batch), None)

    def attempts(self, index: int) -> list[Outcome[T_co]]:
        """All recorded outcomes of one job, also of attempts that were not its last; `index` counts from 0. The list is
        empty before the first attempt has ended."""
        rows = sorted(fetch_rows(self._session, self._batch, index, index + 1), key=lambda row: row.head.stamp)
        for row in rows:
            self._warn(row)
        return [outcome for row in rows if not row.opens for outcome in self._outcomes_of(row)]

    def output(self, outcome: Outcome[Any], *, stderr: bool = False, start: int = 0) -> Iterator[bytes | int]:
        """What a job wrote to its stdout; the outcome itself has only head and tail of a long output.

        - `outcome`: that of the job, from this batch.
        - `stderr`: what it wrote to its stderr instead.
        - `start`: the first byte that is wanted, counted from 0.

        Returns an iterator over the bytes, some at a time, and over numbers: so many bytes were not kept there.
        """
        return output_of(self._session, self._batch, self._spec, outcome, is_error=stderr, start=start)

    def trim_output(self, keep: int) -> None:
        """Say that the output of the jobs was read: no more than about `keep` bytes of each job's stdout, and of its
        stderr, need to be kept any longer."""
        self._session.say(TrimOutput(self._batch, keep))

    def jobs(self, states: Iterable[str] = (), *, limit: int | None = None, full: bool = False) -> Iterator[JobInfo]:
        """The jobs as they are now, also those that wait or run.

        - `states`: names of states, such as ``"running"``; only jobs in one of them (default: in any).
        - `limit`: at most so many jobs (None: all).
        - `full`: do not shorten their texts, which tell the arguments.

        Returns an iterator in the order of the jobs, which waits for no job.
        """
        return Jobs(self._session, self._batch, self._spec, full=full).between(0, self.status().accepted, states, limit)

    def text(self, index: int) -> str:
        """What the job at `index`, counted from 0, does: its command line, or its function and arguments. It is empty
        where the ventilator is of a release that does not say."""
        return self._faces.text(index)

    def job(self, index: int, *, full: bool = False) -> JobInfo:
        """All that is known of the job at `index`, counted from 0; `full`: do not shorten the text that tells its
        arguments. Raises NoSuchBatch when there is no such job."""
        waits: Why = self._session.ask(lambda number: AskWhy(number, self._batch, index))
        status = self.status()
        return Jobs(self._session, self._batch, self._spec, full=full).one(index, status.created, waits.reason)

    def digests(self) -> Iterator[bytes]:
        """An iterator over the 16 bytes for each job that `digest` of `Pipeline.batch` made, in the order of the jobs;
        empty if the batch was submitted without it."""
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
        """An iterator over what has ended by now, in the order in which it was recorded: ``(start, stop, state)``, for
        the jobs from `start` to before `stop`."""
        left = self.status().finished
        rows = self._rows(ArrivalReader) if left else iter(())
        for row in rows:
            yield row.start, row.stop, row.head.state
            left -= row.jobs
            if left <= 0:
                return

    def why(self, index: int) -> str:
        """One line for people about the job at `index`, counted from 0: why it does not run, where it runs, or how it
        ended. Raises NoSuchBatch when there is no such job."""
        answer: Why = self._session.ask(lambda number: AskWhy(number, self._batch, index))
        if answer.reason:
            return answer.reason
        (last,) = Jobs(self._session, self._batch, self._spec).between(index, index + 1)
        if last.state not in ENDED:
            return "it has ended; its outcome is recorded, or is about to be"
        where = f" at worker {last.worker}" if last.worker else ""
        return f"it has ended: {last.state}{where}{': ' if last.cause else ''}{last.cause}"

    def stack(self, index: int) -> str:
        """Where the running job at `index`, counted from 0, is: returns the stacks of its threads as text, each with
        the most recent call first, and below them its processes. The job is not stopped. Raises NoSuchBatch when there
        is no such batch, and JobError when the job does not run."""
        answer: Stack = self._session.ask(lambda number: AskStack(number, self._batch, index))
        if answer.reason:
            raise JobError(f"{self.id}:{index} has no stack: {answer.reason}")
        return answer.text

    def _outcomes_of(self, row: Row) -> Iterator[Outcome[T_co]]:
        return outcomes_of(row, self._spec, is_opened=self.opens_pickles is not False)

    def _warn(self, row: Row) -> None:
        """Whoever is about to be given values of somebody else is told, once, whose code runs then."""
        spec = self._spec
        if self.opens_pickles is not None or not len(row.body):
            return
        if spec.kind == "command" or spec.serializer != "pickle":
            return
        self.opens_pickles = True
        if spec.owner and spec.owner != self._session.key_name:
            warnings.warn(
                f"batch {self.id} was submitted with the key {spec.owner!r}: its values are unpickled here, which runs "
                "code of whoever holds that key, or ran its jobs",
                stacklevel=3,
            )

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
        """While a reader waits, ask whether the batch takes in no more jobs, and whether it is still there."""
        if reader.total is None and self.status().total is not None and self._total is not None:
            reader.close_at(self._total)


def find_batches(session: Session, match: str, limit: int) -> tuple[BatchLine, ...]:
    """The newest batches that `match` names, at most `limit`."""
    answer: BatchesInfo = session.ask(lambda number: AskBatches(number, match, limit))
    return answer.batches


def batches_of(session: Session, call: bytes, kind: str) -> list[Batch[Any]]:
    """Handles on all batches of the function or command template with this digest, the newest first; whatever code went
    along with it. Those of other keys are left out: what they call by this digest, and what came of it, is their word
    alone."""
    lines = find_batches(session, "", MAX_RECORDS)
    mine = (line for line in lines if line.spec.owner in {"", session.key_name})
    some = (line for line in mine if call in {line.function, line.spec.call} and line.spec.kind == kind)
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


def status_of(line: BatchLine) -> BatchStatus:
    """The record of a batch that users get."""
    counts = {state: line.counts.get(state, 0) for state in ("succeeded", "failed", "timed_out", "cancelled", "dead")}
    return _record(
        BatchStatus,
        line,
        id=line.batch.hex(),
        name=line.spec.name,
        kind=line.spec.kind,
        title=line.spec.title,
        owner=line.spec.owner,
        created=line.created_time,
        paused=line.spec.paused_time is not None,
        running=line.leased if line.running is None else line.running,
        **counts,
    )


def pipeline_status_of(info: PipelineInfo, url: str) -> PipelineStatus:
    """The record of a pipeline that users get."""
    running = info.leased if info.running is None else info.running
    workers = tuple(
        _record(
            WorkerInfo,
            line,
            id=line.id.hex(),
            running=min(line.jobs, line.slots) if line.running is None else line.running,
        )
        for line in info.workers
    )
    return _record(PipelineStatus, info, url=url, running=running, workers=workers)


def _record(kind: type[R], line: BatchLine | WorkerLine | PipelineInfo, /, **others: Any) -> R:
    """A record of `others`, and of what the ventilator's line has under the same name."""
    same = {name: getattr(line, name) for name in kind.__struct_fields__ if name not in others}
    return kind(**same, **others)
