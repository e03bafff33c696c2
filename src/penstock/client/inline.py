"""`Pipeline("inline")`: each job runs in the caller at submit, still through the serializer. For unit tests and pdb."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from penstock import payload
from penstock.client.answers import Piece, error_of, piece_of, values_of
from penstock.client.batch import Batch
from penstock.client.following import Row
from penstock.client.functions import Function, Functions
from penstock.client.mapping import Digest, input_length
from penstock.client.reading import RowReader
from penstock.client.streams import JobFuture, OnRow, failed
from penstock.command import Argv, CommandTemplate
from penstock.errors import NoLongerKept, NoSuchBatch, NoSuchWorker
from penstock.job import BatchSpec, JobState, Stamp, new_batch_id
from penstock.messages import OutcomeHead
from penstock.outcome import BatchStatus, Outcome, PipelineStatus
from penstock.report import CommandEnd, CommandReport, Report


class Jobs:
    """The jobs of one batch, run one after the other."""

    def __init__(self, spec: BatchSpec, function: Function) -> None:
        self.batch = new_batch_id()
        self.spec = spec
        self._function = function

    def run(self, index: int, form: str, item: Any) -> Row:
        """Run one to its last attempt. Raises PicklingError: its arguments cannot be serialized."""
        blob = payload.chunk_blob(form, [item], self.spec.serializer, index) if self.spec.kind == "call" else b""
        stamp = Stamp()
        while True:
            report = self._attempt(index, blob, item)
            ran = report.ran[0]
            if ran.state is JobState.SUCCEEDED or self.spec.is_last_attempt(stamp):
                break
            stamp = stamp.after_failure()
        head = OutcomeHead(
            batch=self.batch,
            start=index,
            stop=index + 1,
            state=ran.state,
            final=True,
            stamp=stamp,
            lease=0,
            slot=0,
            started_time=ran.started_time,
            elapsed=ran.elapsed,
            size=ran.size,
            note=ran.note,
            worker="inline",
        )
        return Row(head, index, index + 1, 0, report.bodies[0], index + 1)

    def _attempt(self, index: int, blob: bytes, item: Any) -> Report:
        if self.spec.kind == "command":
            return self._run_command(index, item)
        report = Report(index, self.spec.serializer)
        try:
            function = payload.load_function(self._function.code, self.spec.serializer)
            form, (argument,) = payload.load_chunk(blob, self.spec.serializer)
            value = payload.adapted(function, form, self.spec.serializer)(argument)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - Ctrl-C is the caller's own here
            report.fail(index, index + 1, error, time.monotonic_ns(), None)
        else:
            report.add(index, value, time.monotonic_ns(), None)
        return report

    def _run_command(self, index: int, arguments: list[bytes]) -> Report:
        template = CommandTemplate.decode(self._function.code)
        argv = template.argv(arguments, index + 1)
        end, output = _run(template, argv, check=self.spec.check, time_limit=self.spec.time_limit)
        report = CommandReport(index, self.spec.serializer)
        report.add(index, end, time.monotonic_ns(), output)
        return report


def _run(
    template: CommandTemplate, argv: Argv, *, check: bool, time_limit: float | None
) -> tuple[CommandEnd, tuple[bytes, bytes]]:
    environment = {**os.environb, **template.env}
    try:
        done = subprocess.run(
            argv,
            cwd=template.cwd,
            env=environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=time_limit,
            check=False,
        )
    except (OSError, ValueError) as error:
        return CommandEnd(argv, None, f"cannot start the command: {error}"), (b"", b"")
    except subprocess.TimeoutExpired as error:
        cause = f"ran longer than its time limit of {time_limit:g} s"
        return CommandEnd(argv, None, cause), (error.stdout or b"", error.stderr or b"")
    cause = f"exit code {done.returncode}" if check and done.returncode else ""
    return CommandEnd(argv, done.returncode, cause), (done.stdout, done.stderr)


class Inline:
    """An engine without stations."""

    url = "inline"
    session = None

    def __init__(self) -> None:
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
    ) -> JobFuture:
        """One call, done when this returns."""
        self.ensure_usable(spec)
        try:
            function = self._functions.serialized(target, spec.serializer)
            return self._done(Jobs(spec, function), "blob", payload.call_blob(args, kwargs, spec.serializer))
        except Exception as error:  # noqa: BLE001 - a __reduce__ may raise anything
            return failed(error)

    def on_outcome(self, then: OnRow) -> None:
        """Tell this of each outcome of single submits."""
        self._on_row = then

    def command(self, spec: BatchSpec, function: Function, words: list[bytes]) -> JobFuture:
        """One command, done when this returns."""
        self.ensure_usable(spec)
        return self._done(Jobs(spec, function), "item", words)

    def _done(self, jobs: Jobs, form: str, item: Any) -> JobFuture:
        row = jobs.run(0, form, item)
        future = JobFuture(None, 0, jobs.batch)
        if self._on_row is not None:
            self._on_row(row, jobs.spec)
        if row.head.state is JobState.SUCCEEDED:
            future.settle(values_of(row, jobs.spec)[0], None)
        else:
            future.settle(None, error_of(row, 0, jobs.spec))
        self._batches[jobs.batch.hex()] = InlineBatch(jobs, [row])
        return future

    def function(self, target: Callable[..., Any], spec: BatchSpec) -> Function:
        """The function as it travels."""
        return self._functions.serialized(target, spec.serializer)

    def map(
        self,
        spec: BatchSpec,
        function: Function,
        iterables: Sequence[Iterable[Any]],
        *,
        timeout: float | None,  # noqa: ARG002 - nothing is ever waited for
        chunksize: int | None,  # noqa: ARG002
        buffersize: int | None,
        ordered: bool,  # noqa: ARG002
    ) -> Iterator[Any]:
        """An input with a length is run now, another one as it is read."""
        self.ensure_usable()
        values = self._values(Jobs(spec, function), iterables)
        if input_length(iterables) is None or buffersize is not None:
            return values
        results: list[tuple[Any, BaseException | None]] = []
        try:
            results.extend((value, None) for value in values)
        except Exception as error:  # noqa: BLE001 - it comes at its place
            results.append((None, error))
        return _replayed(results)

    def start_map(
        self,
        spec: BatchSpec,
        function: Function,
        iterables: Sequence[Iterable[Any]],
        *,
        form: str = "",
        chunksize: int | None = None,  # noqa: ARG002 - each job is run by itself
        chunk: Callable[[int], int] | None = None,  # noqa: ARG002
        ordered: bool = True,  # noqa: ARG002
    ) -> InlineMap:
        """A map to be read piece by piece: run now if its input has a length, else as it is read."""
        self.ensure_usable()
        rows = _rows(Jobs(spec, function), iterables, form)
        if input_length(iterables) is not None:
            rows = iter(list(rows))
        return InlineMap(rows, spec)

    def _values(self, jobs: Jobs, iterables: Sequence[Iterable[Any]]) -> Iterator[Any]:
        for row in _rows(jobs, iterables):
            if row.head.state is not JobState.SUCCEEDED:
                raise error_of(row, row.start, jobs.spec)
            yield from values_of(row, jobs.spec)

    def batch(
        self, spec: BatchSpec, function: Function, iterables: Sequence[Iterable[Any]], digest: Digest | None = None
    ) -> InlineBatch:
        """All its jobs are done when this returns, and nothing is kept that `digest` could tell apart later."""
        del digest
        self.ensure_usable(spec)
        jobs = Jobs(spec, function)
        self._batches[jobs.batch.hex()] = InlineBatch(jobs, list(_rows(jobs, iterables)))
        return self._batches[jobs.batch.hex()]

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
        """The newest first."""
        found = [batch for batch in reversed(self._batches.values()) if match in ("", batch.name)]
        return [batch.status() for batch in found[:limit]]

    def status(self) -> PipelineStatus:
        """Nothing waits and nothing runs."""
        version = platform.python_version()
        return PipelineStatus(
            url=self.url,
            version="",
            python=version,
            queued=0,
            leased=0,
            batches=0,
            sink_present=True,
            malformed=0,
            workers=(),
        )

    def slots(self) -> int:
        """Jobs run one after the other."""
        return 1

    def drain(self, worker: str) -> None:
        """There are no workers."""
        raise NoSuchWorker(f"no worker named {worker}: jobs run in the caller")

    def cancel(self, batch: bytes, start: int, stop: int) -> int:  # noqa: ARG002
        """Whatever was submitted has ended."""
        return 0

    def flush(self, timeout: float | None) -> None:  # noqa: ARG002
        """Nothing waits."""
        self.ensure_usable()

    def leave(self, *, wait: bool, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """No more jobs are taken."""
        self._left = True

    def leave_by(self, error: BaseException | None = None) -> None:  # noqa: ARG002
        """The same."""
        self._left = True

    leave_forgotten = terminate = leave_by


class InlineBatch(Batch):
    """A batch that has ended."""

    def __init__(self, jobs: Jobs, rows: list[Row]) -> None:  # it has no session
        self._batch = jobs.batch
        self._spec = jobs.spec
        self._recorded = rows
        self._created = time.time()

    def status(self) -> BatchStatus:
        """What its jobs came to."""
        states = [row.head.state for row in self._recorded]
        return BatchStatus(
            id=self.id,
            name=self.name,
            kind=self._spec.kind,
            created=self._created,
            total=len(states),
            accepted=len(states),
            leased=0,
            succeeded=states.count(JobState.SUCCEEDED),
            failed=states.count(JobState.FAILED),
        )

    def cancel(self, *, running: bool = True) -> int:  # noqa: ARG002 - none is
        """There is nothing left to cancel."""
        return 0

    def retry(self, index: int | None = None) -> int:  # noqa: ARG002 - none is kept
        """No arguments are kept."""
        raise NoLongerKept("an inline pipeline keeps no arguments: call it again")

    def attempts(self, index: int) -> list[Outcome]:
        """The last attempt of a job."""
        return [outcome for outcome in self.outcomes() if outcome.index == index]

    def why(self, index: int) -> str:
        """It has ended."""
        return "".join(f"it has ended: {outcome.state}" for outcome in self.attempts(index))

    def _rows(self, kind: type[RowReader]) -> Iterator[Row]:  # noqa: ARG002 - both orders are one
        return iter(self._recorded)


class InlineMap:
    """A map whose jobs run when they are read."""

    def __init__(self, rows: Iterator[Row], spec: BatchSpec) -> None:
        self._rows = rows
        self._spec = spec

    def next_piece(self, timeout: float | None = None) -> Piece | None:  # noqa: ARG002 - nothing is ever waited for
        """What the next job came to; None: that was all. An error of the input is raised."""
        row = next(self._rows, None)
        return None if row is None else piece_of(row, self._spec)

    def watch(self, results: object) -> None:
        """What is not read is not run."""

    def close(self) -> None:
        """Nothing is under way."""


def _rows(jobs: Jobs, iterables: Sequence[Iterable[Any]], form: str = "") -> Iterator[Row]:
    form = form or ("item" if len(iterables) == 1 else "star")
    items = iter(iterables[0]) if len(iterables) == 1 else zip(*iterables)  # noqa: B905 - as the builtin map
    for index, item in enumerate(items):
        yield jobs.run(index, form, item)


def _replayed(results: list[tuple[Any, BaseException | None]]) -> Iterator[Any]:
    for value, error in results:
        if error is not None:
            raise error
        yield value
