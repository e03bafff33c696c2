"""Processes as the kernel sees them: who descends from whom, how one ended, and what ties its life to another's."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from weakref import WeakSet

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
"""prctl(2)."""

SIGNAL_WORDS = {
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "abort",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "arithmetic error",
    signal.SIGILL: "illegal instruction",
    signal.SIGXCPU: "CPU time limit",
}

HANDLED = (
    signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGALRM, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1,
    signal.SIGUSR2,
)  # fmt: skip
"""Signals whose handlers a job may leave changed to the next one's harm; to look at one costs about 1 us."""

SWEEP_TIME = 1.0
"""Seconds to wait for killed processes to be gone; one that hangs in the kernel must not hold up the slot."""
SWEEP_INTERVAL = 0.001


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def become_subreaper() -> None:
    """Orphans among this process's descendants become its children (Linux)."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def give_up_privileges() -> None:
    """After a change of user: no setuid program changes it back, and this process sees itself in /proc (Linux)."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prctl(PR_SET_DUMPABLE, 1)


def die_with_parent(parent: int) -> None:
    """SIGKILL for this process as soon as its parent is gone (Linux); ends it now if that has happened already."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def children(pid: int) -> list[int]:
    """The living and the unreaped children of a process; none if it is gone."""
    try:
        return [
            int(child)
            for task in os.listdir(f"/proc/{pid}/task")
            for child in Path(f"/proc/{pid}/task/{task}/children").read_bytes().split()
        ]
    except OSError:
        return _children_by_scan(pid)


def _children_by_scan(pid: int) -> list[int]:
    import psutil  # noqa: PLC0415 - where the kernel does not list children

    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def descendants(pid: int) -> list[int]:
    """The children of a process, theirs, and so on."""
    found = children(pid)
    for child in found:
        found += children(child)
    return found


def kill_all(pids: list[int], number: int = signal.SIGKILL) -> None:
    """Send a signal to each that is still there and ours."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def sweep_children() -> None:
    """Kill and reap whatever the jobs of this process left running, to the last grandchild."""
    deadline: float | None = None
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid:
            continue
        now = time.monotonic()
        deadline = deadline or now + SWEEP_TIME
        if now > deadline:
            return
        kill_all(descendants(os.getpid()))
        time.sleep(SWEEP_INTERVAL)


class SignalState:
    """Handlers, mask and timer as they are now, for later (main thread only)."""

    def __init__(self) -> None:
        self._handlers = {number: signal.getsignal(number) for number in HANDLED}
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    def restore(self) -> None:
        """Undo what a job has changed."""
        for number, handler in self._handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        if signal.pthread_sigmask(signal.SIG_BLOCK, ()) != self._mask:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        signal.setitimer(signal.ITIMER_REAL, 0)


class ThreadState:
    """The threads that may run between jobs: those of now, and what a function brings along when it is loaded."""

    def __init__(self) -> None:
        self._known = WeakSet(threading.enumerate())

    @contextlib.contextmanager
    def admitting(self) -> Iterator[None]:
        """Whatever is started meanwhile may stay."""
        before = set(threading.enumerate())
        try:
            yield
        finally:
            for thread in threading.enumerate():
                if thread not in before:
                    self._known.add(thread)

    def has_strangers(self) -> bool:
        """Whether jobs have left threads running that are no daemons."""
        if threading.active_count() == 1:
            return False
        return any(not thread.daemon and thread not in self._known for thread in threading.enumerate())


def ending(status: int) -> str:
    """How a process ended, in plain words, from its wait status."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    words = SIGNAL_WORDS.get(signal.Signals(-code)) if -code in set(signal.Signals) else None
    return f"killed by {signal_name(-code)}" + (f" ({words})" if words else "")


def signal_name(number: int) -> str:
    """``SIGSEGV`` for 11."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Coroner:
    """Says what processes died of; as to memory, by what the kernel has counted since it said so last."""

    def __init__(self) -> None:
        self._oom_kills = oom_kills()

    def cause(self, status: int) -> str:
        """In plain words, from a wait status."""
        before, self._oom_kills = self._oom_kills, oom_kills()
        is_oom = os.waitstatus_to_exitcode(status) == -signal.SIGKILL and self._oom_kills > before
        return ending(status) + ", out of memory" * is_oom


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory, here and in this control group; only its growth
    means something."""
    return sum(_counter(path, "oom_kill") for path in _oom_files())


def _oom_files() -> list[Path]:
    files = [Path("/proc/vmstat")]
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return files
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "memory":
            files.append(Path(f"/sys/fs/cgroup/memory{group}/memory.oom_control"))
        elif not controllers:
            files += [Path(f"/sys/fs/cgroup{root}{group}/memory.events") for root in ("", "/unified")]
    return files


def _counter(path: Path, name: str) -> int:
    try:
        words = path.read_text().split()
    except OSError:
        return 0
    return next((int(value) for word, value in pairwise(words) if word == name), 0)
