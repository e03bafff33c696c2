"""`Pipeline("inline")`: each job runs in the caller at submit, still through the serializer. For unit tests and pdb."""

from __future__ import annotations

import itertools
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from penstock.client import serialization_errors
from penstock.client.batch import Batch, status_of
from penstock.client.batch_input import Digest, form_of, joined
from penstock.client.batch_jobs import Wanted, info_of, options_of
from penstock.client.failures import failures_in
from penstock.client.follow import Row
from penstock.client.functions import Function, Functions
from penstock.client.futures import JobFuture, failed
from penstock.client.inline_jobs import Jobs
from penstock.client.map import MapRequest, input_length
from penstock.client.readers import OrderReader, RowReader
from penstock.client.records import BatchStatus, Event, Failures, JobInfo, Outcome, PipelineStatus
from penstock.client.results import FINAL_STATES, Piece, error_of, handed_out, outcomes_of, pieces_of
from penstock.client.single_submits import OnRow
from penstock.errors import JobError, NoSuchBatch, NoSuchWorker, PenstockError, Refused
from penstock.job import payload
from penstock.job.filters import Filter
from penstock.job.manager_authkeys import Client
from penstock.job.spans import SpanSet
from penstock.job.spec import BatchSpec, JobState
from penstock.wire.desk_messages import BatchLine
from penstock.wire.job_facts import batch_facts, ended_facts

if TYPE_CHECKING:
    from penstock.client.session import Session


