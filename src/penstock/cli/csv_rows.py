"""Comma-separated values that every reader of them takes (RFC 4180), in bytes."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from penstock.cli.output import write

LINE_ENDS = "\r\n"
"""To the standard library a field with either of them needs quotation marks only if its own lines end so."""

FORMULA = re.compile(r"\s*[=+\-@]|[\t\r\n]")
"""What a spreadsheet takes a cell for that begins so, quoted or not."""
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
"""A number may begin with a sign."""


def defused(cell: object) -> object:
    """The cell, with an apostrophe before text that a spreadsheet would run."""
    if not isinstance(cell, str) or not FORMULA.match(cell) or NUMBER.fullmatch(cell):
        return cell
    return f"'{cell}"


def write_row(cells: Sequence[object]) -> None:
    """A line, ended as text files are here. Bytes of file names that are no UTF-8 are what they were."""
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator=LINE_ENDS).writerow(cells)
    text = line.getvalue().removesuffix(LINE_ENDS)
    write(text.encode("utf-8", "surrogateescape") + b"\n")
