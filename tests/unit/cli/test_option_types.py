"""Sizes and durations."""

from __future__ import annotations

import click
import pytest

from penstock.cli.option_types import DURATION, POSITIVE_DURATION, SIZE


@pytest.mark.parametrize(
    ("text", "size"),
    [("10", 10), ("10k", 10_000), ("10K", 10_240), ("1ki", 1024), ("1.5M", 1_572_864), (".5g", 500_000_000)],
)
def test_small_letters_are_thousands(text: str, size: int) -> None:
    """As GNU parallel has it."""
    assert SIZE.convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "k", "1kb", "1 k", "1e3", "0.1"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """With those that are."""
    with pytest.raises(click.BadParameter, match="write bytes"):
        SIZE.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "seconds"), [("2", 2), (".5", 0.5), ("0.25s", 0.25), ("1M", 60), ("1h.5m", 3630), (5, 5)]
)
def test_durations(text: str | int, seconds: float) -> None:
    """Seconds need no unit, letters are of either size, and a settings file may have a number."""
    assert DURATION.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["auto", "1sauto", "123ms", "-1", "1.2.3", "nan", -1.0])
def test_what_is_no_duration_is_refused(text: str | float) -> None:
    """GNU parallel takes 123ms for two hours."""
    with pytest.raises(click.BadParameter, match=f"^{text!r} is not a duration: write seconds"):
        DURATION.convert(text, None, None)


def test_a_duration_is_there_and_may_have_to_be_more_than_nothing() -> None:
    """A variable that is not set is no duration, and a time limit of 0 would end every job."""
    with pytest.raises(click.BadParameter, match="it is empty"):
        DURATION.convert("", None, None)
    assert DURATION.convert("0s", None, None) == 0
    with pytest.raises(click.BadParameter, match="it is 0"):
        POSITIVE_DURATION.convert("0s", None, None)
