"""A slot's own descriptors: where a job meets them by accident least, and whether a job has closed or replaced one.

The numbers from 3 on are what a job's own files get, and what scripts use. So a slot keeps its files near the upper end
of what select(2) and the usual limit of open files allow. A job that closes all numbers closes these too: the slot is
no use then, and says so by its page, which needs no descriptor.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable
from functools import partial

from penstock.job.originals import os
from penstock.slot.originals import fcntl

UPPER_END = 1024
"""Of the numbers that select(2) can have, and the usual limit of open files."""
ROOM = 64
"""Numbers below it, where a slot's own begin."""


def open_standard_files() -> None:
    """Let 0, 1 and 2 be nobody else's: a process started without one would give its number to a socket or a pipe."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)


def move_up(fd: int) -> int:
    """The same file under a high number, which no program inherits; the low one is free again."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    upper_end = UPPER_END if limit == resource.RLIM_INFINITY else min(limit, UPPER_END)
    try:
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(upper_end - ROOM, 3))
    except OSError:  # there are no more
        os.set_inheritable(fd, False)
        return fd
    os.close(fd)
    return high


class OwnFiles:
    """These, as they are now; the first is looked at more often than the others."""

    def __init__(self, *files: int) -> None:
        self._first = files[0]
        self.reach_first: Callable[[], object] = partial(os.get_blocking, files[0])
        """Raises OSError if the first is closed: the cheapest system call there is, at the price of an entry of the
        journal. Not whether it was replaced."""
        self._inode = os.fstat(files[0]).st_ino
        self._were = [(fd, _identity(fd)) for fd in files]

    def has_first(self) -> bool:
        """Whether the first is what it was: a system call."""
        try:
            return os.fstat(self._first).st_ino == self._inode
        except OSError:
            return False

    def are_intact(self) -> bool:
        """Whether all of them still are what they were."""
        with contextlib.suppress(OSError):
            return all(_identity(fd) == identity for fd, identity in self._were)
        return False


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino
