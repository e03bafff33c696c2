"""What jobs have of the process in which they run, and commands are given by it: whether a job has changed any of that.

Much of it cannot be taken back: a limit that was lowered, a niceness that was raised, a user that was given up. And
what a module does to the environment when it is imported goes together with the module. So nothing is put right here
but builtins, which the slot itself cannot do without: a process that a job has changed is replaced. What importing a
function and its initializer have changed is as it wants it: of the kernel's and of builtins, no other function runs in
this process then; of the environment, no command. Variables that jobs add are let be: many libraries do.
"""

from __future__ import annotations

import resource
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit  # as it was before any job patched it
from typing import NamedTuple

from penstock.job.main_module import Stale
from penstock.job.originals import os, time
from penstock.slot.builtin_names import Builtins
from penstock.slot.originals import fcntl
from penstock.slot.own_files import UPPER_END

LIMITS = tuple(
    getattr(resource, f"RLIMIT_{name}")
    for name in ("AS", "CORE", "CPU", "DATA", "FSIZE", "MEMLOCK", "NOFILE", "NPROC", "STACK")
    if hasattr(resource, f"RLIMIT_{name}")
)
"""Those that later jobs may run into: to look at one costs half a microsecond."""
LOOK_INTERVAL = 0.01
"""Seconds, as of a piece: jobs of a function that run so close together may see what one of them has changed anyway. A
look costs sixteen system calls, as much as all else at the end of a piece."""
NUMBER_OF_THREADS = b"_NUM_THREADS"
"""Ends the names of what numerical libraries read once, when they are loaded: jobs set them for what they import."""
NO_CORES = frozenset[int]()


class State(NamedTuple):
    """Of a process, as the kernel has it and hands it on."""

    umask: int
    niceness: int
    cores: set[int] | frozenset[int]
    limits: list[tuple[int, int]]
    user: tuple[int, ...]


WORDS = State("its umask", "its niceness", "the cores it may use", "its resource limits", "its user or group")  # type: ignore[arg-type]
"""The fields, for people."""


class Inherited:
    """Of this process, which is as it should be now."""

    def __init__(self) -> None:
        self._is_root = os.geteuid() == 0
        """Nobody else becomes another user."""
        self._state = self._now()
        self._builtins = Builtins()
        self._is_patched = False
        """Whether jobs have left builtins changed."""
        self._fresh = _variables().copy()
        self._variables = _lasting()
        limit = getrlimit(RLIMIT_NOFILE)[0]
        self._files_max = (_free_file() + (UPPER_END if limit == RLIM_INFINITY else limit)) // 2
        """Half of the files that jobs may have open: if so many are, later jobs might not get theirs."""
        self._owner: bytes | None = None
        """The function for which alone it is as it is now."""
        self._last: bytes = b""
        """The function that was run last."""
        self._looked_at = float("-inf")
        self._is_unseen = False
        """Whether jobs have run since it was looked at."""
        self.changes: str = ""
        """What is no longer as it was, in words; empty: all of it is."""

    def admit(self, function: bytes, *, is_command: bool) -> None:
        """Raises Stale: jobs of this function, as it is called here, may not run in this process. A command is given
        all variables that there are, whoever's call has set them."""
        if self._owner not in {None, function} or (is_command and _variables() != self._fresh):
            raise Stale
        if self._last != function and self._is_unseen and self._is_changed():
            raise Stale
        self._last = function

    def accept(self, function: bytes) -> None:
        """This one was loaded just now: what that has changed is as it wants it."""
        if not self._builtins.are_kept():
            self._owner = function
            self._builtins.keep()
        if self._is_changed():
            state = self._now()
            self._owner = function if state != self._state else self._owner
            self._state, self._variables = state, _lasting()
            self.changes = ""

    def put_right(self) -> str:
        """Builtins that jobs have left changed are as they were; returns their names."""
        names = self._builtins.put_right()
        if names:
            self._is_patched = True
            self.changes = f"a job changed {names}"
        return names

    def explained(self, error: BaseException) -> BaseException:
        """Why a job has failed: if builtins were changed when it did, that is the reason, whoever has changed them."""
        names = self.put_right()
        if not names:
            return error
        words = f"it, or a job before it in its process, left {names} changed: {type(error).__name__}: {error}"
        explained = RuntimeError(words)
        explained.__cause__ = error
        return explained

    def has_worn(self) -> bool:
        """Whether jobs that have just run have changed it; within LOOK_INTERVAL it is not looked at, unless others'
        jobs come."""
        if self._is_patched:
            return True
        now = time.monotonic()
        if now < self._looked_at + LOOK_INTERVAL:
            self._is_unseen = True
            return False
        self._looked_at = now
        return self._is_changed()

    def _is_changed(self) -> bool:
        self._is_unseen = False
        state, variables, files = self._now(), _variables(), _free_file()
        if state == self._state and self._variables.items() <= variables.items() and files <= self._files_max:
            return False
        changes = [str(word) for word, was, now in zip(WORDS, self._state, state, strict=True) if was != now]
        changes += [os.fsdecode(name) for name, was in self._variables.items() if variables.get(name) != was]
        changes += ["the number of files it has open"] if files > self._files_max else []
        self.changes = f"a job changed {' and '.join(changes)}"
        return True

    def _now(self) -> State:
        mask = os.umask(0o077)  # a file of another thread, made meanwhile, is nobody else's to read
        os.umask(mask)
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else NO_CORES
        user = (os.geteuid(), os.getegid(), *os.getgroups()) if self._is_root else ()
        return State(mask, os.getpriority(os.PRIO_PROCESS, 0), cores, list(map(getrlimit, LIMITS)), user)


def _variables() -> dict[bytes, bytes]:
    """The environment as it is kept, which is fast to compare."""
    return os.environ._data  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001


def _lasting() -> dict[bytes, bytes]:
    """Those of it that no job changes for its own part."""
    return {name: value for name, value in _variables().items() if not name.endswith(NUMBER_OF_THREADS)}


def _free_file() -> int:
    """The number that the next file would get."""
    try:
        file = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 0)
    except OSError:
        return getrlimit(RLIMIT_NOFILE)[0]  # there is none, or a job has closed 0
    os.close(file)
    return file
