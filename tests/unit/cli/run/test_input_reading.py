"""How input becomes the arguments of jobs."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from penstock.cli.run.arguments import parse
from penstock.cli.run.input_reading import Reading, trimmed, unescaped
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
