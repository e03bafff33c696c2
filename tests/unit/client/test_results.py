"""Recorded outcomes become values, errors and Outcomes."""

from __future__ import annotations

import pickle
import sys
from concurrent.futures import BrokenExecutor, CancelledError
from dataclasses import dataclass
from subprocess import CalledProcessError
from typing import Any

import msgspec
import pytest

from penstock.client.follow import Row
from penstock.client.records import CommandResult
from penstock.client.results import FINAL_STATES, RemoteTraceback, error_of, outcomes_of, pieces_of, values_of
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
from penstock.job.spec import FINAL, BatchSpec, JobState, Stamp
from penstock.wire.records import Note, OutcomeHead
from support.recording_client import BATCH, failure, head, values

CALL = BatchSpec()
COMMAND = BatchSpec(kind="command")
ID = BATCH.hex()


def row(outcome: tuple[OutcomeHead, bytes], **changes: Any) -> Row:
    """As it comes from the sink."""
    made, body = outcome
    return Row(made, made.start, made.stop, made.offset, body, made.start + 1)._replace(**changes)


def failed(error: BaseException | None, **fields: Any) -> Row:
    """A call that raised this."""
    body = payload.dumps(error) if error is not None else b""
    note = Note(cause=fields.pop("cause", "it failed"), traceback=fields.pop("traceback", ""))
    return row((head(3, 4, body, state=JobState.FAILED, note=note, **fields), body))


def command(state: JobState, returncode: int | None, **note: Any) -> Row:
    """A command's end."""
    body = msgspec.msgpack.encode([[b"convert", b"\xff.png"]])
    return row((head(0, 1, body, state=state, note=Note(returncode=returncode, **note)), body))


