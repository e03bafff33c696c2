"""How many arguments a job gets."""

from __future__ import annotations

import pytest

from penstock.cli.run.arguments_per_job import LONGEST, Arguments, Filling, continued
from penstock.errors import ConfigError


def groups(filling: Filling, letters: str, count: int | None = None, slots: int = 1) -> list[str]:
    """What each job of ``echo`` gets."""

    def length(arguments: Arguments) -> int:
        return len(b" ".join([b"echo", *arguments]))

    items = ((letter.encode(),) for letter in letters.split())
    return [b" ".join(group).decode() for group in filling.groups(items, count, slots, length)]


@pytest.mark.parametrize(
    ("filling", "count", "slots", "expected"),
    [
        (Filling(context=True), None, 1, ["1 2 3 4 5 6 7"]),
        (Filling(context=True), None, 3, ["1 2 3", "4 5 6", "7"]),
        (Filling(many=True), None, 2, ["1 2 3 4", "5 6 7"]),
        (Filling(xargs=True), None, 3, ["1 2 3 4 5 6 7"]),
        (Filling(context=True), 3, 1, ["1 2 3", "4 5 6", "7"]),
        (Filling(context=True), 3, 4, ["1 2 3", "4 5 6", "7"]),
        (Filling(context=True), 4, 2, ["1 2 3 4", "5 6", "7"]),
        (Filling(many=True, max_chars=11), None, 1, ["1 2 3", "4 5 6", "7"]),
        (Filling(max_chars=11), None, 1, list("1234567")),
        (Filling(max_chars=11), 5, 4, ["1 2 3", "4 5 6", "7"]),
    ],
)
def test_groups(filling: Filling, count: int | None, slots: int, expected: list[str]) -> None:
    """As many as fit, and the last ones spread over the slots."""
    assert groups(filling, "1 2 3 4 5 6 7", count, slots) == expected


def test_no_input_is_no_job() -> None:
    """Also where there would be room."""
    assert groups(Filling(context=True), "") == []


def test_what_fits_no_line_is_refused() -> None:
    """By what it begins with."""
    with pytest.raises(ConfigError, match="with b'long' has 9 bytes, more than 8"):
        groups(Filling(max_chars=8), "a long b")


def test_a_line_is_no_longer_than_the_system_takes() -> None:
    """Whatever is allowed."""
    found = [Filling(max_chars=most).longest for most in (None, 100, LONGEST + 1)]
    assert found == [LONGEST, 100, LONGEST]


def test_a_line_that_ends_with_a_blank_goes_on() -> None:
    """As in xargs."""
    assert list(continued(iter([(b"a ",), (b"b",), (b"c",), (b"d ",)]))) == [(b"a b",), (b"c",), (b"d ",)]
