"""Lines that are commands, as they come from elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Cli
from support.stations import LIMIT, until


@pytest.mark.parametrize("line", [b"echo $HOME", b"echo *.log", b"echo a > b", b"cd /"])
@pytest.mark.parametrize("source", ["stdin", "file"])
def test_nothing_runs_if_a_line_needs_a_shell(cli: Cli, folder: Path, line: bytes, source: str) -> None:
    """Exit 2, one line with the number, and the good line before it was not run."""
    jobs = b"# made by a script\n\ntouch made\n" + line + b"\n"
    (folder / "jobs").write_bytes(jobs)
    done = cli("run", stdin=jobs) if source == "stdin" else cli("run", "-a", "jobs")
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.startswith(b"penstock run: line 4, ")
    assert done.stderr.endswith(b": add --shell\n")
    assert not (folder / "made").exists()


def test_a_slow_stream_is_run_up_to_its_bad_line(folder: Path) -> None:
    """It says which line it was; what comes behind it does not run."""
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "run", "-k"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=os.environ,
    )
    assert process.stdin is not None
    process.stdin.write(b"touch first\n")
    process.stdin.flush()
    until((folder / "first").exists, what="the first line has run")
    out, err = process.communicate(b"echo $HOME\ntouch last\n", timeout=2 * LIMIT)
    assert process.returncode == 2
    assert out == b""
    assert b"penstock run: line 2, 'echo $HOME', looks like a shell line ($H): add --shell" in err
    assert not (folder / "last").exists()


def test_comments_and_empty_lines_are_skipped(cli: Cli) -> None:
    """They are no jobs, with a shell and without."""
    jobs = b"# one\necho a\n\n   # two\n  \necho 'b  c'\n"
    assert cli("run", "-k", stdin=jobs).stdout == b"a\nb  c\n"
    assert cli("run", "-k", "--shell", stdin=jobs + b"echo $((1 + 1)) # three\n").stdout == b"a\nb  c\n2\n"
