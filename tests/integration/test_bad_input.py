"""Whatever the command line is given: one line about the user's condition, exit code 1 or 2, nothing half done."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.stations import LIMIT

RUN = f"exec {sys.executable} -m penstock"


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=4 * LIMIT, check=False
    )


def is_about_the_user(said: bytes) -> bool:
    return b"Traceback" not in said and b"a fault of penstock" not in said and b"Exception" not in said


@pytest.mark.parametrize(
    ("line", "code", "reason"),
    [
        ("run touch {} ::: made >&-", 1, b"cannot write to stdout: it is closed"),
        ("run echo ::: a >/dev/full", 1, b"cannot write to stdout: no space left on device"),
        ("run echo ::: a >/dev/full 2>&-", 1, b""),
        ("run touch ::: made >&- <&- 2>&-", 1, b""),
        ("run touch <&-", 2, b"cannot read stdin: it is closed"),
        ("run --results file touch ::: made", 2, b"file is a file"),
        ("run --results file --joblog file touch ::: made", 2, b"file is a file"),
        ("run --data file touch ::: made", 2, b"file"),
        ("run touch :::: - -", 2, b"named twice"),
        ("run --url '' touch ::: made", 2, b"it is empty"),
        ("run --data $'d\\xff' touch ::: made", 2, b"d\\xff is not UTF-8"),
        ("run -a $'no\\xff\\n' touch", 2, b"cannot read no\\xff\\n: no such file"),
        ("run --key $'no\\n' touch ::: made", 2, b"no\\n cannot be read"),
        ("status --help >/dev/full", 1, b"cannot write to stdout"),
        ("print slurm --url tcp://h:1 >&-", 1, b"cannot write to stdout"),
        ("--version >/dev/full", 1, b"cannot write to stdout"),
    ],
)
def test_it_says_what_is_wrong_and_nothing_is_done(folder: Path, line: str, code: int, reason: bytes) -> None:
    """Closed streams, full disks, files where folders should be, names of every kind."""
    (folder / "file").write_text("kept")
    done = shell(f"{RUN} {line}", folder)
    assert done.returncode == code, done.stderr
    assert reason in done.stderr
    assert is_about_the_user(done.stderr)
    assert bool(done.stderr) == bool(reason)
    assert (folder / "file").read_text() == "kept"
    assert not (folder / "made").exists()


def test_a_joblog_on_a_full_disk_is_refused(folder: Path) -> None:
    """Before a job has run."""
    done = shell(f"{RUN} run --joblog /dev/full touch ::: made", folder)
    assert done.returncode in {1, 2}
    assert b"/dev/full: no space left on device" in done.stderr
    assert is_about_the_user(done.stderr)
    assert not (folder / "made").exists()


def test_what_can_be_done_without_them_is_done(folder: Path) -> None:
    """Nobody need hear what is said on stderr, and no job reads stdin; but what is lost on a full disk is lost."""
    done = shell(f"{RUN} run -k echo ::: a b 2>&- <&-", folder)
    assert (done.returncode, done.stdout) == (0, b"a\nb\n")
    done = shell(f"{RUN} run -k echo ::: a b 2>/dev/full", folder)
    assert (done.returncode, done.stdout) == (1, b"a\nb\n")


def test_a_working_folder_that_is_gone_is_said(folder: Path) -> None:
    """Jobs would run there."""
    done = shell(f"mkdir d; cd d; rmdir ../d; {RUN} run echo ::: a", folder)
    assert done.returncode == 1
    assert b"the working folder is gone" in done.stderr
    assert is_about_the_user(done.stderr)


def test_files_may_have_any_name(folder: Path) -> None:
    """Records, arguments, and files of arguments; half a second may be written with a point."""
    name = b"-n\xff\n$x"
    (folder / os.fsdecode(name)).write_bytes(b"a\n")
    words = [b"--joblog", b"j" + name, b"--results", b"r" + name, b"--data", "d \n$ü".encode(), b"-a", b"./" + name]
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "run", "--timeout", ".5", *words, "echo"],
        cwd=folder,
        capture_output=True,
        timeout=4 * LIMIT,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"a\n"), done.stderr
    there = os.listdir(os.fsencode(folder))
    assert {words[1], words[3], words[5]} <= set(there)
    assert all(line.startswith(b"penstock: ") for line in done.stderr.splitlines())


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A folder with room for a few pages."""
    path = folder / "small"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", path], check=False).returncode:
        pytest.skip("needs to be root to mount a small disk")
    yield path
    subprocess.run(["umount", path], check=True)


def test_a_disk_that_fills_up_ends_the_run(folder: Path, small_disk: Path) -> None:
    """With a line that names what could not be written; no more jobs are begun."""
    command = f"touch {{}}.ran; : {'x' * 1000}"
    done = shell(f"{RUN} run -j1 --results small/r --shell '{command}' ::: {{1..300}}", folder)
    assert done.returncode == 1
    assert b"cannot write to small/r: no space left on device" in done.stderr.splitlines()[-1]
    assert is_about_the_user(done.stderr)
    assert len(list(folder.glob("*.ran"))) < 300


def test_numbers_that_are_none_are_null_and_that_is_said_once(folder: Path) -> None:
    """JSON has no NaN and no infinity."""
    done = shell(f"{RUN} run -k --json --call builtins:float ::: nan 1 inf", folder)
    assert [line.split(b'"value": ')[1].split(b",")[0] for line in done.stdout.splitlines()] == [
        b"null",
        b"1.0",
        b"null",
    ]
    assert done.stderr.count(b"null, since JSON") == 1
