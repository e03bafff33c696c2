"""How `penstock run` ends: by signals, with a closed terminal, and what it says at its end."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from conftest import Cli
from support.stations import LIMIT, until

PENSTOCK = [sys.executable, "-m", "penstock"]
BUSY = "echo $$ > {}.pid; while :; do sleep 0.05; done"
"""A job that runs until it is ended."""


def running(folder: Path, jobs: int = 2) -> list[int]:
    """The jobs of `BUSY` that have begun, as soon as they are so many."""

    def found() -> list[int]:
        texts = [path.read_text().strip() for path in folder.glob("*.pid")]
        return [int(text) for text in texts if text] if all(texts) and len(texts) == jobs else []

    return until(found, what="the jobs have begun")


@pytest.mark.parametrize("data", [(), ("--data", "kept")])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_what_runs_and_is_obeyed(folder: Path, number: int, data: tuple[str, ...]) -> None:
    """SIGTERM and SIGHUP: no job is left running, the exit code is the signal's, and it says how it was."""
    process = subprocess.Popen(
        [*PENSTOCK, "run", "-j2", *data, "--shell", BUSY, ":::", *"abcd"], cwd=folder, stderr=subprocess.PIPE
    )
    jobs = running(folder)
    process.send_signal(number)
    _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 128 + number
    assert not any(map(psutil.pid_exists, jobs))
    assert len(list(folder.glob("*.pid"))) == 2
    assert b"penstock: 0 succeeded, 4 left; " in said.splitlines()[-1]
    assert (b"--data DIR" in said) == (not data)


def test_what_was_ended_by_a_signal_is_run_by_resume(cli: Cli, folder: Path) -> None:
    """A pipeline with a folder knows afterwards what was done and what was not."""
    words = ["run", "-j1", "--data", "kept", "--shell", "touch {}; [ -e go ] || [ {} = a ] || sleep 600", ":::", *"abc"]
    process = subprocess.Popen([*PENSTOCK, *words], cwd=folder, stderr=subprocess.DEVNULL)
    until((folder / "b").exists)
    process.terminate()
    assert process.wait(LIMIT) == 143
    (folder / "go").touch()
    done = cli(*words[:4], "--resume", *words[4:])
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == b"penstock: 3 jobs succeeded (1 of them before)"


def test_nohup_is_obeyed(folder: Path) -> None:
    """Who was started with SIGHUP ignored goes on when the terminal is closed."""
    process = subprocess.Popen(
        ["nohup", *PENSTOCK, "run", "--shell", ": {}; touch begun; while [ ! -e go ]; do sleep 0.05; done", ":::", "a"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until((folder / "begun").exists)
    process.send_signal(signal.SIGHUP)
    (folder / "go").touch()
    assert process.wait(LIMIT) == 0


@pytest.mark.parametrize("words", [BUSY, f"while :; do echo line; sleep 0.01; done & {BUSY}"])
def test_a_closed_terminal_ends_it(folder: Path, words: str) -> None:
    """Also while it is being written to: nothing is left running, and the log has a job's end or nothing of it."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execv(sys.executable, [*PENSTOCK, "run", "-j2", "--lb", "--joblog", "log", "--shell", words, ":::", *"abc"])
    jobs = running(folder)
    os.close(terminal)
    ended = until(lambda: os.waitpid(pid, os.WNOHANG)[1], what="it has ended")
    assert os.waitstatus_to_exitcode(ended) in {129, 1}
    assert not any(map(psutil.pid_exists, jobs))
    assert all(line.count("\t") == 8 for line in (folder / "log").read_text().splitlines())


def test_submit_wait_leaves_its_jobs_alone(folder: Path, url: str) -> None:
    """Ctrl-C ends the waiting: it says how to see them, and they go on."""
    up = subprocess.Popen(
        [*PENSTOCK, "up", "--bind", url, "--data", str(folder / "data")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert up.stdout is not None
    with up.stdout:
        up.stdout.readline()
        waiting = subprocess.Popen(
            [
                *PENSTOCK,
                "submit",
                "--url",
                url,
                "--wait",
                "--shell",
                "touch begun; while [ ! -e go ]; do sleep 0.05; done; touch done",
                ":::",
                "a",
            ],
            cwd=folder,
            stderr=subprocess.PIPE,
        )
        until((folder / "begun").exists)
        assert waiting.stderr is not None
        assert waiting.stderr.readline().startswith(b"penstock: batch ")  # before, it is not known to be accepted
        waiting.send_signal(signal.SIGINT)
        _, said = waiting.communicate(timeout=LIMIT)
        assert waiting.returncode == 130
        assert b"1 left; the jobs go on: penstock results --follow" in said
        (folder / "go").touch()
        until((folder / "done").exists)
        up.send_signal(signal.SIGTERM)
        assert up.wait(LIMIT) in {130, 143}


def on_a_terminal(folder: Path, *words: str, env: dict[str, str], stdout: int | None = None) -> bytes:
    """What `penstock run` with these words shows on a terminal, byte by byte."""
    master, slave = pty.openpty()
    with open(master, "rb", buffering=0) as terminal:
        with open(slave, "wb") as shown:
            process = subprocess.Popen(
                [*PENSTOCK, "run", *words],
                cwd=folder,
                stdin=shown,
                stdout=stdout or shown,
                stderr=shown,
                env=os.environ | env,
            )
        seen = b""
        with contextlib.suppress(OSError):  # EIO: nobody writes any more
            while block := terminal.read(4096):
                seen += block
        process.wait(LIMIT)
    return seen


XTERM = {"TERM": "xterm", "CI": ""}


def test_a_last_line_without_an_end_is_seen(folder: Path) -> None:
    """The bar neither takes it back nor is drawn behind it, and what is said at the end begins a line."""
    seen = on_a_terminal(folder, "-k", "--shell", "sleep 0.3; printf %s {}", ":::", "one", "two", env=XTERM)
    assert b"0/2" in seen
    last = seen.split(b"\x1b[2K")[-1]
    assert last == b"onetwo\r\npenstock: 2 jobs succeeded\r\n"


def test_the_bar_stands_still_while_stdout_is_a_file(folder: Path) -> None:
    """It is taken back for the last line only: what goes elsewhere does not come in its way."""
    with (folder / "out").open("wb") as out:
        seen = on_a_terminal(folder, "-k", "echo", ":::", *map(str, range(300)), env=XTERM, stdout=out.fileno())
    assert (folder / "out").read_bytes().count(b"\n") == 300
    drawn = [line for line in seen.split(b"\r\x1b[2K")[1:] if line]
    assert all(b"/300" in line for line in drawn[:-1])
    assert len(drawn) < 200
    assert drawn[-1].endswith(b"penstock: 300 jobs succeeded\r\n")


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"TERM": "xterm", "CI": "true"}])
def test_a_terminal_that_cannot_take_back_has_plain_lines(folder: Path, env: dict[str, str]) -> None:
    """No bar, no control characters, and the line at the end."""
    seen = on_a_terminal(folder, "-k", "--shell", "sleep 0.3; echo {}", ":::", "a", env=env)
    assert b"\x1b" not in seen
    assert seen.endswith(b"a\r\npenstock: 1 job succeeded\r\n")
