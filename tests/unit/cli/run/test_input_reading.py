"""How input becomes the arguments of jobs."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from penstock.cli.run.arguments import parse
from penstock.cli.run.input_reading import LONGEST, Arguments, Filling, Reading, continued, trimmed, unescaped
from penstock.errors import ConfigError


def read(reading: Reading, *words: str, colsep: str | None = None) -> list[str]:
    """The arguments of each item."""
    columns = re.compile(colsep.encode()) if colsep else None
    items, _ = reading.arguments(parse(words).sources, reading.separator(null=False), columns)
    return [b"|".join(item).decode() for item in items]


@pytest.mark.parametrize(
    ("reading", "words", "expected"),
    [
        (Reading(skip_first_line=True), [":::", "a", "b", ":::", "x", "y"], ["b|x", "b|y"]),
        (Reading(eof="b"), [":::", "a", "b", "c"], ["a"]),
        (Reading(no_run_if_empty=True), [":::", "", " ", "a"], ["a"]),
        (Reading(trim="r"), [":::", " a "], [" a"]),
        (Reading(link=True), [":::", "1", "2", "3", ":::", "a", "b"], ["1|a", "2|b", "3|a"]),
        (Reading(link=True), [":::", "1", "2", ":::"], []),
        (Reading(link=True), [":::", "1", "2"], ["1", "2"]),
        (Reading(header=":"), [":::", "n", "1", ":::", "m", "a", "b"], ["1|a", "1|b"]),
    ],
)
def test_options(reading: Reading, words: list[str], expected: list[str]) -> None:
    """Each does what it does in GNU parallel."""
    assert read(reading, *words) == expected


def test_columns_are_trimmed_unless_it_is_said_how() -> None:
    """--colsep implies --trim rl."""
    assert read(Reading(), ":::", " a , b ", colsep=",") == ["a|b"]
    assert read(Reading(trim="n"), ":::", " a , b ", colsep=",") == [" a | b "]


def test_the_header_of_a_table(tmp_path: Path) -> None:
    """It is cut at tabs, as every line of it, or where --colsep says."""
    table = tmp_path / "table"
    table.write_text("n\tv\n1\t2\n")
    items, names = Reading(header=":").arguments(parse(["::::", str(table)]).sources, b"\n", None)
    assert (names, list(items)) == ([b"n", b"v"], [(b"1", b"2")])
    items, names = Reading(header=":").arguments(parse([":::", "n,v", "1,2"]).sources, b"\n", re.compile(b","))
    assert (names, list(items)) == ([b"n", b"v"], [(b"1", b"2")])


def test_other_headers_are_refused() -> None:
    """What is not built is wrong use."""
    with pytest.raises(ConfigError, match="write --header :"):
        Reading(header="3").check()


def test_shuffled_input_is_the_same_in_another_order() -> None:
    """Nothing is lost, and combinations are shuffled too."""
    random.seed(1)
    words = [str(number) for number in range(50)]
    found = read(Reading(shuf=True), ":::", *words)
    assert found != words
    assert sorted(found) == sorted(words)


@pytest.mark.parametrize(
    ("text", "meant"),
    [(",", b","), (r"\t", b"\t"), (r"\n", b"\n"), (r"\0", b"\0"), (r"\x2c;", b",;"), ("é", "é".encode())],
)
def test_separators_are_typed_as_in_c(text: str, meant: bytes) -> None:
    """One or several bytes."""
    assert unescaped(text) == meant


def test_a_separator_is_something() -> None:
    """Else all of the input would be one item, or each byte."""
    with pytest.raises(ConfigError, match="-d needs the text"):
        unescaped("")


@pytest.mark.parametrize(("how", "expected"), [("n", b" a "), ("l", b"a "), ("r", b" a"), ("lr", b"a"), ("rl", b"a")])
def test_trim(how: str, expected: bytes) -> None:
    """At one end or at both."""
    assert trimmed(b" a ", how) == expected


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
