"""What errors have in common that are alike."""

from __future__ import annotations

import json
from types import TracebackType

import pytest

from penstock.job.error_pattern import CHARS, KEY_BYTES, PATTERN_CHARS, key_of, pattern_of, place_of

ALIKE = (
    ("ValueError: could not convert string to float: 'abc'", 'ValueError: could not convert string to float: "it\'s"'),
    ("KeyError: 'a'", "KeyError: 'b'"),
    ("RuntimeError: job 17 took 3.5e-7 s, 50%", "RuntimeError: job 4 took 12 s, 7%"),
    ("RuntimeError: <Foo object at 0x7fab3c010>", "RuntimeError: <Foo object at 0x7fffffff0>"),
    (
        "RuntimeError: no row 123e4567-e89b-12d3-a456-426614174000",
        "RuntimeError: no row " + "-".join(["0" * 8] + ["a" * 4] * 3 + ["f" * 12]),
    ),
    ("RuntimeError: commit deadbeef12 is gone", "RuntimeError: commit 00ff00ff00ff00ff is gone"),
    ("OSError: cannot read /tmp/a/7.csv", "OSError: cannot read /home/ann/data.txt"),
    ("OSError: cannot read in/7.csv", "OSError: cannot read in/other/8.csv"),
    ("OSError: GET https://example.org/a?b=1 failed", "OSError: GET http://localhost:80/ failed"),
    ("ValueError: shapes (3, 4) do not fit", "ValueError: shapes (1, 2, 3) do not fit"),
    ("RuntimeError: since 2026-12-01T03:04:05Z", "RuntimeError: since 1999-01-31T13:14:15Z"),
    ("the process died of SIGSEGV, pid 4711", "the process died of SIGSEGV, pid 12"),
)
APART = (
    ("ValueError: bad 1", "TypeError: bad 1"),
    ("app.Http404: no", "app.Http500: no"),
    ("RuntimeError: disk is full", "RuntimeError: disk is gone"),
    ("RuntimeError: can't read, don't know 'a'", "RuntimeError: can't write, don't know 'a'"),
    ("exit code 3", "exit code 4"),
    ("exit code 1: sha256sum: no", "exit code 1: sha512sum: no"),
    ("killed by SIGUSR1", "killed by SIGUSR2"),
)


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_what_differs_from_job_to_job_makes_no_difference(one: str, other: str) -> None:
    """Errors that differ in a number, an id, a path, an address or a quoted text have one pattern."""
    assert pattern_of(one) == pattern_of(other)


@pytest.mark.parametrize(("one", "other"), APART)
def test_type_words_exit_code_and_signal_make_a_difference(one: str, other: str) -> None:
    """Errors that differ in these have two patterns, and two keys."""
    assert pattern_of(one) != pattern_of(other)
    assert key_of(pattern_of(one)) != key_of(pattern_of(other))


def test_a_pattern_can_be_read() -> None:
    """It is the text of the error as people know it, with a mark for what was left out, and its place."""
    assert pattern_of("ValueError: no 'x' in 7", place="app.py:parse") == "ValueError: no '…' in … (app.py:parse)"


def test_of_a_command_the_last_line_that_it_wrote_counts() -> None:
    """Two commands that end with the same exit code are told apart by what they say last."""
    one = pattern_of("exit code 1", stderr=b"warning: 3\nno such table: jobs7\n\n")
    assert one == "exit code 1: no such table: jobs…"
    assert one == pattern_of("exit code 1", stderr=b"no such table: jobs12")
    assert one != pattern_of("exit code 1", stderr=b"no such column: jobs12")


@pytest.mark.parametrize("text", ["'", "\"'", "a/", "/a", "1,", "-", "\\", "....//", " '", "\udcff", "\0", "f", "…, "])
def test_hostile_text_makes_a_short_pattern(text: str) -> None:
    """A megabyte of what expressions stumble over is looked at only at its beginning; the pattern can be sent."""
    huge = text * (1_000_000 // len(text))
    pattern = pattern_of(huge, stderr=huge.encode("utf-8", "replace"), place="p" * 200)
    assert len(pattern) <= PATTERN_CHARS
    assert pattern == pattern_of(huge[:CHARS], stderr=huge.encode("utf-8", "replace"), place="p" * 200)
    assert len(key_of(pattern)) == KEY_BYTES


def _trace(call: object) -> TracebackType | None:
    try:
        call()  # type: ignore[operator]
    except Exception as error:  # noqa: BLE001
        return error.__traceback__
    raise AssertionError("it did not fail")


def test_the_place_is_the_innermost_of_the_users_own_code() -> None:
    """An error that a library raises deep inside is placed where the user's code called it."""

    class Reader:
        def parse(self) -> object:
            return json.loads("{")

    name = "test_error_pattern.py:test_the_place_is_the_innermost_of_the_users_own_code.Reader.parse"
    assert place_of(_trace(Reader().parse), "/nowhere/") == name


def test_without_code_of_the_user_any_place_will_do_but_ours() -> None:
    """A library's function as the job itself: the place is in the library, never in penstock."""
    trace = _trace(lambda: json.loads("{"))
    assert trace is not None
    inner = trace.tb_next
    assert inner is not None
    assert place_of(inner.tb_next, "/nowhere/") == "decoder.py:JSONDecoder.raw_decode"
    assert place_of(inner.tb_next, json.__file__.removesuffix("__init__.py")) == ""
