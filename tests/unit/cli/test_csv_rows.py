"""Comma-separated values."""

from __future__ import annotations

import csv
import io

import pytest

from penstock.cli.csv_rows import defused, write_row


def test_what_a_reader_gets_is_what_was_written(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Also with line ends of all kinds in it, quotation marks, commas, and bytes of names that are no UTF-8."""
    row = ["a\rb", "c\r\nd", "e\nf", 'g"h', "i,j", " k ", "", "l\udcff"]
    write_row(row)
    written = capfdbinary.readouterr().out
    assert written.endswith(b"\xff\n")
    text = io.StringIO(written.decode("utf-8", "surrogateescape"), newline="")
    assert list(csv.reader(text)) == [row]


def test_a_plain_row_is_plain(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """A line as `cut` and `sort` take it."""
    write_row(["a", 1, None])
    assert capfdbinary.readouterr().out == b"a,1,\n"


def test_a_formula_is_text_and_a_number_a_number() -> None:
    """By what a cell begins with, also behind blanks; what is no text is no formula."""
    for formula in ("=1+1", "+x", "-x", "@x", " =1", "\t=1", "\r=1", "\n@x", "-1+cmd|' /C calc'!A0"):
        assert defused(formula) == f"'{formula}"
    for harmless in ("", "a=1", "1", "-1", "+1.5e-3", -1, None, "'=1"):
        assert defused(harmless) == harmless
