"""How a command becomes a process: beside bash, which is what people compare with."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock.job import originals
from penstock.job.command import CommandTemplate
from penstock.job.spawning import spawn
from penstock.slot.job_report import CommandEnd


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with programs of every kind."""
    files = {
        "script": (0o755, b"echo script $1\n"),
        "empty": (0o755, b""),
        "binary": (0o755, b"\x7fELF\0\0\0\0junk\n"),
        "orphan": (0o755, b"#!/no/such/interpreter\n"),
        "plain": (0o644, b"echo plain\n"),
    }
    for name, (mode, text) in files.items():
        (tmp_path / name).write_bytes(text)
        (tmp_path / name).chmod(mode)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ended(capfd: pytest.CaptureFixture[str], *words: str, **variables: str) -> tuple[int | None, str, str]:
    """Exit code, what was printed, and the cause."""
    template = CommandTemplate(
        tuple(map(os.fsencode, words)), env={k.encode(): v.encode() for k, v in variables.items()}
    )
    end = CommandEnd.of(template, list(template.words), {}, check=True)
    return end.returncode, capfd.readouterr().out, end.cause


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("./script a", ""),
        ("./empty", ""),
        ("no-such-program", "cannot start 'no-such-program': No such file or directory"),
        ("./no/such", "cannot start './no/such': No such file or directory"),
        ("./plain", "cannot start './plain': Permission denied"),
        ("./plain/below", "cannot start './plain/below': Not a directory"),
        ("/", "cannot start '/': Permission denied"),
        ("./binary", "cannot start './binary': Exec format error"),
        ("./orphan", "cannot start './orphan': its interpreter, named in its first line, is missing"),
    ],
)
def test_a_command_is_started_as_a_shell_does(capfd: pytest.CaptureFixture[str], words: str, cause: str) -> None:
    """A script without ``#!`` is run, and what cannot be has bash's exit code; the cause says why in words."""
    shell = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=False)
    assert ended(capfd, *words.split()) == (shell.returncode, shell.stdout, cause)


def test_a_program_is_looked_for_in_the_path_that_is_given(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """And in no other: not where the slot would find it. What is there and cannot be run is not missing."""
    assert ended(capfd, "script", "b", PATH=f"/nowhere:{folder}") == (0, "script b\n", "")
    assert ended(capfd, "true", PATH=str(folder))[0] == 127
    assert ended(capfd, "plain", PATH=str(folder))[0] == 126
    assert ended(capfd, "true")[0] == 0


def test_where_there_is_no_room_for_a_process_no_shell_has_a_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is no fault of the command's."""

    def full(*_: object, **__: object) -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(originals.os, "posix_spawnp", full)
    end = CommandEnd.of(CommandTemplate((b"true",)), [b"true"], {}, check=True)
    assert (end.returncode, end.cause) == (None, "cannot start 'true': Resource temporarily unavailable")


@pytest.fixture
def ignoring() -> Iterator[None]:
    """This process ignores and blocks what it can, as one that nohup or a careless program started."""
    numbers = [n for n in signal.valid_signals() if n not in {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}]
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP, signal.SIGTERM])
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number, handler in before.items():
        signal.signal(number, handler)


def _status(start: Callable[[list[bytes]], object], path: Path) -> dict[str, int]:
    start([b"/bin/sh", b"-c", b"exec grep Sig /proc/self/status > " + bytes(path)])
    lines = (line.split(":") for line in path.read_text().splitlines())
    return {name: int(value, 16) for name, value in lines if name in {"SigBlk", "SigIgn"}}


@pytest.mark.usefixtures("ignoring")
def test_signals_have_their_defaults_in_a_command(tmp_path: Path) -> None:
    """All, and none is blocked; the control inherits them."""
    inherited = _status(
        lambda argv: subprocess.run(argv, check=True, restore_signals=False),
        tmp_path / "inherited",
    )
    assert inherited["SigIgn"] & 1 << signal.SIGHUP - 1
    clean = _status(lambda argv: os.waitpid(spawn(argv, os.environb), 0), tmp_path / "clean")
    internal = 1 << 31 | 1 << 32  # glibc's own, which no program can set and whose use it arranges itself
    assert (clean["SigBlk"], clean["SigIgn"] & ~internal) == (0, 0)


def test_a_command_has_no_descriptor_but_the_first_three(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Not even one that some call before it has left open for children of its own; the control has it."""
    with (tmp_path / "left").open("w") as left:
        os.set_inheritable(left.fileno(), True)
        argv = ["sh", "-c", f"[ -e /proc/self/fd/{left.fileno()} ]; echo $?"]
        subprocess.run(argv, check=True, close_fds=False)
        assert capfd.readouterr().out == "0\n"
        assert ended(capfd, *argv) == (0, "1\n", "")
        assert os.get_inheritable(left.fileno())
