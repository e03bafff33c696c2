"""How a command becomes a process: with nothing of the slot's but 0, 1 and 2, every signal at its default, and run as
a shell would run it.

A shell hands a program that the kernel does not know to ``/bin/sh``, as execvp(3) does and posix_spawnp(3) does not;
and it has an exit code for a command that it cannot start, which is what a joblog shows.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Mapping, Sequence

from penstock.job.originals import os, signal

SHELL = b"/bin/sh"
NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes of a shell for a command that is not there; for one that is, and cannot be run."""
NO_ROOM = frozenset((errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE))
"""Not the command's fault: a shell has no exit code for that."""
SAMPLE_BYTES = 128
"""At the beginning of a file: a zero byte in its first line, and it is no script (as bash tells)."""
DEFAULTS = tuple(sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})) if os.name == "posix" else ()
"""All signals that can be ignored: whatever the slot, or who started the worker (nohup), does with them."""
DEFAULT_PATH = os.fsencode(os.defpath)
STANDARD_FILES = 3
Files = tuple[int, int, int]
"""Where a command reads from, writes to, and writes errors to: file descriptors."""
OWN_FILES: Files = (0, 1, 2)
CANNOT_START = "cannot start"
"""Begins the cause of a job whose command never ran: nothing else says why, unlike where an exit code is its own."""


def spawn(argv: list[bytes], environment: Mapping[bytes, bytes], files: Files = OWN_FILES) -> int:
    """Start a command as a process group of its own that has these files as its 0, 1 and 2; returns its process id.

    Raises OSError: it cannot be started; ValueError: a zero byte in an argument.
    """
    path = environment.get(b"PATH", DEFAULT_PATH)
    try:
        program = _program(argv[0], path)
        try:
            return _spawned(program, argv, environment, files)
        except OSError as error:
            if not is_unknown(error):
                raise
            script = interpreted(argv, path)
        return _spawned(SHELL, script, environment, files)
    except OSError as error:
        raise OSError(error.errno, reason(error, argv[0])) from None


def _spawned(program: bytes, argv: list[bytes], environment: Mapping[bytes, bytes], files: Files) -> int:
    actions: list[tuple[int, ...]] = []
    if files != OWN_FILES:  # of its own one may be closed, and the command's then too
        actions += [(os.POSIX_SPAWN_DUP2, *pair) for pair in zip(files, OWN_FILES, strict=True)]
    actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in _inherited()]
    return os.posix_spawnp(
        program, argv, environment, file_actions=actions, setpgroup=0, setsigmask=(), setsigdef=DEFAULTS
    )


def _inherited() -> list[int]:
    """What a program would get beside 0, 1 and 2: a call that ran here before may have left such files open."""
    try:
        files = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return []
    found = []
    for fd in files:
        try:
            if fd >= STANDARD_FILES and os.get_inheritable(fd):
                found.append(fd)
        except OSError:  # the listing's own
            continue
    return found


def _program(name: bytes, path: bytes) -> bytes:
    """What to start: posix_spawnp looks in the caller's PATH, not in the one given."""
    if b"/" in name or path == os.environb.get(b"PATH"):
        return name
    return _found(name, path)


def _found(name: bytes, path: bytes) -> bytes:
    """Where a program is; FileNotFoundError: nowhere."""
    if b"/" in name:
        return name
    where = os.fsdecode(path)
    found = shutil.which(name, path=where) or shutil.which(name, os.F_OK, where)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return found


def is_unknown(error: OSError) -> bool:
    """Whether a program is in a format that the kernel does not know."""
    return error.errno == errno.ENOEXEC


def interpreted(argv: Sequence[bytes], path: bytes | None) -> list[bytes]:
    """The argv for a program in a format that the kernel does not know: a script without ``#!`` is the shell's.

    Raises OSError: it is no script.
    """
    script = _found(argv[0], os.environb.get(b"PATH", DEFAULT_PATH) if path is None else path)
    with open(script, "rb") as file:
        sample = file.read(SAMPLE_BYTES)
    if b"\0" in sample.partition(b"\n")[0]:
        raise OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC))
    return [SHELL, script, *argv[1:]]


def reason(error: OSError, program: bytes) -> str:
    """Why a program cannot be started, in words."""
    if error.errno == errno.ENOENT and b"/" in program and os.path.exists(program):
        return "its interpreter, named in its first line, is missing"
    return os.strerror(error.errno) if error.errno else str(error)


def returncode_of(error: Exception) -> int | None:
    """The exit code that a shell has for a command that it cannot start; None: it has none for that."""
    if not isinstance(error, OSError) or error.errno in NO_ROOM:
        return None
    return NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE
