"""The end of a slot's process that nobody hurries: user code has its turn, as at the end of any process of Python.

Threads that are no daemons are waited for, atexit handlers run (coverage, logging, what closes a connection or a pool),
and what they print goes where the worker's own output goes: there is no job any more whose it could be. The fork
server ends whoever takes longer than the agent allows.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading


class Farewell:
    """Made before anything is captured; knows where 1 and 2 led then."""

    def __init__(self) -> None:
        self._outputs = (os.dup(1), os.dup(2))

    def say(self) -> None:
        """Run all that waits for the end of this process; it exits afterwards without any more ado."""
        for fd, output in zip((1, 2), self._outputs, strict=True):
            with contextlib.suppress(OSError):  # a job may have closed everything
                os.dup2(output, fd)
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - what the interpreter does, in its order
        atexit._run_exitfuncs()  # noqa: SLF001 - likewise
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
