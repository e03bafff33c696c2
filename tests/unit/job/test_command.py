"""Templates of commands and their replacement strings."""

from __future__ import annotations

import shlex

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.job.command import CommandTemplate


def argv(template: str, *arguments: bytes, shell: bool = False, literal: bool = False) -> list[bytes]:
    words = tuple(word.encode() for word in ([template] if shell else template.split()))
    return CommandTemplate(words, shell=shell, literal=literal).argv(arguments, 8, 3)


@pytest.mark.parametrize(
    ("template", "arguments", "expected"),
    [
        ("gzip", [b"a"], [b"gzip", b"a"]),
        ("gzip", [b"a", b"b"], [b"gzip", b"a", b"b"]),
        ("mv {} {}.old", [b"a b"], [b"mv", b"a b", b"a b.old"]),
        ("echo {.}", [b"d.x/a.tar.gz"], [b"echo", b"d.x/a.tar"]),
        ("echo {.}", [b"d.x/a"], [b"echo", b"d.x/a"]),
        ("echo {/}", [b"d/a.gz"], [b"echo", b"a.gz"]),
        ("echo {//}", [b"d/e/a.gz"], [b"echo", b"d/e"]),
        ("echo {//}", [b"a.gz"], [b"echo", b"."]),
        ("echo {//}", [b"/a"], [b"echo", b"/"]),
        ("echo {/.}", [b"d/a.tar.gz"], [b"echo", b"a.tar"]),
        ("echo {#} {%}", [b"x"], [b"echo", b"8", b"3"]),
        ("cp {2} {1}", [b"a", b"b"], [b"cp", b"b", b"a"]),
        ("cp {-1} {1/.}", [b"d/a.c", b"b"], [b"cp", b"b", b"a"]),
        ("echo {3}.", [b"a"], [b"echo", b"."]),
        ("tar c {}", [b"a", b"b"], [b"tar", b"c", b"a", b"b"]),
        ("echo x{}y", [b"a", b"b"], [b"echo", b"xa by"]),
        ("find {} -exec {} {x} {0}", [b"."], [b"find", b".", b"-exec", b".", b"{x}", b"{0}"]),
    ],
)
def test_replacement_strings(template: str, arguments: list[bytes], expected: list[bytes]) -> None:
    """They mean what they mean in GNU parallel; without one the arguments are appended."""
    assert argv(template, *arguments) == expected


@given(st.binary())
def test_an_argument_is_one_word_whatever_is_in_it(argument: bytes) -> None:
    """Blanks, newlines, quotes, bytes that are no text: nothing is split and nothing interpreted."""
    assert argv("cat {}", argument) == [b"cat", argument]
    assert argv("cat", argument) == [b"cat", argument]


@given(st.text(alphabet=st.characters(exclude_characters="\0", codec="utf-8")))
def test_a_shell_gets_every_argument_quoted(argument: str) -> None:
    """With a shell the line is one word to sh, in which the argument is quoted."""
    words = argv("cat {} | wc", argument.encode(), shell=True)
    assert words[:2] == [b"/bin/sh", b"-c"]
    line = words[2].decode()
    assert line.endswith(" | wc")
    assert shlex.split(line.removesuffix(" | wc")) == ["cat", argument]


def test_a_shell_line_without_a_place_gets_the_arguments_appended() -> None:
    """Quoted, behind the line; parts of an argument are quoted after they are cut out."""
    assert argv("cat", b"a b", b"c", shell=True)[2] == b"cat 'a b' c"
    assert argv("cat {/} {#}", b"x y/it's", shell=True)[2] == b"cat 'it'\"'\"'s' 8"
    assert argv("cat {}", b"", shell=True)[2] == b"cat ''"


@pytest.mark.parametrize("shell", [False, True])
def test_literal_is_run_as_it_stands(shell: bool) -> None:
    """Nothing is replaced and nothing appended."""
    assert argv("echo {}", b"a", shell=shell, literal=True)[-1] == (b"echo {}" if shell else b"{}")


def test_template_travels() -> None:
    """Encoded and decoded it is the same."""
    template = CommandTemplate((b"a\xff", b"{}"), cwd=b"/\xfe", env={b"A": b"\xff"}, shell=True)
    assert CommandTemplate.decode(template.encode()) == template


def test_a_line_is_run_by_the_shell_that_was_asked_for() -> None:
    """By /bin/sh where nothing is said: so it was in templates that are older than the field."""
    old = msgspec.msgpack.encode({"words": [b"echo {}"], "shell": True})
    assert CommandTemplate.decode(old).argv([b"a"]) == [b"/bin/sh", b"-c", b"echo a"]
    assert CommandTemplate.decode(old).encode() == old
    bash = CommandTemplate((b"echo {}",), shell=True, interpreter=b"bash")
    assert CommandTemplate.decode(bash.encode()).argv([b"a"]) == [b"bash", b"-c", b"echo a"]


def test_what_a_job_is_given_is_sorted_out() -> None:
    """Its number if it does not know it by its place, its arguments, and what it reads; any bytes there."""
    words = [b"7", b"a", b"b\0"]
    template = CommandTemplate(words=(b"cat",))
    assert template.given(words, 1) == (1, words, None)
    assert CommandTemplate(words=(b"cat",), stdin=True).given(words, 2) == (2, [b"7", b"a"], b"b\0")
    both = CommandTemplate(words=(b"cat",), stdin=True, numbered=True)
    assert CommandTemplate.decode(both.encode()).given(words, 3) == (7, [b"a"], b"b\0")
