"""What recorded outcomes mean: values, and the errors users meet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import repeat
from typing import Any, NamedTuple

import msgspec

from penstock.client.follow import Row
from penstock.client.records import CommandResult, FinalState, Outcome
from penstock.errors import (
    CommandFailed,
    JobCancelled,
    JobDied,
    JobError,
    JobExited,
    JobTimedOut,
    RemoteError,
    ResultNotPicklable,
)
from penstock.job import payload
from penstock.job.display import Unopened
from penstock.job.payload import Partial, Unreadable
from penstock.job.spawning import CANNOT_START
from penstock.job.spec import BatchSpec, JobState, job_id
from penstock.job.unopened_value import NOT_READABLE, read_values
from penstock.wire.records import Note

SILENT = Note()
FINAL_STATES: dict[JobState, FinalState] = {
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.TIMED_OUT: "timed_out",
    JobState.CANCELLED: "cancelled",
    JobState.DEAD: "dead",
}
"""What users compare with."""
SMALL_BYTES = 256
"""Plain values of no more are handed out as fast as can be, and freed a chunk at a time."""


class RemoteTraceback(Exception):  # noqa: N818 - it is shown as the cause of an exception, never caught
    """The traceback of a job's exception, from the process it ran in."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def unusable(error: BaseException, row: Row) -> Exception:
    """What rebuilding values raised, as their waiters are given it: they must not end of what is no Exception."""
    if isinstance(error, Exception):
        return error
    name = job_id(row.head.batch, row.start)
    wrapped = ResultNotPicklable(f"job {name}: its result cannot be rebuilt here, that raised {type(error).__name__}")
    wrapped.__cause__ = error
    return wrapped


def values_of(row: Row, spec: BatchSpec, *, is_opened: bool = True) -> list[Any]:
    """The values of jobs that succeeded; a payload.Partial list if not all can be rebuilt here. Without `is_opened` no
    pickle is opened: what is no plain value is Unopened."""
    if spec.kind == "command":
        return [_result(row, row.head.note or SILENT)]
    if not is_opened:
        return _unopened(row, spec)
    try:
        values = payload.decode_values(row.body, spec.serializer)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - unpickling runs the user's code
        return Partial([Unreadable(error)] * row.jobs)
    if row.offset or len(values) != row.jobs:
        values = type(values)(values[row.offset : row.offset + row.jobs])
    if len(values) != row.jobs:  # a worker of somebody's own may say anything
        return Partial([Unreadable(ValueError(f"{len(values)} values came for {row.jobs} jobs"))] * row.jobs)
    return values


def _unopened(row: Row, spec: BatchSpec) -> list[Any]:
    try:
        values = read_values(row.body, spec.serializer)[row.offset : row.offset + row.jobs]
    except ValueError:
        values = []
    return values if len(values) == row.jobs else [Unopened(NOT_READABLE)] * row.jobs


def handed_out(row: Row, spec: BatchSpec, before: Callable[[], None] | None = None) -> Iterable[Any]:
    """The values one by one, each after a call of `before`; of larger ones none is kept that was given. Raises in the
    place of one that cannot be rebuilt here."""
    values = values_of(row, spec)
    is_plain = row.body[:1] == payload.PICKLED and spec.serializer == "pickle"
    if is_plain and before is None and len(row.body) <= SMALL_BYTES * len(values):
        return values
    return _popped(values, row, before)


def _popped(values: list[Any], row: Row, before: Callable[[], None] | None) -> Iterator[Any]:
    is_partial = type(values) is Partial
    values.reverse()
    while values:
        if before is not None:
            before()
        if is_partial and type(values[-1]) is Unreadable:
            raise unusable(values[-1].error, row)
        yield values.pop()


def argv_of(row: Row) -> list[bytes]:
    """Of a command, as it ran."""
    try:
        words = msgspec.msgpack.decode(row.body, type=list[list[bytes]]) if len(row.body) else []
    except msgspec.DecodeError:  # a worker of somebody's own may say anything
        words = []
    return words[row.offset] if row.offset < len(words) else []


