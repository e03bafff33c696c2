"""What --pipe asks for."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.cli.run.input_blocks import AtSeparator, EveryLines, EveryRecords
from penstock.cli.run.one_run import RunOptions
from penstock.cli.run.pipe import _cut, kept
from penstock.cli.run.run import command as run
from penstock.cli.run.work import Work
from penstock.errors import ConfigError


def work(*words: str) -> Work:
    """What a command line asks for."""
    asked = run.make_context("run", list(words)).params
    return Work.of({name: value for name, value in asked.items() if name not in RunOptions._fields})


@pytest.mark.parametrize(
    ("options", "ends"),
    [
        ([], AtSeparator(b"\n", b"")),
        (["--recend", r"\0"], AtSeparator(b"\0", b"")),
        (["--recend", r"a\n\t\\\"\q"], AtSeparator(b'a\n\t\\"\\q', b"")),
        (["--recend", ""], AtSeparator(b"", b"")),
        (["--recstart", ">"], AtSeparator(b"", b">")),
        (["--recstart", ">", "--recend", "."], AtSeparator(b".", b">")),
        (["-N1"], EveryRecords(b"\n", b"", 1)),
        (["-n", "3", "--recend", ","], EveryRecords(b",", b"", 3)),
        (["-N3", "-L4"], EveryRecords(b"\n", b"", 12)),
        (["-L", "4"], EveryLines(4)),
    ],
)
def test_where_blocks_end(options: list[str], ends: Any) -> None:
    """By the options of GNU parallel."""
    cut = _cut(work("--pipe", "--block", "10k", *options, "cat"))
    assert (cut.ends, cut.size) == (ends, 10_000)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cat", ":::", "a"], "write `< FILE`"),
        (["-a", "f", "cat"], "write `< FILE`"),
        ([], "needs a COMMAND"),
        (["-0", "cat"], r"--recend '\\0'"),
        (["--colsep", ",", "cat"], "--colsep exclude"),
        (["--one", "cat"], "--one exclude"),
        (["--once", "x", "cat"], "--once exclude"),
        (["-L2", "--recend", ",", "cat"], "exclude each other"),
        (["--block", "1T", "cat"], "at most"),
        (["--call", "math:sqrt"], "--call exclude"),
    ],
)
def test_what_contradicts_itself_is_refused(words: list[str], said: str) -> None:
    """With what to write instead."""
    with pytest.raises(ConfigError, match=said):
        work("--pipe", *words)


@pytest.mark.parametrize("options", [["--block", "5"], ["--recend", ","], ["--recstart", ","]])
def test_options_of_pipe_without_it_are_refused(options: list[str]) -> None:
    """They would be forgotten."""
    with pytest.raises(ConfigError, match="is about the blocks of --pipe"):
        work(*options, "echo")


def test_calls_have_no_niceness() -> None:
    """They run in a process that lasts."""
    with pytest.raises(ConfigError, match="--nice is for commands"):
        work("--nice", "5", "--call", "math:sqrt")


def test_what_is_remembered_is_not_the_block() -> None:
    """Only how large it was, for the joblog."""
    found = kept([b"", b"block"])
    assert (found, found.sent) == ([b""], 5)
