"""What a job comes to on stdout and on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli.job_output import Shown, Tagged, complaint, json_record
from penstock.client.records import FinalState, Outcome


def outcome(state: FinalState = "succeeded", stdout: bytes = b"", stderr: bytes = b"", **fields: Any) -> Outcome:
    sizes = {"stdout_size": len(stdout), "stderr_size": len(stderr)}
    return Outcome(job_id="ab:7", index=7, position=1, state=state, stdout=stdout, stderr=stderr, **{**sizes, **fields})


def printed(found: Outcome) -> bytes:
    return b"".join(Shown(found, lambda *_: iter(())).stdout())


def test_call_prints_what_it_printed_and_then_its_value() -> None:
    """None is no output; text is not quoted; a surrogate goes back to the byte it was."""
    assert printed(outcome(stdout=b"log\n", value="a\udcff")) == b"log\na\xff\n"
    assert printed(outcome(stdout=b"log\n", value=None)) == b"log\n"
    assert printed(outcome(value=[1, 2])) == b"[1, 2]\n"


def test_command_prints_what_it_printed() -> None:
    """A command's value is its output."""
    assert printed(outcome(stdout=b"out", value="ignored", returncode=0)) == b"out"


def test_a_complaint_says_what_the_job_is() -> None:
    """Where that is known, also of a command that printed nothing; on one line, a long one shortened."""
    silent = outcome("failed", returncode=3, cause="exit code 3")
    assert complaint(silent, "exit 3; : x") == b"penstock: ab:7 failed: exit code 3: exit 3; : x\n"
    assert complaint(outcome("cancelled", cause="cancelled"), "f(1)") == b"penstock: ab:7 cancelled: f(1)\n"
    assert len(complaint(silent, "x" * 1_000 + "\n")) < 150


def test_exit_code_is_no_complaint() -> None:
    """grep and its like exit with 1 without being wrong; their own stderr passes."""
    failed = outcome("failed", returncode=1, stderr=b"err\n", cause="exit code 1")
    assert complaint(failed) == b""
    assert b"".join(Shown(failed, lambda *_: iter(())).stderr()) == b"err\n"


def test_any_other_failure_is_named() -> None:
    """Which job, what became of it, and why."""
    assert complaint(outcome("timed_out", cause="too long")) == b"penstock: ab:7 timed_out: too long\n"
    assert complaint(outcome("failed", cause="ValueError: x")) == b"penstock: ab:7 failed: ValueError: x\n"


def kept(_: Outcome, is_error: bool, start: int) -> Iterator[bytes | int]:
    """What is kept of 3,000 bytes: not those in the middle."""
    whole: list[bytes | int] = [] if is_error else [b"a" * 1000, 1000, b"c" * 1000]
    if start:
        whole[0] = b"a" * (1000 - start)
    return iter(whole)


def test_what_is_not_kept_is_counted_and_nothing_stands_in_its_place() -> None:
    """Output goes on to other programs; people are told beside it."""
    shown = Shown(outcome(stdout=b"a...c", stdout_size=3000, returncode=0), kept, (10, 0))
    assert b"".join(shown.stdout()) == b"a" * 990 + b"c" * 1000
    assert b"1,000 bytes of its stdout are missing" in shown.remarks()
    assert shown.stdout_size == 3000
    assert shown.whole().stdout == b"a" * 990 + b"c" * 1000


def test_a_record_of_a_long_output_is_one_line_of_json(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Written as it is read: a letter may be cut by the end of a part, and bytes may be no text."""
    whole = 'é"\\\n'.encode() * 100 + b"\xff"
    parts = [whole[at : at + 7] for at in range(0, len(whole), 7)]
    found = outcome(stdout=b"head", stdout_size=len(whole) + 5, returncode=0)
    json_record(Shown(found, lambda _, is_error, __: iter([] if is_error else [*parts, 5])))
    out, err = capfdbinary.readouterr()
    record = json.loads(out)
    assert (record["stdout"], record["stderr"]) == (whole.decode("utf-8", "backslashreplace"), "")
    assert (record["returncode"], out.count(b"\n")) == (0, 1)
    assert b"5 bytes of its stdout are missing" in err


@pytest.mark.parametrize("text", [b"", b"x", b"x\n", b"x\ny", b"\n\n", b"a\rb\n"])
@given(cuts=st.lists(st.integers(0, 6), max_size=3))
def test_tag_stands_before_every_line(text: bytes, cuts: list[int]) -> None:
    """Also before a last line without an end, however the text comes; nothing is added to nothing."""
    tagged, at, found = Tagged(b"t"), 0, b""
    for cut in [*sorted(cuts), len(text)]:
        found += tagged(text[at:cut])
        at = max(at, cut)
    lines = text.split(b"\n")
    wanted = b"\n".join(b"t\t" + line for line in lines)
    assert found == (wanted.removesuffix(b"t\t") if not lines[-1] else wanted)
    assert Tagged(None)(text) == text
