"""What a joblog tells whoever goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.cli.run.halt import Counts
from penstock.cli.run.joblog import HEAD
from penstock.cli.run.joblog_resume import Logged
from penstock.errors import ConfigError


def line(seq: int, command: str, exitval: int = 0, signal: int = 0) -> bytes:
    """Of a joblog."""
    return b"%d\t:\t1796033449.654\t     0.016\t0\t2\t%d\t%d\t%s\n" % (seq, exitval, signal, command.encode())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of the joblog."""
    return tmp_path / "log"


def logged(path: Path, *lines: bytes, failed_too: bool = False) -> Logged:
    """What it tells."""
    path.write_bytes(b"".join(lines))
    return Logged(str(path), failed_too=failed_too)


def left(one: Logged, *commands: str, by_number: bool = False) -> list[int]:
    """Which of these commands are to be run, by their numbers."""

    def shown(item: Any, _: int) -> bytes:
        return bytes(item.encode())

    assert list(one.missing(iter(commands), None if by_number else shown)) == [
        commands[number] for number in one.numbers
    ]
    return [number + 1 for number in one.numbers]


@pytest.mark.parametrize(("failed_too", "expected"), [(False, [4]), (True, [2, 3, 4])])
def test_what_is_logged_is_left_out(path: Path, failed_too: bool, expected: list[int]) -> None:
    """Where failures are to be run again a signal is one, too; the order of the lines is free."""
    lines = line(3, "c", 0, 9), line(1, "a"), line(2, "b", 1)
    assert left(logged(path, HEAD, *lines, failed_too=failed_too), *"abcd") == expected


def test_a_success_holds_whatever_came_before(path: Path) -> None:
    """A log that was gone on with has several lines of a job."""
    lines = line(1, "a", 1), line(1, "a"), line(2, "b"), line(2, "b", 1)
    one = logged(path, HEAD, *lines, failed_too=True)
    assert left(one, "a", "b") == []
    assert one.failures() == []


def test_another_command_is_run_and_said_once(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """GNU parallel goes by the number alone, and says that it may be wrong."""
    assert left(logged(path, HEAD, line(1, "a"), line(2, "b"), line(3, "c")), "x", "b", "y") == [1, 3]
    assert capsys.readouterr().err.count("job 1 was another command") == 1
    assert left(logged(path, HEAD, line(1, "a")), "x", by_number=True) == []


def test_quotes_are_everybodys_own(path: Path) -> None:
    """GNU parallel's log is as good; what is a line end in a command is a zero byte there."""
    lines = line(1, "echo a\\ b"), line(2, "echo\0x")
    assert left(logged(path, HEAD, *lines), "echo 'a b'", "echo\nx") == []


def test_failures_are_the_commands_as_they_were(path: Path) -> None:
    """In the order of the input, each once: the last try's."""
    lines = line(5, "e\0x", 1), line(2, "b", 1), line(4, "d"), line(2, "better", 2)
    one = logged(path, HEAD, *lines, failed_too=True)
    assert one.failures() == ["better", "e\nx"]
    assert (list(one.numbers), one.total) == ([1, 4], 5)


@pytest.mark.parametrize(("failed_too", "counts"), [(False, Counts(1, 2)), (True, Counts(0, 2))])
def test_what_is_done_is_counted(path: Path, failed_too: bool, counts: Counts) -> None:
    """For --halt: a failure that is run again is not done."""
    one = logged(path, HEAD, line(1, "a"), line(2, "b", 1), line(3, "c"), failed_too=failed_too)
    assert one.counts == counts


def test_a_torn_line_is_not_done(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever goes on writes behind the last whole one."""
    one = logged(path, HEAD, line(1, "a"), line(12, "torn")[:-1])
    assert left(one, "a", "b") == [2]
    assert one.size == len(HEAD + line(1, "a"))
    assert "the last line is incomplete" in capsys.readouterr().err


def test_a_log_without_a_head_is_one(path: Path) -> None:
    """--joblog +FILE makes them."""
    assert left(logged(path, line(1, "a")), "a", "b") == [2]


@pytest.mark.parametrize("content", [b"junk\n", HEAD + b"1\tjunk\n", HEAD + line(0, "a"), b"\n", b"a" * 1000 + b"\n"])
def test_what_is_no_joblog_is_refused(path: Path, content: bytes) -> None:
    """With the line, shortened; the file stays as it is."""
    with pytest.raises(ConfigError, match=r"log is not a joblog: its line \d is '.{0,60}'$"):
        logged(path, content)
    assert path.read_bytes() == content


def test_no_log_is_nothing_done(path: Path) -> None:
    """The first run of a command that is started again and again has none."""
    assert left(Logged(str(path), failed_too=False), "a") == [1]
    with pytest.raises(ConfigError, match=r"cannot read .*: is a directory"):
        Logged(str(path.parent), failed_too=False)
