"""Commands as a person would type them, on one line."""

from __future__ import annotations

import pytest

from penstock.job.command import CommandTemplate
from penstock.job.display import command_text, command_title, printable, shortened


@pytest.mark.parametrize(
    ("template", "arguments", "slot", "text"),
    [
        (CommandTemplate((b"echo", b"{}", b"{#}", b"{%}")), [b"a b"], 3, b"echo 'a b' 7 3"),
        (CommandTemplate((b"echo", b"{}", b"{%}")), [b"{%}"], None, b"echo '{%}' {%}"),
        (CommandTemplate((b"exit 3; :", b"{}"), shell=True), [b"a b"], 1, b"exit 3; : 'a b'"),
        (CommandTemplate((b"echo x > {%}",), shell=True), [b"y"], None, b"echo x > {%}"),
        (CommandTemplate((b"/bin/sh", b"-c", b"{}")), [b"a | b"], 1, b"a | b"),
        (CommandTemplate((b"sh", b"-c", b"a | b"), literal=True), [], 1, b"sh -c 'a | b'"),
        (CommandTemplate((b"cat",)), [b"\xff"], 1, b"cat '\xff'"),
        (CommandTemplate((b"zsh", b"-c", b"{}"), interpreter=b"zsh"), [b"a | b"], 1, b"a | b"),
        (CommandTemplate((b"bash", b"-c", b"{}")), [b"a | b"], 1, b"bash -c 'a | b'"),
        (CommandTemplate((b"bash", b"-c", b'f "$@"', b"f", b"{}")), [b"a b"], 1, b"f 'a b'"),
    ],
)
def test_a_command_as_it_would_be_typed(
    template: CommandTemplate, arguments: list[bytes], slot: int | None, text: bytes
) -> None:
    """Quoted where a shell would ask for it; the slot's number is left open where none is known."""
    assert command_text(template, arguments, 7, slot) == text


def test_the_title_of_commands_is_what_they_share() -> None:
    """Before anything is replaced; of what is no template there is none."""
    assert command_title(CommandTemplate((b"gzip", b"-9", b"{}")).encode()) == "gzip -9 '{}'"
    assert command_title(CommandTemplate((b"gzip {}",), shell=True).encode()) == "gzip {}"
    assert command_title(b"f") == ""


@pytest.mark.parametrize("most", [10, 40, 100])
def test_a_long_text_keeps_its_beginning_and_its_end(most: int) -> None:
    """On one line, as long as it may be, also if it is full of what has to be escaped."""
    for text in ("a" * 500 + "z", "\n" * 500 + "z", "a\x1b[31m" * 1_000 + "z", "x" * (most + 1)):
        short = shortened(text, most)
        assert len(short) == most
        assert "..." in short
        assert short[-1] == text[-1]
        assert short == printable(short)
    assert shortened("a\tb", most) == r"a\tb"
