"""stdin, stdout and stderr as a command line must have them, whatever it was started with.

Promises:

1. The numbers 0, 1 and 2 are never a socket's or a store's: one that is closed is occupied, and using it fails as
   before. Of stderr there is nothing to miss: what is said to nobody is dropped.
2. What cannot be written to stdout is an error that says so (`CannotWrite`), wherever it is noticed; a reader who has
   had enough is BrokenPipeError.
3. What cannot be written to stderr never ends a command: it goes on, and `lost` says why for its exit code.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from contextlib import suppress
from typing import Any

from penstock.errors import PenstockError

STDIN, STDOUT, STDERR = 0, 1, 2


class CannotWrite(PenstockError):  # noqa: N818 - a state of the world, as those of penstock.errors
    """A file that the user named, or stdout, takes no more: its disk is full, it is closed, its terminal is gone."""

    def __init__(self, where: str, error: OSError) -> None:
        why = "it is closed" if error.errno == errno.EBADF else (error.strerror or str(error)).lower()
        super().__init__(f"cannot write to {where}: {why}")


class _Out(io.FileIO):
    """stdout: all of what it is given is written, or it says why not."""

    is_closed = False
    """It was, when this process was started."""

    def write(self, data: Any, /) -> int:
        """All of it, also where the file does not block, as a pipe that another program has made so."""
        try:
            while (written := super().write(data)) is None:
                select.select([], [self.fileno()], [])
        except BrokenPipeError:
            raise
        except OSError as error:
            raise CannotWrite("stdout", error) from None
        return written


class _Err(io.FileIO):
    """stderr: never an error."""

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        """As much as it takes."""
        try:
            while (written := super().write(data)) is None:
                select.select([], [self.fileno()], [])
        except OSError as error:
            self.failure = error
            return len(memoryview(data).cast("B"))
        return written


def adopt() -> None:
    """Make them so: the first thing that a process does."""
    closed = set()
    for fd, mode in ((STDIN, os.O_WRONLY), (STDOUT, os.O_RDONLY), (STDERR, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.dup2(os.open(os.devnull, mode), fd)  # the lowest number that is free is this one, or one before it
            closed.add(fd)
            os.set_inheritable(fd, True)  # stations that are started must find them occupied, too
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(STDIN, "rb", closefd=False)))
    out = _Out(STDOUT, "wb", closefd=False)
    out.is_closed = STDOUT in closed
    sys.stdout = _text(out, "surrogateescape", sys.stdout)
    sys.stderr = _text(_Err(STDERR, "wb", closefd=False), "backslashreplace", sys.stderr)


def _text(raw: io.FileIO, errors: str, before: Any) -> io.TextIOWrapper:
    encoding = before.encoding if before is not None else "utf-8"
    if errors == "surrogateescape" and encoding.lower().replace("-", "") != "utf8":
        errors = "backslashreplace"  # names of files that this encoding has no letters for
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=raw.isatty() or raw.fileno() == 2)


def check_stdout() -> None:
    """Before anything is begun whose results it is to have. CannotWrite: it is closed."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Out) and raw.is_closed:
        raise CannotWrite("stdout", OSError(errno.EBADF, ""))


def lost() -> OSError | None:
    """Why something could not be said on stderr, if so."""
    raw = getattr(getattr(sys.stderr, "buffer", None), "raw", None)
    return raw.failure if isinstance(raw, _Err) else None


def abandon_stdout() -> None:
    """What is still to be written there is dropped: else the interpreter fails once more when it exits."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def flush_or_abandon_stdout() -> None:
    """What is still to be written there is written, if that can be done."""
    try:
        sys.stdout.flush()
    except (CannotWrite, OSError):
        abandon_stdout()
