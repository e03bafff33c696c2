"""The end of a slot's process that nobody hurries: user code has its turn, as at the end of any process of Python.

Threads that are no daemons are waited for, a little; then atexit handlers run: coverage, logging, what closes a
connection or a pool. What they print goes where the worker's own output goes: there is no job any more whose it could
be. The fork server ends whoever takes longer than the agent allows.
"""

from __future__ import annotations

import atexit
import contextlib
import sys

from penstock.job.originals import os, signal, threading
from penstock.slot.own_files import move_up

THREADS_TIME = 1.0
"""Seconds that threads of user code have to end: less than the agent allows for all."""


class Farewell:
    """Made before anything is captured; knows where 1 and 2 led then."""

    def __init__(self) -> None:
        self._outputs = (move_up(os.dup(1)), move_up(os.dup(2)))

    def say(self) -> None:
        """Run all that waits for the end of this process; it exits afterwards without any more ado."""
        for fd, output in zip((1, 2), self._outputs, strict=True):
            with contextlib.suppress(OSError):  # a job may have closed everything
                os.dup2(output, fd)
        _wait_for_threads()
        atexit._run_exitfuncs()  # noqa: SLF001 - nor for this
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()


class _Enough(BaseException):
    """Waited for long enough."""


def _wait_for_threads() -> None:
    """As the interpreter does before its exit handlers, but not for ever: a job may have left a server."""

    def stop(*_: object) -> None:
        raise _Enough

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, THREADS_TIME)
    with contextlib.suppress(_Enough):
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - there is no other name for it
        signal.setitimer(signal.ITIMER_REAL, 0)
