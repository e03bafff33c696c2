"""Commands that are put together before they travel."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli.run.composed_commands import Composer, given_of, text_of
from penstock.cli.run.replacement_strings import Naming, Strings
from penstock.errors import ConfigError
from penstock.job.command import CommandTemplate

PLUS = Strings(Naming(plus=True))


def ran(line: str, *arguments: bytes, shell: bool = False, repeats: bool = False, slot: int = 3) -> list[bytes]:
    """The argv that a worker makes of what travels."""
    words = [line.encode()] if shell else line.encode().split(b" ")
    composer = Composer(words, PLUS, shell=shell, repeats=repeats)
    template = CommandTemplate(composer.template(b"sh"))
    made = composer.compose(arguments, 5, 12)
    assert given_of(made) == list(arguments)
    return template.argv(made, 99, slot)


@pytest.mark.parametrize(
    ("line", "arguments", "repeats", "expected"),
    [
        ("echo {..}", [b"a.b.c"], False, [b"echo", b"a"]),
        ("echo", [b"a", b"b c"], False, [b"echo", b"a", b"b c"]),
        ("echo x{}y", [b"a", b"b c"], False, [b"echo", b"xa", b"b cy"]),
        ("echo x{}y {#}", [b"a", b"b c"], True, [b"echo", b"xay", b"xb cy", b"5"]),
        ("echo x{1}y{}", [b"a", b"b"], True, [b"echo", b"xaya", b"xayb"]),
        ("echo x{1}y", [b"a", b"b"], True, [b"echo", b"xay"]),
        ("echo {} {}", [b"a", b"b"], False, [b"echo", b"a", b"b", b"a", b"b"]),
        ("echo {2} {3}x {}", [b"a"], False, [b"echo", b"x", b"a"]),
        ("echo {} x", [], False, [b"echo", b"x"]),
        ("echo  {..}", [b""], False, [b"echo", b"", b""]),
        ("echo {%} a{%}b{..}", [b"a.b.c"], False, [b"echo", b"3", b"a3ba"]),
        ("{slot} {##} {0#}", [b"a"], False, [b"3", b"12", b"05"]),
    ],
)
def test_words(line: str, arguments: list[bytes], repeats: bool, expected: list[bytes]) -> None:
    """As GNU parallel's shell would have cut them, and each argument whole; the slot is filled in where it is known."""
    assert ran(line, *arguments, repeats=repeats) == expected


@pytest.mark.parametrize(
    ("line", "arguments", "repeats", "expected"),
    [
        ("cat {..} | wc", [b"a b.c.d"], False, b"cat 'a b' | wc"),
        ("cat", [b"a", b"b c"], False, b"cat a 'b c'"),
        ("cat x{} 'y'", [b"a", b"b"], False, b"cat xa b 'y'"),
        ("cat x{}  'y'", [b"a", b"b"], True, b"cat xa xb  'y'"),
        ("echo {%} {} {%}", [b"a b"], False, b"echo 3 'a b' 3"),
    ],
)
def test_lines(line: str, arguments: list[bytes], repeats: bool, expected: bytes) -> None:
    """Of a shell: every argument is quoted."""
    assert ran(line, *arguments, shell=True, repeats=repeats) == [b"sh", b"-c", expected]


def test_the_slot_and_a_list_do_not_go_together() -> None:
    """How many words there are must be known before."""
    with pytest.raises(ConfigError, match="--shell"):
        ran("echo {%} {}", b"a", b"b")


@given(st.binary(min_size=1).filter(lambda one: b"\0" not in one))
def test_an_argument_is_one_word_whatever_is_in_it(argument: bytes) -> None:
    """Nothing in it is taken for a replacement string, here or on the worker."""
    assert ran("echo x{} {%}", argument) == [b"echo", b"x" + argument, b"3"]
    assert ran("echo {:0}", argument) == [b"echo", argument]


def test_the_length_is_that_of_the_line() -> None:
    """As it would be typed."""
    composer = Composer([b"echo", b"x{}"], PLUS, shell=False, repeats=True)
    assert composer.length((b"a b", b"c")) == len("echo 'xa b' xc")


def test_texts_of_tags() -> None:
    """The same strings, nothing quoted."""
    assert text_of(PLUS.parse(b"{#}: {} {2..}"), [b"a b", b"c.d.e"], 3) == b"3: a b c.d.e c"
