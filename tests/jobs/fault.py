"""Jobs of the fault tests: each writes a line when it starts, and what lasts waits for a file."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil

from penstock import current_job

OPEN = "open"
STARTS = "starts"
MIDDLE = 1500


def note(folder: str, x: int) -> int:
    """A job that leaves a trace: ``index pid worker``, in one write."""
    job = current_job()
    assert job is not None
    line = f"{x} {os.getpid()} {job.worker}\n".encode()
    fd = os.open(Path(folder, STARTS), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(fd, line)
    finally:
        os.close(fd)
    return x


def wait(folder: str, x: int) -> int:
    """Lasts until the gate is open."""
    note(folder, x)
    while not Path(folder, OPEN).exists():
        time.sleep(0.01)
    return x


def wait_in_the_middle(folder: str, x: int) -> int:
    """Short ones, and one in the middle that lasts until the gate is open."""
    note(folder, x)
    while x == MIDDLE and not Path(folder, OPEN).exists():
        time.sleep(0.01)
    return x


def die_in_the_middle(folder: str, x: int) -> int:
    """Short ones, and one in the middle that kills its process."""
    note(folder, x)
    if x == MIDDLE:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def nap(folder: str, x: int) -> int:
    """A tenth of a second."""
    note(folder, x)
    time.sleep(0.1)
    return x


def kill_parent(folder: str, x: int) -> None:
    """Kills the process that made its slot."""
    note(folder, x)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


def kill_agent(folder: str, x: int) -> None:
    """Kills the worker's agent: above the slot are its fork server, the watcher, and the agent."""
    note(folder, x)
    agent = psutil.Process().parents()[2]
    assert "penstock.worker" in " ".join(agent.cmdline())
    agent.kill()
    time.sleep(60)


def freeze_agent(folder: str, x: int) -> int:
    """Two hundred short ones; then the first that has some behind it in its piece stops the agent, and from there on
    each waits a second for the gate."""
    frozen = Path(folder, "frozen")
    if not frozen.exists():
        time.sleep(0.0002)
        if x < 200 or _piece_stop() < x + 4:
            return x
        frozen.touch()
        psutil.Process().parents()[2].send_signal(signal.SIGSTOP)
    note(folder, x)
    end = time.monotonic() + 1.0
    while not Path(folder, OPEN).exists() and time.monotonic() < end:
        time.sleep(0.01)
    return x


def _piece_stop() -> int:
    """Where the piece ends that this job belongs to."""
    frame = sys._getframe()
    while "order" not in frame.f_locals:
        assert frame.f_back is not None
        frame = frame.f_back
    return int(frame.f_locals["order"].stop)


def bomb(folder: str, x: int) -> None:
    """Forks as long as it can, and so do its children."""
    note(folder, x)
    while True:
        with contextlib.suppress(OSError):
            os.fork()
        time.sleep(0.002)


def recurse(x: int) -> int:
    """Deeper than the stack of C is."""
    sys.setrecursionlimit(10**9)
    return next(map(recurse, [x + 1]))


def leave_thread(x: int) -> int:
    """Leaves a thread running, not a daemon."""
    threading.Thread(target=time.sleep, args=[3600]).start()
    return x


def close_streams(x: int) -> int:
    """Closes and replaces what it was given."""
    sys.stdin.close()
    sys.stdout = sys.stderr = io.StringIO()
    for fd in (0, 1, 2):
        os.close(fd)
    os.open(os.devnull, os.O_WRONLY)
    return x


def deafen(x: int) -> int:
    """Ignores and replaces whatever signals it can."""
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    return x


def deaf_and_lasting() -> None:
    """Cannot be ended in a friendly way."""
    deafen(0)
    while True:
        time.sleep(60)


def ears() -> tuple[bool, bool]:
    """Whether SIGTERM ends this process, and whether anything is blocked."""
    is_deadly = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    return is_deadly, bool(signal.pthread_sigmask(signal.SIG_BLOCK, set()))


def fill(path: str) -> int:
    """Writes until there is no room."""
    with open(path, "wb") as file:
        while True:
            file.write(bytes(1 << 16))
            file.flush()


def large(folder: str, x: int) -> bytes:
    """A megabyte."""
    note(folder, x)
    return bytes(1 << 20)


def chatter(folder: str, x: int) -> int:
    """128 MiB on either stream."""
    note(folder, x)
    for stream in (sys.stdout, sys.stderr):
        stream.write("begin")
        for _ in range(128):
            stream.write("0123456789abcdef" * (1 << 16))
        stream.write("end")
    return x


def fork_and_wait(mark: str) -> None:
    """Fork a child that never ends, say who this is, and wait."""
    if os.fork() == 0:
        time.sleep(1000)
        os._exit(0)
    Path(f"{mark}.new").write_text(str(os.getpid()))
    Path(f"{mark}.new").rename(mark)
    time.sleep(1000)