class UnbuildableError(Exception):
    """Cannot be made from its args."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(one)
        self.two = two


def test_every_final_state_has_its_name() -> None:
    """For users, who compare with text."""
    assert {state: state.value for state in FINAL} == FINAL_STATES


def test_values_of_neighbours_are_one_list() -> None:
    """In order."""
    assert values_of(row(values(0, 1, "b", None)), CALL) == [1, "b", None]


def test_a_trimmed_row_has_its_part_of_the_list() -> None:
    """`offset` is the place of its first value."""
    assert values_of(row(values(0, *range(10)), start=4, stop=7, offset=4), CALL) == [4, 5, 6]


def test_msgpack_values_are_not_unpickled() -> None:
    """They are what msgpack makes of them."""
    body = msgspec.msgpack.encode([1, [2, 3]])
    assert values_of(row((head(0, 2, body), body)), BatchSpec(serializer="msgpack")) == [1, [2, 3]]


def test_a_command_is_a_completed_process() -> None:
    """With its words as the file system has them."""
    result = values_of(command(JobState.SUCCEEDED, 0, stdout=b"out", stderr=b"err"), COMMAND)[0]
    assert isinstance(result, CommandResult)
    assert (result.args, result.returncode) == (["convert", "\udcff.png"], 0)
    assert (result.stdout, result.stderr) == (b"out", b"err")


def test_a_jobs_own_exception_comes_back_with_its_remote_traceback() -> None:
    """As the cause that is shown above it."""
    error = error_of(failed(KeyError("k"), traceback="Traceback...\nKeyError: 'k'"), 3, CALL)
    assert isinstance(error, KeyError)
    assert error.args == ("k",)
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "KeyError: 'k'" in str(error.__cause__)


@pytest.mark.parametrize(
    ("outcome", "kind", "text"),
    [
        (failed(None, cause="Odd: 5"), RemoteError, f"job {ID}:3: Odd: 5"),
        (failed(UnbuildableError(1, 2), cause="Unbuildable: 1"), RemoteError, f"job {ID}:3: Unbuildable: 1"),
        (failed(SystemExit(7), cause="SystemExit: 7"), JobExited, f"job {ID}:3: SystemExit: 7"),
        (failed(KeyboardInterrupt(), cause="KeyboardInterrupt"), JobExited, f"job {ID}:3: KeyboardInterrupt"),
        (row(failure(3, "ran longer than 1 s", JobState.TIMED_OUT)), JobTimedOut, f"job {ID}:3: ran longer than 1 s"),
        (row(failure(3, "killed by SIGSEGV", JobState.DEAD)), JobDied, f"job {ID}:3: killed by SIGSEGV"),
        (row(failure(3, "cancelled", JobState.CANCELLED)), JobCancelled, f"job {ID}:3: cancelled"),
    ],
)
def test_other_ends_are_errors_that_name_the_job_and_the_cause(outcome: Row, kind: type[Exception], text: str) -> None:
    """One class for each."""
    error = error_of(outcome, 3, CALL)
    assert type(error) is kind
    assert str(error) == text


def test_errors_have_the_bases_that_users_catch() -> None:
    """CancelledError, BrokenExecutor, CalledProcessError; the exit code of SystemExit."""
    assert isinstance(error_of(row(failure(3, "", JobState.CANCELLED)), 3, CALL), CancelledError)
    assert isinstance(error_of(row(failure(3, "", JobState.DEAD)), 3, CALL), BrokenExecutor)
    exited = error_of(failed(SystemExit(7)), 3, CALL)
    assert isinstance(exited, JobExited)
    assert exited.code == 7


def test_a_command_that_failed_has_its_output() -> None:
    """As CalledProcessError has it."""
    error = error_of(command(JobState.FAILED, 3, cause="exit code 3", stdout=b"o", stderr=b"e"), 0, COMMAND)
    assert isinstance(error, CommandFailed)
    assert isinstance(error, CalledProcessError)
    assert (error.returncode, error.cmd, error.output, error.stderr) == (3, ["convert", "\udcff.png"], b"o", b"e")


def test_a_command_that_never_started_says_why() -> None:
    """It has no exit code."""
    error = error_of(command(JobState.FAILED, None, cause="cannot start 'x': No such file or directory"), 0, COMMAND)
    assert type(error) is JobError
    assert "cannot start 'x'" in str(error)


def test_outcomes_have_all_that_is_known() -> None:
    """One for each job of a row."""
    made, body = values(5, "a", "b")
    made = msgspec.structs.replace(made, stamp=Stamp(0, 3, 1), slot=2, elapsed=3.0)
    first, second = outcomes_of(row((made, body)), CALL)
    assert (first.job_id, first.index, first.position, first.value) == (f"{ID}:5", 5, 6, "a")
    assert (second.job_id, second.index, second.position, second.value) == (f"{ID}:6", 6, 7, "b")
    assert (second.state, second.attempts, second.worker, second.slot) == ("succeeded", 3, "w", 2)
    assert (second.started, second.elapsed, second.error, second.returncode) == (1.0, 1.5, None, None)


def test_a_value_that_cannot_be_rebuilt_is_an_outcome_with_an_error() -> None:
    """The others of the batch are read all the same."""
    (outcome,) = outcomes_of(row((head(0, 1, b"no pickle"), b"no pickle")), CALL)
    assert outcome.state == "succeeded"
    assert outcome.value is None
    assert isinstance(outcome.error, Exception)


def test_a_failed_outcome_has_error_cause_and_traceback() -> None:
    """And no value."""
    (outcome,) = outcomes_of(failed(ValueError("x"), cause="ValueError: x", traceback="T"), CALL)
    assert (outcome.state, outcome.value, outcome.cause, outcome.traceback) == ("failed", None, "ValueError: x", "T")
    assert isinstance(outcome.error, ValueError)


class Trap:
    """Ends whoever opens it."""

    def __reduce__(self) -> Any:
        return sys.exit, ("opened",)


def test_unopened_outcomes_have_what_can_be_read_without_running_anything() -> None:
    """Plain values, texts of the others, and errors by their cause: whoever looks on runs no code of the jobs."""
    made, body = values(0, 1, [Trap()])
    plain, other = outcomes_of(row((made, body)), CALL, is_opened=False)
    assert (plain.value, str(other.value)) == (1, "[exit('opened')]")
    (outcome,) = outcomes_of(failed(ValueError("x"), cause="ValueError: x", traceback="T"), CALL, is_opened=False)
    assert type(outcome.error) is RemoteError
    assert "ValueError: x" in str(outcome.error)
    (trapped,) = outcomes_of(row((head(0, 1, b"no pickle"), b"no pickle")), CALL, is_opened=False)
    assert (trapped.error, str(trapped.value)) == (None, "<a value that cannot be read>")
    (_, opened) = outcomes_of(row((made, body)), CALL)
    assert "SystemExit" in str(opened.error)


@dataclass(frozen=True)
class FrozenError(Exception):
    """Refuses whatever is set on it."""

    code: int

    def __reduce__(self) -> tuple[object, ...]:
        return FrozenError, (self.code,)


class HidingError(Exception):
    """Has a cause of its own."""

    @property
    def __cause__(self) -> BaseException | None:  # type: ignore[override]
        return None


class ClosedError(HidingError):
    """Takes no notes either."""

    def add_note(self, note: str) -> None:
        """No."""
        raise SystemExit(note)


def test_an_exception_that_takes_no_attributes_has_its_traceback() -> None:
    """It is set as `raise ... from` would set it."""
    error = error_of(failed(FrozenError(7), traceback="KeyError: 'k'"), 3, CALL)
    assert isinstance(error, FrozenError)
    assert (error.code, str(error.__cause__).strip('"\n')) == (7, "KeyError: 'k'")


def test_where_the_cause_is_hidden_the_traceback_is_a_note_or_left_out() -> None:
    """The exception itself comes whatever its class does."""
    hiding = error_of(failed(HidingError(1), traceback="KeyError: 'k'"), 3, CALL)
    assert isinstance(hiding, HidingError)
    assert ["KeyError: 'k'" in note for note in hiding.__notes__] == [True]
    closed = error_of(failed(ClosedError(1), traceback="KeyError: 'k'"), 3, CALL)
    assert (type(closed), hasattr(closed, "__notes__")) == (ClosedError, False)


class Leaves:
    """Ends whoever rebuilds it."""

    def __reduce__(self) -> tuple[object, ...]:
        return sys.exit, ("x",)


class InterruptsError(Exception):
    """Likewise, as an error."""

    def __reduce__(self) -> tuple[object, ...]:
        return interrupt, ()


def interrupt() -> None:
    """As Ctrl-C would."""
    raise KeyboardInterrupt


def test_what_ends_who_rebuilds_it_is_an_error_of_ours() -> None:
    """For readers of pieces and outcomes too; an error that cannot be rebuilt is its text."""
    bad = row(values(0, Leaves()))
    assert isinstance(pieces_of(bad, CALL)[0].error, ResultNotPicklable)
    (outcome,) = outcomes_of(bad, CALL)
    assert isinstance(outcome.error, ResultNotPicklable)
    assert isinstance(error_of(failed(InterruptsError()), 3, CALL), RemoteError)


def test_who_died_under_a_job_is_told() -> None:
    """As a worker process of ProcessPoolExecutor is; also where the error is pickled on."""
    note = Note(cause="killed by SIGSEGV (segmentation fault), pid 77", pid=77, exitcode=-11)
    dead = row((head(0, 1, b"", state=JobState.DEAD, note=note), b""))
    for error in (error_of(dead, 0, CALL), pickle.loads(pickle.dumps(error_of(dead, 0, CALL)))):
        assert isinstance(error, JobDied)
        assert (error.pid, error.exitcode) == (77, -11)
        assert str(error) == f"job {ID}:0: {note.cause}"
