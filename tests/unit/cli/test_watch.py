from __future__ import annotations

from typing import Any

from penstock.cli.watch import complaint, printed, tagged
from penstock.job import JobState
from penstock.outcome import Outcome


def outcome(state: JobState = JobState.SUCCEEDED, **fields: Any) -> Outcome:
    return Outcome(job_id="ab:7", index=7, position=1, state=state, **fields)


def test_call_prints_what_it_printed_and_then_its_value() -> None:
    """None is no output; text is not quoted; a surrogate goes back to the byte it was."""
    assert printed(outcome(stdout=b"log\n", value="a\udcff")) == b"log\na\xff\n"
    assert printed(outcome(stdout=b"log\n", value=None)) == b"log\n"
    assert printed(outcome(value=[1, 2])) == b"[1, 2]\n"


def test_command_prints_what_it_printed() -> None:
    """A command's value is its output."""
    assert printed(outcome(stdout=b"out", value="ignored", returncode=0)) == b"out"


def test_exit_code_is_no_complaint() -> None:
    """grep and its like exit with 1 without being wrong; their own stderr passes."""
    assert complaint(outcome(JobState.FAILED, returncode=1, stderr=b"err\n", cause="exit code 1")) == b"err\n"


def test_any_other_failure_is_named() -> None:
    """Which job, what became of it, and why."""
    assert complaint(outcome(JobState.TIMED_OUT, cause="too long")) == b"penstock: ab:7 timed_out: too long\n"
    assert complaint(outcome(JobState.FAILED, cause="ValueError: x")) == b"penstock: ab:7 failed: ValueError: x\n"


def test_tag_stands_before_every_line() -> None:
    """Also before a last line without an end; nothing is added to nothing."""
    assert tagged(b"a\nb", b"t") == b"t\ta\nt\tb"
    assert tagged(b"", b"t") == b""
    assert tagged(b"a\n", None) == b"a\n"
