"""What recorded outcomes mean: values, and the errors users meet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import repeat
from typing import Any, NamedTuple

import msgspec

from penstock import payload
from penstock.client.following import Row
from penstock.errors import CommandFailed, JobCancelled, JobDied, JobError, JobExited, JobTimedOut, RemoteError
from penstock.job import BatchSpec, JobState, job_id
from penstock.messages import Note
from penstock.outcome import CommandResult, Outcome

SILENT = Note()


class RemoteTraceback(Exception):  # noqa: N818 - it is shown as the cause of an exception, never caught
    """The traceback of a job's exception, from the process it ran in."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def values_of(row: Row, spec: BatchSpec) -> list[Any]:
    """The values of jobs that succeeded. Raises what unpickling them raises."""
    if spec.kind == "command":
        return [_result(row, row.head.note or SILENT)]
    values = payload.decode_values(row.body, spec.serializer)
    if row.offset or len(values) != row.jobs:
        return values[row.offset : row.offset + row.jobs]
    return values


def _argv(row: Row) -> list[str]:
    try:
        words = msgspec.msgpack.decode(row.body, type=list[list[bytes]]) if len(row.body) else []
    except msgspec.DecodeError:  # a worker of somebody's own may say anything
        words = []
    return [os.fsdecode(word) for word in words[row.offset]] if row.offset < len(words) else []


def _result(row: Row, note: Note) -> CommandResult:
    return CommandResult(_argv(row), note.returncode or 0, note.stdout, note.stderr)


def error_of(row: Row, index: int, spec: BatchSpec) -> BaseException:
    """What the Future of a job that did not succeed raises."""
    note = row.head.note or SILENT
    name = job_id(row.head.batch, index)
    cause = note.cause or row.head.state.value
    match row.head.state:
        case JobState.TIMED_OUT:
            return JobTimedOut(f"job {name}: {cause}")
        case JobState.CANCELLED:
            return JobCancelled(f"job {name}: {cause}")
        case JobState.DEAD:
            return JobDied(f"job {name}: {cause}", note.pid, note.exitcode)
    if spec.kind == "command":
        return _command_error(row, name, note)
    return _own_error(row, name, note, spec)


def _command_error(row: Row, name: str, note: Note) -> BaseException:
    if note.returncode is None:
        return JobError(f"job {name}: {note.cause}")
    return CommandFailed(note.returncode, _argv(row), note.stdout, note.stderr)


def _own_error(row: Row, name: str, note: Note, spec: BatchSpec) -> BaseException:
    """The job's own exception, with the remote traceback as its cause."""
    error: BaseException | None = None
    if len(row.body) and spec.serializer == "pickle":
        try:
            error = payload.loads(row.body)
        except Exception:  # noqa: BLE001 - rebuilding runs the class's own code
            error = None
    if isinstance(error, SystemExit | KeyboardInterrupt | GeneratorExit):
        code = error.code if isinstance(error, SystemExit) else None
        error = JobExited(f"job {name}: {note.cause}", code)
    elif not isinstance(error, BaseException):
        error = RemoteError(f"job {name}: {note.cause}")
    if note.traceback:
        error.__cause__ = RemoteTraceback(note.traceback)
    return error


class Piece(NamedTuple):
    """What neighbouring jobs came to, from index `start` on: their values, or the one error of them all."""

    start: int
    jobs: int
    values: list[Any]
    error: BaseException | None


def piece_of(row: Row, spec: BatchSpec) -> Piece:
    """What a row says, without raising it."""
    if row.head.state is not JobState.SUCCEEDED:
        return Piece(row.start, row.jobs, [], error_of(row, row.start, spec))
    try:
        return Piece(row.start, row.jobs, values_of(row, spec), None)
    except Exception as error:  # noqa: BLE001 - unpickling runs the user's code
        return Piece(row.start, row.jobs, [], error)


def outcomes_of(row: Row, spec: BatchSpec) -> Iterator[Outcome]:
    """The outcomes of a row's jobs, in order of their indexes."""
    head, note = row.head, row.head.note or SILENT
    values: Iterator[Any] = repeat(None)
    broken: BaseException | None = None
    if head.state is JobState.SUCCEEDED:
        try:
            values = iter(values_of(row, spec))
        except Exception as error:  # noqa: BLE001 - unpickling runs the user's code
            broken = error
    succeeded = head.state is JobState.SUCCEEDED
    for place in range(row.jobs):
        index = row.start + place
        yield Outcome(
            job_id=job_id(head.batch, index),
            index=index,
            position=row.position + place,
            state=head.state,
            value=next(values, None),
            error=broken if succeeded else error_of(row, index, spec),
            traceback=note.traceback,
            cause=note.cause,
            attempts=head.stamp.attempt,
            worker=head.worker,
            slot=head.slot,
            started=head.started_time,
            elapsed=head.elapsed / max(1, head.stop - head.start),
            stdout=note.stdout,
            stderr=note.stderr,
            returncode=note.returncode,
        )
