"""How a slot puts together what its jobs came to."""

from __future__ import annotations

import errno
import os
from threading import Lock
from typing import Any

import pytest

from penstock.errors import ResultNotPicklable
from penstock.job import payload
from penstock.job.command import CommandTemplate
from penstock.job.spec import JobState
from penstock.slot import job_report
from penstock.slot.job_report import CommandEnd, CommandReport, Report, cause_of
from penstock.slot.output_capture import Taken


def spans(made: Report) -> list[tuple[int, int, str]]:
    return [(ran.start, ran.stop, str(ran.state)) for ran in made.ran]


def values(made: Report) -> list[Any]:
    return [payload.loads(body) for body in made.bodies]


def report_of(*found: Any, start: int = 5, serializer: str = "pickle") -> Report:
    made = Report(start, serializer)
    made.values += found
    return made


def taken(out: bytes, err: bytes = b"") -> Taken:
    return Taken(((out,), (err,)), (0, 0))


def test_silent_neighbours_are_one_record() -> None:
    """One record with one list of values; its size is that of its body."""
    made = report_of(1, 2, 3)
    made.flush(0)
    assert spans(made) == [(5, 8, "succeeded")]
    assert values(made) == [[1, 2, 3]]
    assert made.ran[0].size == len(made.bodies[0])
    assert made.ran[0].note is None


def test_a_value_is_what_it_was_when_its_job_ended() -> None:
    """What can be changed is serialized then; what cannot be is kept as it is."""
    made, buffer = Report(5, "pickle"), [0]
    for number in range(3):
        buffer[0] = number
        made.values += [made.frozen(buffer), made.frozen(number), made.frozen((number, "x"))]
    made.flush(0)
    assert payload.decode_values(made.bodies[0], "pickle") == [[0], 0, (0, "x"), [1], 1, (1, "x"), [2], 2, (2, "x")]


def test_a_value_of_a_job_that_printed_is_as_any_other() -> None:
    """It has a record of its own, before which the others are flushed."""
    made = report_of(1)
    value = made.frozen([2])
    made.flush(0)
    made.add(6, value, 0, taken(b"heard"))
    assert [payload.decode_values(body, "pickle") for body in made.bodies] == [[1], [[2]]]


@pytest.mark.parametrize("serializer", ["pickle", "msgpack"])
def test_a_value_that_cannot_be_serialized_is_an_error(serializer: str) -> None:
    """It says what it is."""
    with pytest.raises(ResultNotPicklable, match="the job returned a lock that cannot be serialized"):
        Report(0, serializer).frozen(Lock())


def test_nothing_ran_is_no_record() -> None:
    """A report without jobs is empty."""
    made = report_of()
    made.flush(0)
    assert made.ran == []


def test_a_job_that_printed_stands_alone() -> None:
    """With its output in the note; what was printed at several times is joined."""
    made = report_of("a", "b", "c")
    made.printed(6, taken(b"x"))
    made.printed(6, taken(b"y", b"z"))
    made.flush(0)
    assert spans(made) == [(5, 6, "succeeded"), (6, 7, "succeeded"), (7, 8, "succeeded")]
    note = made.ran[1].note
    assert note is not None
    assert (note.stdout, note.stderr) == (b"xy", b"z")


def test_output_of_the_failing_job_is_in_its_note() -> None:
    """What a job printed before it failed is no neighbour's."""
    made = report_of("a")
    made.printed(6, taken(b"before"))
    made.flush(0)
    made.fail(6, 7, ValueError("x"), 0, taken(b" after"))
    made.values.append("c")
    made.flush(0)
    assert spans(made) == [(5, 6, "succeeded"), (6, 7, "failed"), (7, 8, "succeeded")]
    note = made.ran[1].note
    assert note is not None
    assert note.stdout == b"before after"


def test_an_output_in_a_spool_is_named_in_its_record() -> None:
    """All of it, in order: the agent has the file."""
    made = report_of("a")
    made.printed(5, Taken((((0, 70_000), b"x"), ()), (0, 0)))
    made.printed(5, Taken(((b"y",), (b"z",)), (3, 0)))
    made.flush(0)
    (ran,) = made.ran
    assert ran.note is not None
    assert (ran.note.stdout, ran.spooled, ran.lost) == (b"", (((0, 70_000), b"x", b"y"), (b"z",)), (3, 0))


def test_times_are_shared_out() -> None:
    """The seconds between flushes are those of the jobs flushed."""
    made = Report(0, "pickle")
    made.begin(1_000_000_000)
    made.values += [1, 2]
    made.printed(1, taken(b"x"))
    made.flush(3_000_000_000)
    made.fail(2, 3, ValueError(), 7_000_000_000, None)
    assert [ran.elapsed for ran in made.ran] == [1.0, 1.0, 4.0]