def _argv(row: Row) -> list[str]:
    return [os.fsdecode(word) for word in argv_of(row)]


def _result(row: Row, note: Note) -> CommandResult:
    return CommandResult(_argv(row), note.returncode or 0, note.stdout, note.stderr)


def error_of(row: Row, index: int, spec: BatchSpec, *, is_opened: bool = True) -> BaseException:
    """What the Future of a job that did not succeed raises. Without `is_opened` no pickle is opened: an exception of
    the job's own is a RemoteError, which has its text."""
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
    return _own_error(row, name, note, is_opened=is_opened and spec.serializer == "pickle")


def _command_error(row: Row, name: str, note: Note) -> BaseException:
    if note.returncode is None:
        return JobError(f"job {name}: {note.cause}")
    cause = note.cause if note.cause.startswith(CANNOT_START) else ""
    return CommandFailed(note.returncode, _argv(row), note.stdout, note.stderr, cause)


def _own_error(row: Row, name: str, note: Note, *, is_opened: bool) -> BaseException:
    """The job's own exception, with the remote traceback as its cause."""
    error: BaseException | None = None
    if len(row.body) and is_opened:
        try:
            error = payload.loads(row.body)
        except BaseException:  # noqa: BLE001 - rebuilding runs the class's own code
            error = None
    if isinstance(error, SystemExit | KeyboardInterrupt | GeneratorExit):
        code = error.code if isinstance(error, SystemExit) else None
        error = JobExited(f"job {name}: {note.cause}", code)
    elif not isinstance(error, BaseException):
        error = RemoteError(f"job {name}: {note.cause}")
    if note.traceback:
        trace(error, note.traceback)
    return error


def trace(error: BaseException, text: str) -> None:
    """Show the remote traceback as the error's cause. A class may refuse one, as frozen ones do: so it is set past the
    class, and told in a note where it is hidden all the same, if that can be."""
    cause = RemoteTraceback(text)
    vars(BaseException)["__cause__"].__set__(error, cause)
    with suppress(BaseException):  # it is the class's own code
        if error.__cause__ is not cause:
            error.add_note(str(cause))


class Piece(NamedTuple):
    """The results of neighbouring jobs, from index `start` on: their values, or the one error of them all."""

    start: int
    jobs: int
    values: list[Any]
    error: BaseException | None


def pieces_of(row: Row, spec: BatchSpec) -> list[Piece]:
    """What a row says, without raising it: one piece, unless some of its values cannot be rebuilt here."""
    if row.head.state is not JobState.SUCCEEDED:
        return [Piece(row.start, row.jobs, [], error_of(row, row.start, spec))]
    values = values_of(row, spec)
    if type(values) is not Partial:
        return [Piece(row.start, row.jobs, values, None)]
    return [_piece_of_one(row, place, value) for place, value in enumerate(values)]


def _piece_of_one(row: Row, place: int, value: Any) -> Piece:
    if type(value) is Unreadable:
        return Piece(row.start + place, 1, [], unusable(value.error, row))
    return Piece(row.start + place, 1, [value], None)


def outcomes_of(row: Row, spec: BatchSpec, *, is_opened: bool = True) -> Iterator[Outcome[Any]]:
    """The outcomes of a row's jobs, in order of their indexes; without `is_opened` no pickle is opened."""
    head, note = row.head, row.head.note or SILENT
    state, succeeded = FINAL_STATES[head.state], head.state is JobState.SUCCEEDED
    values = values_of(row, spec, is_opened=is_opened) if succeeded else repeat(None, row.jobs)
    for place, value in enumerate(values):
        index = row.start + place
        is_readable = type(value) is not Unreadable
        error: BaseException | None = None if is_readable else unusable(value.error, row)
        if not succeeded:
            error = error_of(row, index, spec, is_opened=is_opened)
        yield Outcome(
            job_id=job_id(head.batch, index),
            index=index,
            position=row.position + place,
            state=state,
            value=value if is_readable else None,
            error=error,
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
            stdout_size=note.stdout_size or len(note.stdout),
            stderr_size=note.stderr_size or len(note.stderr),
        )
