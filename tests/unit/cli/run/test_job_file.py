"""Input whose lines are commands."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.cli.run import job_file
from penstock.cli.run.arguments import InputSource
from penstock.client import command_line
from penstock.errors import ConfigError
from support.stations import LIMIT

LINES = [b"# first", b"echo 'a  b'", b"", b"true"]


def commands(lines: Iterator[bytes], *sources: InputSource, shell: bool = False) -> Iterator[list[bytes]]:
    return job_file.commands(((line,) for line in lines), shell=shell, sources=sources, separator=b"\n")


def test_comments_and_empty_lines_are_no_jobs() -> None:
    """With a shell and without."""
    words = InputSource(words=["x"])
    assert list(commands(iter(LINES), words)) == [[b"echo", b"a  b"], [b"true"]]
    assert list(commands(iter(LINES), words, shell=True)) == [[b"echo 'a  b'"], [b"true"]]


def test_a_file_is_looked_at_before_its_first_line_is_given_out(tmp_path: Path) -> None:
    """Nothing is half done; the line's number is that of the file."""
    file = tmp_path / "jobs"
    file.write_bytes(b"# x\ntrue\necho $HOME\n")
    with pytest.raises(ConfigError, match="line 3, "):
        commands(iter([]), InputSource(file=str(file)))


def test_a_file_on_stdin_is_looked_at_from_where_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is still all there then."""
    file = tmp_path / "jobs"
    file.write_bytes(b"echo $BEFORE\ntrue\nfalse\n")
    with file.open("rb") as opened:
        os.lseek(opened.fileno(), len(b"echo $BEFORE\n"), os.SEEK_SET)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(opened))
        source = InputSource(file="-")
        assert list(commands(source.items(b"\n"), source)) == [[b"true"], [b"false"]]


def test_a_stream_is_looked_at_as_far_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first line is not given out if a bad one came with it."""
    monkeypatch.setattr(command_line, "HEADSTART", LIMIT)
    with pytest.raises(ConfigError, match="line 2, "):
        commands(iter([b"true", b"echo *"]), InputSource(file="/dev/fd/63"))


def test_a_slow_stream_ends_at_its_bad_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came before it is given out."""
    more = threading.Event()

    def slow() -> Iterator[bytes]:
        yield b"true"
        more.wait(LIMIT)
        yield b"echo $X"

    monkeypatch.setattr(command_line, "HEADSTART", 0.01)
    found = commands(slow(), InputSource(file="/dev/fd/63"))
    assert next(found) == [b"true"]
    more.set()
    with pytest.raises(ConfigError, match="line 2, "):
        next(found)


def test_a_stream_that_ends_in_time_is_given_out_whole() -> None:
    """In its order."""
    assert list(job_file.held(iter([[b"a"], [b"b"]]), LIMIT)) == [[b"a"], [b"b"]]


def test_a_line_may_call_a_function_of_bash(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is exported."""
    monkeypatch.setenv("BASH_FUNC_hello_there%%", "() { :\n}")
    found = list(commands(iter([b"hello_there 'a b'"]), InputSource(words=["x"])))
    assert found == [[b"bash", b"-c", b'hello_there "$@"', b"hello_there", b"a b"]]
