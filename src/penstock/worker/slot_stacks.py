"""Where a running job is: the stacks of its slot's threads (slot/stack_dump.py), and what processes it has.

Promises:

1. What runs is not stopped, and nothing is asked of a process that would end by the question.
2. Whoever asks is answered, within `STACK_TIME`; of what could not be had the answer says why.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from penstock.job.display import shortened
from penstock.slot.process_tree import children
from penstock.slot.stack_dump import FILE, signal_number
from penstock.station.contract import Input
from penstock.worker.contract import StackSeen

STACK_TIME = 2.0
"""Seconds in which a process has written its stacks, unless the kernel does not let it run."""
LOOK_INTERVAL = 0.02
"""Seconds between looks whether it goes on writing."""
TEXT_CHARS = 60_000
"""Of an answer: what a message can carry, and more than anybody reads."""
COMMAND_CHARS = 200
"""Of a command line."""
LINK = f"/memfd:{FILE} (deleted)"
"""What proc(5) says of such a file."""
OURS = f'  File "{Path(__file__).parents[1]}/'
HEAD = re.compile(r"^(?:Current thread|Thread) 0x")

Inputs = list[Input]


class StackReader:
    """Of all slots of a host; `later` calls back after so many seconds."""

    def __init__(self, later: Callable[[float, Callable[[], Inputs]], None]) -> None:
        self._later = later

    def read(self, number: int, pid: int, *, is_command: bool) -> None:
        """Find out where the slot of this process is: that comes back as StackSeen with this number. Of a command the
        processes alone tell it."""
        if is_command:
            self._later(0, lambda: [StackSeen(number, _bounded(_tree_of_command(pid)))])
            return
        try:
            file = StackFile(pid)
        except OSError as error:
            self._answer(number, pid, f"(no stack: {error.strerror or error})")
        else:
            self._look_again(number, pid, file, seen=0, left=STACK_TIME)

    def _look_again(self, number: int, pid: int, file: StackFile, seen: int, left: float) -> None:
        def look() -> Inputs:
            size = file.size
            if size and size == seen:
                self._answer(number, pid, of_user(file.take()))
            elif left <= 0:
                file.close()
                self._answer(number, pid, f"(no stack within {STACK_TIME:g} s: the process does not run)")
            else:
                self._look_again(number, pid, file, size, left - LOOK_INTERVAL)
            return []

        self._later(LOOK_INTERVAL, look)

    def _answer(self, number: int, pid: int, stacks: str) -> None:
        tree = "\n".join(processes(pid, "(the slot)"))
        self._later(0, lambda: [StackSeen(number, _bounded(f"{stacks}\n\n{tree}\n"))])


class StackFile:
    """That of the slot `pid`, which is asked to write it. Raises OSError, with the reason: it has none, or is gone."""

    def __init__(self, pid: int) -> None:
        folder = Path(f"/proc/{pid}/fd")
        found = next((path for path in folder.iterdir() if _target(path) == LINK), None)
        if found is None:
            raise FileNotFoundError("the job has closed the file for it")
        if not _catches(pid, signal_number()):
            raise FileNotFoundError("the job has taken the signal for it")
        self._fd = os.open(found, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.ftruncate(self._fd, 0)
            os.kill(pid, signal_number())
        except OSError:  # it has gone just now
            self.close()
            raise

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return os.fstat(self._fd).st_size

    def take(self) -> str:
        """What is there; the file is closed."""
        text = os.pread(self._fd, TEXT_CHARS, 0).decode(errors="replace")
        self.close()
        return text

    def close(self) -> None:
        """It is not waited for any more."""
        os.close(self._fd)


def _target(path: Path) -> str:
    with contextlib.suppress(OSError):  # it was closed just now
        return os.readlink(path)
    return ""


def _catches(pid: int, number: int) -> bool:
    """Whether the process has a handler for this signal, which would end it else."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.partition(":")[2], 16) >> (number - 1) & 1)
    return False


def of_user(dump: str) -> str:
    """The threads of a dump that run something of the user's, each without the frames below it that are the slot's."""
    threads: list[list[str]] = []
    for line in dump.splitlines():
        if HEAD.match(line) or not threads:
            threads.append([])
        if line:
            threads[-1].append(line)
    for frames in threads:
        while len(frames) > 1 and frames[-1].startswith(OURS):
            frames.pop()
    return "\n\n".join("\n".join(frames) for frames in threads if len(frames) > 1)


def processes(pid: int, name: str = "", depth: int = 0) -> list[str]:
    """A line for each process of a tree: its id, its state and where in the kernel it waits, as proc(5) has them, and
    its command line; of the first one, `name`."""
    lines = []
    with contextlib.suppress(OSError, IndexError):  # it is gone
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0].decode()
        channel = Path(f"/proc/{pid}/wchan").read_text(encoding="ascii")
        command = name or shortened(_command_line(pid), COMMAND_CHARS) or "(no command line)"
        where = f" in {channel}" if channel.strip("0") else ""
        lines.append(f"{'  ' * depth}{pid} {state}{where}: {command}")
    return lines + [line for child in children(pid) for line in processes(child, depth=depth + 1)]


def _command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")


def _tree_of_command(pid: int) -> str:
    """What the slot has started."""
    lines = [line for child in children(pid) for line in processes(child)]
    return "\n".join(lines) + "\n" if lines else "(it has no process just now)\n"


def _bounded(text: str) -> str:
    return text if len(text) <= TEXT_CHARS else f"{text[:TEXT_CHARS]}\n(cut at {TEXT_CHARS:,} characters)\n"
