"""Processes as the kernel sees them: who descends from whom, how one ended, and what ties its life to another's."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Callable, Collection
from itertools import pairwise
from pathlib import Path

from penstock.job.originals import end_process, os, signal, time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
"""prctl(2)."""

PF_EXITING = 0x4
"""Of the flags in /proc/PID/stat (linux/sched.h): set before a process closes its files at its end."""

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

IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
"""They are errors instead; what it starts by way of subprocess has the defaults."""

SWEEP_TIME = 1.0
"""Seconds to wait for killed processes to be gone; one that hangs in the kernel must not hold up the slot."""
SWEEP_INTERVAL = 0.001
LAST_SWEEPS, LAST_INTERVAL = 200, 0.01
"""How often everything is killed at the end, a fork bomb may need several rounds, and the seconds between."""
ZOMBIES = 100
"""Dead children that are left for whoever may ask how they ended; they are listed oldest first."""
LOOK_INTERVAL = 1.0
"""Seconds between two looks at all children."""


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
        end_process(1)


def children(pid: int) -> list[int]:
    """The living and the unreaped children of a process, oldest first; none if it is gone."""
    try:
        return _listed_children(pid)
    except OSError:
        return [child for child, parent in _parents().items() if parent == pid]


def _listed_children(pid: int) -> list[int]:
    return [
        int(child)
        for task in os.listdir(f"/proc/{pid}/task")
        for child in Path(f"/proc/{pid}/task/{task}/children").read_bytes().split()
    ]


def descendants(pid: int) -> list[int]:
    """The children of a process, theirs, and so on."""
    try:
        found = _listed_children(pid)
    except OSError:
        return _descendants_by_scan(pid)
    for child in found:
        found += children(child)
    return found


def _descendants_by_scan(pid: int) -> list[int]:
    """Where the kernel does not list children: one look at all processes."""
    below: dict[int, list[int]] = {}
    for child, parent in _parents().items():
        below.setdefault(parent, []).append(child)
    found = list(below.get(pid, ()))
    for child in found:
        found += below.get(child, ())
    return found


def _parents() -> dict[int, int]:
    """The parent of every process."""
    if sys.platform != "linux":
        import psutil  # noqa: PLC0415 - where there is no /proc

        return {one.pid: one.info["ppid"] for one in psutil.process_iter(["ppid"])}
    found: dict[int, int] = {}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()):
        with contextlib.suppress(OSError, IndexError):  # it is gone
            found[pid] = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    return found


def kill_all(pids: list[int], number: int = signal.SIGKILL) -> None:
    """Send a signal to each that is still there and ours."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def kill_descendants(is_done: Callable[[], bool] = lambda: True) -> None:
    """Kill all that descends from this process until nothing is left, and reap it; `is_done`: what else must be."""
    for _ in range(LAST_SWEEPS):
        family = descendants(os.getpid())
        kill_all(family)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not family and is_done():
            return
        time.sleep(LAST_INTERVAL)


def started_at(pid: int) -> str:
    """When a process was started, as the kernel counts; with the pid it names a process that may be gone. Empty: it
    is, or there is no /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return ""


def with_variable(name: str) -> list[tuple[int, str]]:
    """The processes of this pid namespace that were started with this environment variable, each with its value; those
    of others are as good as none, unless this process may see them (Linux)."""
    found: list[tuple[int, str]] = []
    prefix = os.fsencode(f"{name}=")
    for pid in sorted(int(one) for one in _listed("/proc") if one.isdecimal()):
        with contextlib.suppress(OSError):  # it is gone, or somebody else's
            entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            values = [entry[len(prefix) :] for entry in entries if entry.startswith(prefix)]
            if values and os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid"):
                found.append((pid, os.fsdecode(values[0])))
    return found


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def has_children() -> bool:
    """Whether this process has any, dead ones included."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def sweep_children(spared: Collection[int], has_grace: Callable[[], object]) -> None:
    """Kill and reap, to the last grandchild, whatever runs below this process but for these children and theirs; with a
    grace wait until they have gone, somebody else looks at the clock then."""
    deadline = time.monotonic() + SWEEP_TIME
    while has_children():
        left = [pid for pid in children(os.getpid()) if pid not in spared]
        waits = has_grace()
        if not left or (time.monotonic() > deadline and not waits):
            return
        for pid in left:
            if not waits:
                kill_all([pid, *descendants(pid)])  # whoever waits for a child that is killed would go on
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(SWEEP_INTERVAL)


def is_alive(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in {b"Z", b"X"}
    except OSError:
        return False


def is_leaving(pid: int) -> bool:
    """Whether a process has ended, or is about to without any more of its code being run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return True
    return fields[0] in {b"Z", b"X"} or bool(int(fields[6]) & PF_EXITING)


def is_dead(pid: int) -> bool:
    """Whether this child has ended and nobody has asked how."""
    with contextlib.suppress(ChildProcessError):
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return False


class Undertaker:
    """Buries dead children that nobody asks for, before they are too many.

    How a child ended is for whoever started it and may ask for it late; of an orphan that came to this process nobody
    ever will. They cannot be told apart, so the newest are left alone.
    """

    def __init__(self) -> None:
        self._look_at = 0.0

    def look(self) -> None:
        """To be called often: it costs a system call while none is dead, and more once in a second."""
        try:
            if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return
        except ChildProcessError:
            return
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_INTERVAL
        dead = [pid for pid in children(os.getpid()) if is_dead(pid)]
        for pid in dead[:-ZOMBIES]:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def reset_signals() -> None:
    """Signals as Python has them at its start, and none blocked: whatever this process, or who started the worker
    (nohup, a shell in the background), does with them, a job's own processes would inherit (main thread only)."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, *IGNORED_BY_PYTHON}:
        if signal.getsignal(number) is not signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


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


def ending(status: int) -> str:
    """How a process ended, in plain words, from its wait status."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    words = SIGNAL_WORDS.get(signal.Signals(-code)) if -code in set(signal.Signals) else None
    return f"killed by {signal_name(-code)}" + (f" ({words})" if words else "")


def signal_name(number: int) -> str:
    """What a signal is called: ``SIGSEGV`` for 11."""
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
