from __future__ import annotations

import io
import json
import sys
import time
from typing import Any

import pytest

from penstock.cli import output
from penstock.cli.output import (
    clipped,
    columns,
    duration,
    for_reader,
    in_local_time,
    json_line,
    outcome_record,
    padded,
    printable,
    value_text,
)
from penstock.client.records import CommandResult, Outcome


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "a b"),
        (4, "4"),
        (1.5, "1.5"),
        ([1, None], "[1, null]"),
        ({1}, "{1}"),
        (b"x", "b'x'"),
        (True, "true"),
        (float("nan"), "nan"),
    ],
)
def test_value_is_one_line(value: object, text: str) -> None:
    """Text as it is, what JSON can say as JSON, anything else by repr."""
    assert value_text(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 ms"), (0.0123, "12.3 ms"), (2.5, "2.5 s"), (59.96, "60 s"), (75, "1m15s"), (7300, "2h01m")],
)
def test_duration_has_a_unit(seconds: float, text: str) -> None:
    """Three digits are enough for people."""
    assert duration(seconds) == text


def test_names_cannot_move_the_cursor() -> None:
    """Control characters of a stranger's name are shown, not obeyed."""
    assert printable("a\x1b[2J\nü") == "a\\x1b[2J\\nü"
    assert printable("no UTF-8: \udcff") == "no UTF-8: \\xff"


class Stream(io.StringIO):
    """A terminal, or not."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def test_what_programs_wrote_moves_no_cursor_and_is_else_as_it_was() -> None:
    """Lines and tabs are kept on a terminal, and letters that are cut by the end of a part; a pipe gets the bytes."""
    whole = "ü\ta\x1b[2J\x9b1m\r\n\u202e".encode() + b"\xff\xc3"
    parts = [whole[at : at + 1] for at in range(len(whole))]
    assert b"".join(for_reader(Stream(is_terminal=False), parts)) == whole
    shown = b"".join(for_reader(Stream(is_terminal=True), parts)).decode()
    assert shown == "ü\ta\\x1b[2J\\x9b1m\\r\n\\u202e\\xff\\xc3"


def test_a_value_whose_repr_fails_is_shown_all_the_same() -> None:
    """A number that Python does not write in decimal, and an object that is broken."""

    class Broken:
        def __repr__(self) -> str:
            raise ValueError

    assert value_text(10**5_000) == "<number of 16610 bits>"
    assert "Broken" in value_text(Broken())


def test_instants_are_those_of_the_readers_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A station says UTC; who reads it has a zone."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert in_local_time("not before 2026-11-30 10:48:23 UTC, say") == "not before 2026-11-30 05:48:23, say"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_columns_are_as_wide_as_they_must_be(capsys: pytest.CaptureFixture[str]) -> None:
    """Cells stand under their head."""
    columns(("NAME", "N"), [("a", 10), ("longer", 1)])
    assert capsys.readouterr().out == "NAME    N\na       10\nlonger  1\n"


def test_wide_signs_take_two_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """What stands behind them is in line; what is cut is no wider than it may be."""
    columns(("NAME", "N"), [("日本", 10), ("ab", 1)])
    assert capsys.readouterr().out == "NAME  N\n日本  10\nab    1\n"
    assert padded("日本語", 8) == "日本語  "
    assert [clipped("日本語日本語", width) for width in (12, 11, 8)] == ["日本語日本語", "日本語日...", "日本..."]


def test_only_a_terminal_has_columns_that_shrink(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the elastic one gives way, so that no line is broken."""
    table = ("ID", "NAME", "N"), [("abc", "n" * 100, 1)]
    columns(*table, elastic="NAME")
    assert "n" * 100 in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    columns(*table, elastic="NAME")
    assert [len(line) for line in capsys.readouterr().out.splitlines()] == [40, 40]


def test_outcome_of_a_command_is_a_flat_record(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """A command's result is in its own fields; bytes that are no text are escaped."""
    outcome = Outcome(
        job_id="ab:0",
        index=0,
        position=1,
        state="failed",
        value=CommandResult([b"x"], 3),
        error=ValueError("no"),
        stdout=b"\xff\n",
        returncode=3,
    )
    record = outcome_record(outcome)
    assert "value" not in record
    json_line(record)
    written = json.loads(capfdbinary.readouterr().out)
    assert (written["state"], written["error"], written["stdout"]) == ("failed", "ValueError: no", "\\xff\n")


def test_value_without_a_json_form_is_written_by_repr(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """`--json` never fails on a value."""
    json_line({"value": {1, 2}})
    assert json.loads(capfdbinary.readouterr().out) == {"value": "{1, 2}"}


def no_number(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def read(value: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, int]:
    lost: list[None] = []
    monkeypatch.setattr(output, "_say_no_number", lambda: lost.append(None))
    return json.loads(output.json_bytes({"value": value}), parse_constant=no_number)["value"], len(lost)


def knot() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


def deep(levels: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(levels):
        made = [made]
    return made


@pytest.mark.parametrize(
    ("value", "read_as", "lost"),
    [
        (1.5, 1.5, 0),
        (float("nan"), None, 1),
        ([1, {"a": float("inf"), "b": -float("inf")}], [1, {"a": None, "b": None}], 2),
        ({(1, 2): "x", float("nan"): 1}, {"(1, 2)": "x", "nan": 1}, 0),
        ((1, {2}), [1, "{2}"], 0),
        (knot(), ["[[...]]"], 0),
    ],
)
def test_whatever_a_function_returns_is_json(
    value: Any, read_as: Any, lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers that are none are null and counted, keys and what has no form are text, a knot is cut."""
    assert read(value, monkeypatch) == (read_as, lost)


def test_what_is_nested_too_deeply_is_text_from_there_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """No reader would take it, and no recursion ends here."""
    assert read([float("nan"), deep(500)], monkeypatch)[1] == 1