@pytest.mark.parametrize("serializer", ["pickle", "msgpack"])
def test_values_that_cannot_be_serialized_fail_alone(serializer: str) -> None:
    """Their neighbours succeed; only a pickle batch carries the exception."""
    made = report_of(1, Lock(), Lock(), 2, serializer=serializer)
    made.flush(0)
    assert spans(made) == [(5, 6, "succeeded"), (6, 7, "failed"), (7, 8, "failed"), (8, 9, "succeeded")]
    note = made.ran[1].note
    assert note is not None
    assert "ResultNotPicklable: the job returned a lock" in note.cause
    if serializer == "pickle":
        assert isinstance(payload.loads(made.bodies[1]), ResultNotPicklable)
    else:
        assert made.bodies[1] == b""


def test_values_too_large_for_a_frame_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are halved until they fit; a value that never does has failed."""
    monkeypatch.setattr(job_report, "VALUE_BYTES", 1000)
    made = report_of(b"x" * 600, b"y" * 600, b"z" * 2000)
    made.flush(0)
    assert spans(made) == [(5, 6, "succeeded"), (6, 7, "succeeded"), (7, 8, "failed")]
    note = made.ran[2].note
    assert note is not None
    assert "bytes; at most 1000 can be sent" in note.cause


def test_an_exception_too_large_for_a_frame_leaves_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker could never deliver it."""
    monkeypatch.setattr(job_report, "VALUE_BYTES", 1000)
    made = report_of()
    made.fail(5, 6, ValueError("all of this", b"x" * 2000), 0, None)
    assert (made.bodies, made.ran[0].size) == ([b""], 0)
    assert made.ran[0].note is not None
    assert made.ran[0].note.cause.startswith("ValueError: ('all of this'")


def test_failure_that_cannot_be_pickled_has_an_empty_body() -> None:
    """So has any failure of a msgpack batch: nothing of it is ever unpickled."""

    class Odd(Exception):  # noqa: N818
        def __reduce__(self) -> Any:
            raise SystemExit

    made = Report(0, "pickle")
    made.fail(0, 1, Odd(), 0, None)
    other = Report(0, "msgpack")
    other.fail(0, 1, ValueError(), 0, None)
    assert made.bodies == other.bodies == [b""]


def test_long_traceback_keeps_both_ends() -> None:
    """What Note allows, with a line for what is cut."""
    made = Report(0, "pickle")
    made.fail(0, 1, ValueError("x" * 200_000 + "end"), 0, None)
    note = made.ran[0].note
    assert note is not None
    assert len(note.traceback) < 65_536
    assert "characters cut" in note.traceback
    assert note.traceback.endswith("end\n")
    assert len(note.cause) <= 1000


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ValueError("one\ntwo"), "ValueError: one"),
        (KeyError("k"), "KeyError: 'k'"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (ValueError("\udcff"), "ValueError: \\udcff"),
        (SyntaxError("bad", ("f.py", 1, 1, "x =")), "SyntaxError: bad"),
    ],
)
def test_cause_is_one_line(error: BaseException, cause: str) -> None:
    """Type and first line of the text, in characters that can travel."""
    assert cause_of(error) == cause


def test_commands_are_never_put_together() -> None:
    """Each has a record with its code; why it did not succeed is its cause."""
    made = CommandReport(3, "pickle")
    made.add(3, CommandEnd([b"true"], 0, ""), 0, None)
    made.add(4, CommandEnd([b"false"], 1, "exit code 1"), 0, taken(b"out", b"err"))
    assert [(ran.state, ran.note.returncode, ran.note.stdout) for ran in made.ran if ran.note] == [
        (JobState.SUCCEEDED, 0, b""), (JobState.FAILED, 1, b"out")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "check", "returncode", "cause"),
    [
        ([b"/bin/sh", b"-c", b"exit 3"], True, 3, "exit code 3"),
        ([b"/bin/sh", b"-c", b"exit 127"], True, 127, "exit code 127"),
        ([b"/bin/sh", b"-c", b"exit 3"], False, 3, ""),
        ([b"/bin/sh", b"-c", b"kill -9 $$"], True, -9, "killed by SIGKILL"),
        ([b"/no\xff"], True, 127, "cannot start '/no\\\\xff': No such file or directory"),
    ],
)
def test_end_of_a_command(words: list[bytes], check: bool, returncode: int | None, cause: str) -> None:
    """Exit codes, signals and what could not be started, in plain words; its record says the last."""
    end = CommandEnd.of(CommandTemplate((b"x",)), words, {}, check=check)
    assert (end.returncode, end.cause) == (returncode, cause)
    made = CommandReport(0, "pickle")
    made.add(0, end, 0, None)
    assert made.ran[0].unstarted == cause.startswith("cannot start")


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE])
def test_a_host_without_room_for_a_process_has_not_started_it(number: int) -> None:
    """As one where the program is missing: another may have it."""

    def no_room(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    end = CommandEnd.of(CommandTemplate((b"x",)), [b"x"], {}, check=True, run=no_room)
    assert (end.is_unstarted, end.returncode) == (True, None)


def test_a_traceback_has_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where Python is told to print its own in colours, wherever it prints them."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("PYTHON_COLORS", "1")
    made = report_of()
    try:
        int("no number")
    except ValueError as error:
        made.fail(5, 6, error, 0, None)
    note = made.ran[0].note
    assert note is not None
    assert "ValueError: invalid literal" in note.traceback
    assert "\x1b" not in note.traceback + note.cause