class Inline:
    """A backend without stations: each job has ended when its submit returns, and nothing of it is kept elsewhere."""

    url: str = "inline"
    session: Session | None = None

    def __init__(self) -> None:
        self.client: Client = Client()
        self._functions = Functions()
        self._batches: dict[str, InlineBatch] = {}
        self._left = False
        self._on_row: OnRow | None = None

    def ensure_usable(self, spec: BatchSpec | None = None) -> None:
        """Raises RuntimeError: it has been left; ValueError: the options ask for what it cannot do."""
        if spec is not None and spec.once:
            raise ValueError("once is for pipelines that remember: an inline one does not")
        if self._left:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def submit(
        self, spec: BatchSpec, target: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> JobFuture[Any]:
        """One call, done when this returns."""
        self.ensure_usable(spec)
        try:
            function, item = serialization_errors.call(self._functions, target, args, kwargs, spec.serializer)
            return self._done(Jobs(spec, function, self._functions), payload.blobs_chunk([item], spec.serializer))
        except Exception as error:  # noqa: BLE001 - a __reduce__ may raise anything
            return failed(error)

    def on_outcome(self, then: OnRow) -> None:
        """From now on call `then` with each outcome of a single submit."""
        self._on_row = then

    def command(self, spec: BatchSpec, function: Function, words: list[bytes]) -> JobFuture[Any]:
        """One command, done when this returns."""
        self.ensure_usable(spec)
        return self._done(Jobs(spec, function, self._functions), words)

    def _done(self, jobs: Jobs, given_to_it: Any) -> JobFuture[Any]:
        row = jobs.run(0, given_to_it)
        future: JobFuture[Any] = JobFuture(None, 0, jobs.batch)
        if self._on_row is not None:
            self._on_row(row, jobs.spec)
        (outcome,) = outcomes_of(row, jobs.spec)
        future.settle(outcome.value, outcome.error)
        self._remember(jobs, [row])
        return future

    def _remember(self, jobs: Jobs, rows: list[Row]) -> InlineBatch:
        batch = self._batches[jobs.batch.hex()] = InlineBatch(jobs, rows, self._batches)
        return batch

    def function(self, target: Callable[..., Any], spec: BatchSpec) -> Function:
        """The function as it travels."""
        return serialization_errors.serialized(self._functions, target, spec.serializer)

    def start_map(self, request: MapRequest) -> InlineMap:
        """Start a map: it runs now if its input has a length, unless that is to be drawn ahead of the reader by a
        `buffersize`; else as it is read."""
        self.ensure_usable()
        rows = _rows(Jobs(request.spec, request.function, self._functions), request.iterables, request.form)
        at_once = request.buffersize is None and input_length(request.iterables) is not None
        return InlineMap(_drawn(rows) if at_once else rows, request.spec)

    def batch(
        self, spec: BatchSpec, function: Function, iterables: Sequence[Iterable[Any]], digest: Digest | None = None
    ) -> InlineBatch:
        """All its jobs are done when this returns, and nothing is kept that `digest` could tell apart later."""
        del digest
        self.ensure_usable(spec)
        jobs = Jobs(spec, function, self._functions)
        return self._remember(jobs, list(_rows(jobs, iterables)))

    def failures(self, batch: bytes) -> Failures:
        """The failed jobs of a batch, or of all (empty), grouped by their error."""
        some = [self.attach(batch.hex())] if batch else self._batches.values()
        return failures_in(row.head for one in some for row in one.recorded)

    def attach(self, match: str) -> InlineBatch:
        """A batch of this object. Raises NoSuchBatch."""
        for name, batch in reversed(self._batches.items()):
            if match and (match in ("last", batch.name) or name.startswith(match) or name.endswith(match)):
                return batch
        raise NoSuchBatch(f"no batch {match!r}")

    def closed(self, match: str) -> bytes:
        """The id of a batch, which has ended. Raises NoSuchBatch."""
        return bytes.fromhex(self.attach(match).id)

    def batches(self, match: str, limit: int) -> list[BatchStatus]:
        """The batches of this name, or all; the newest first."""
        found = [batch for batch in reversed(self._batches.values()) if match in ("", batch.name)]
        return [batch.status() for batch in found[:limit]]

    def jobs(self, wanted: Filter, at: tuple[bytes, int], limit: int, *, full: bool) -> list[JobInfo]:
        """Its jobs that are wanted, from there on; what they were given is not kept."""
        del full
        newest, first = at
        found = (
            info
            for name in sorted(self._batches, reverse=True)
            if name <= newest.hex()
            for info in self._batches[name].filtered(wanted, first if name == newest.hex() else 0)
        )
        return list(itertools.islice(found, limit))

    def events(self, after: int, *, follow: bool) -> Iterator[Event]:  # noqa: ARG002 - of every backend
        """Nothing happens but in the caller's own calls."""
        raise PenstockError("an inline pipeline keeps no events: its jobs run in the call that submits them")

    def last_event(self) -> int:
        """The number of none."""
        return 0

    def status(self) -> PipelineStatus:
        """A pipeline in which nothing waits and nothing runs."""
        return PipelineStatus(url=self.url, version="", python=platform.python_version(), sink_present=True)

    def slots(self) -> int:
        """Jobs run one after the other."""
        return 1

    def drain(self, worker: str) -> None:
        """Raises NoSuchWorker: there are no workers."""
        raise NoSuchWorker(f"no worker named {worker}: jobs run in the caller")

    def cancel(self, batch: bytes, start: int, stop: int) -> int:  # noqa: ARG002
        """Whatever was submitted has ended."""
        return 0

    def pause(self, *, resumes: bool) -> None:  # noqa: ARG002 - there is neither
        """Raises Refused: no job waits."""
        raise Refused("an inline pipeline runs each job at once, in the caller: there is nothing to pause or resume")

    def flush(self, timeout: float | None) -> None:  # noqa: ARG002
        """Return at once: whatever was submitted has ended."""
        self.ensure_usable()

    def leave(self, *_: object, **__: object) -> None:
        """Take no more jobs, whatever the way of leaving: none waits, none runs, and there are no workers."""
        self._left = True

    leave_by: Callable[..., None] = leave
    leave_forgotten: Callable[..., None] = leave
    abandon: Callable[..., None] = leave
    terminate: Callable[..., None] = leave
    end_workers: Callable[..., None] = leave


class InlineBatch(Batch[Any]):
    """A handle on a batch of an inline pipeline, whose jobs have all ended."""

    def __init__(self, jobs: Jobs, rows: list[Row], batches: dict[str, InlineBatch]) -> None:
        """`batches`: where it is found as long as it is not deleted."""
        self._batch = jobs.batch  # it has no session
        self._spec = jobs.spec
        self._jobs = jobs
        self._recorded = rows
        self._positions = len(rows)
        self._batches = batches
        self._created = time.time()

    @property
    def _rows_now(self) -> list[Row]:
        if self.id not in self._batches:
            raise NoSuchBatch(f"no batch {self.id}: it was deleted")
        return self._recorded

    def status(self) -> BatchStatus:
        """How its jobs ended, as numbers."""
        return status_of(self._line())

    def _line(self) -> BatchLine:
        rows = self._rows_now
        return BatchLine(
            batch=self._batch,
            spec=self._spec,
            accepted=len(rows),
            total=len(rows),
            counts=Counter(row.head.state.value for row in rows),
            leased=0,
            created_time=self._created,
        )

    @property
    def recorded(self) -> list[Row]:
        """How its jobs ended."""
        return self._rows_now

    def cancel(self, *, running: bool = True) -> int:  # noqa: ARG002 - none is
        """There is nothing left to cancel."""
        return 0

    def retry(self, index: int | None = None) -> int:
        """Run again, now, what did not succeed, or the job at `index`; returns how many did not."""
        jobs = 0
        for at, row in enumerate(self._rows_now):
            if index in (None, row.start):
                again = self._jobs.run_again(row.start, self._positions + 1)
                if again is not None:
                    self._recorded[at] = again
                    self._positions += 1
                    jobs += 1
        return jobs

    def pause(self) -> None:
        """Raises Refused: its jobs have ended."""
        raise Refused(f"batch {self.id} is of an inline pipeline, and has ended: there is nothing to pause or resume")

    resume: Callable[..., None] = pause

    def set(self, *, priority: int | None = None, limit: int | None = None) -> None:  # noqa: ARG002 - no job waits
        """Raises Refused: its jobs have ended."""
        raise Refused(f"batch {self.id} is of an inline pipeline, and has ended: there is nothing to set")

    def delete(self) -> None:
        """Forget it: `attach` does not find it any more."""
        self._batches.pop(self.id, None)

    def digests(self) -> Iterator[bytes]:
        """Nothing: digests are not kept here."""
        return iter(())

    def attempts(self, index: int) -> list[Outcome[Any]]:
        """The last attempt of a job."""
        return [outcome for outcome in self.outcomes() if outcome.index == index]

    def jobs(self, states: Iterable[str] = (), *, limit: int | None = None, full: bool = False) -> Iterator[JobInfo]:
        """Its jobs; what they were given is not kept."""
        del full
        wanted = frozenset(states)
        found = (row for row in self._rows_now if not wanted or row.head.state.value in wanted)
        return itertools.islice(map(self._info, found), limit)

    def filtered(self, wanted: Filter, first: int) -> Iterator[JobInfo]:
        """Those of its jobs from `first` on that are wanted."""
        line = self._line()
        if wanted.matches_batch(batch_facts(line)):
            named = SpanSet(wanted.within(self.id, first, line.accepted))
            for row in self._recorded:
                if row.start in named and wanted.matches(ended_facts(row.head, self._created)):
                    yield self._info(row)

    def job(self, index: int, *, full: bool = False) -> JobInfo:
        """One of its jobs. Raises NoSuchBatch."""
        del full
        for row in self._rows_now:
            if row.start == index:
                return self._info(row)
        raise NoSuchBatch(f"no job {self.id}:{index}")

    def text(self, index: int) -> str:  # noqa: ARG002 - likewise
        """What its jobs have in common."""
        return self._jobs.work.without_arguments()

    def _info(self, row: Row) -> JobInfo:
        one = Wanted(FINAL_STATES[row.head.state], None, row)
        info = info_of(self._batch, row.start, one, self.text(row.start), self.name)
        return replace(info, submitted=self._created, options=options_of(self._spec))

    def why(self, index: int) -> str:
        """How a job ended; none of them waits."""
        return "".join(f"it has ended: {outcome.state}" for outcome in self.attempts(index))

    def stack(self, index: int) -> str:
        """None of its jobs runs while somebody asks."""
        raise JobError(f"{self.id}:{index} has no stack: it runs in this process, and not now")

    def _rows(self, kind: type[RowReader]) -> Iterator[Row]:
        rows = self._rows_now
        return iter(rows if kind is OrderReader else sorted(rows, key=lambda row: row.position))


class InlineMap:
    """A map whose jobs run when they are read."""

    def __init__(self, rows: Iterator[Row], spec: BatchSpec) -> None:
        self._rows = rows
        self._spec = spec

    def next_piece(self, timeout: float | None = None) -> Piece | None:  # noqa: ARG002 - nothing is ever waited for
        """Run the next job and return its result; None when there is no more. Raises an error of the input."""
        row = next(self._rows, None)
        return None if row is None else pieces_of(row, self._spec)[0]

    def results(self) -> Iterator[Any]:
        """The values, one by one. Raises the error of a job, and of the input, in its place."""
        for row in self._rows:
            if row.head.state is not JobState.SUCCEEDED:
                raise error_of(row, row.start, self._spec)
            yield from handed_out(row, self._spec)

    def watch(self, results: object) -> None:
        """What is not read is not run."""

    def close(self) -> None:
        """Nothing is under way."""


def _rows(jobs: Jobs, iterables: Sequence[Iterable[Any]], form: str = "") -> Iterator[Row]:
    for index, item in enumerate(joined(iterables)):
        yield jobs.run(index, jobs.chunk(index, form or form_of(iterables), item))


def _drawn(rows: Iterator[Row]) -> Iterator[Row]:
    """All of them, drawn now; an error of the input comes behind them."""
    found: list[Row] = []
    failure: Exception | None = None
    try:
        found.extend(rows)
    except Exception as error:  # noqa: BLE001 - it comes at its place
        failure = error
    return _replayed(found, failure)


def _replayed(rows: list[Row], error: Exception | None) -> Iterator[Row]:
    yield from rows
    if error is not None:
        raise error
