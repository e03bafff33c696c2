"""The line that says how far a batch is."""

from __future__ import annotations

import pytest

from penstock.cli.run.progress import can_take_back, line


@pytest.mark.parametrize("columns", [10, 20, 40, 60, 80, 200])
def test_it_never_wraps(columns: int) -> None:
    """The bar gives way to the numbers; a line that wrapped could not be taken back."""
    text = line(123_456, 1_000_000, 42, 1234.5, columns)
    assert len(text) < columns
    assert text.startswith("[") == (columns >= 80)
    assert ("42 failed" in text) == (columns >= 40)


def test_it_says_what_is_known() -> None:
    """Without a total there is no bar and no time to go; at the end nothing is left."""
    assert line(3, None, 0, 1.0, 80) == "3/?  0 failed  1.0/s"
    assert line(0, 4, 0, 0.0, 80) == f"[{'-' * 24}] 0/4  0 failed  0.0/s"
    assert line(2, 4, 1, 0.5, 80) == f"[{'#' * 12}{'-' * 12}] 2/4  1 failed  0.5/s  4 s left"
    assert line(4, 4, 1, 0.5, 80) == f"[{'#' * 24}] 4/4  1 failed  0.5/s"


@pytest.mark.parametrize(
    ("environment", "drawn"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({}, False), ({"TERM": "xterm", "CI": "true"}, False)],
)
def test_only_a_terminal_that_can_take_a_line_back_has_it(environment: dict[str, str], drawn: bool) -> None:
    """Not a typewriter, and not the log of a CI job, though that may call itself a terminal."""
    assert can_take_back(True, environment) == drawn
    assert not can_take_back(False, environment)
