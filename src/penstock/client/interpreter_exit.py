"""The interpreter's exit: what clients have submitted is waited for, each as it asks (leaving.py).

It waits where concurrent.futures does, before threads are joined and before anything else that the program has, and its
jobs may need, is taken down (managers, temporary folders). What threads and exit handlers submit later is waited for in
an exit handler of its own, which also ends the stations.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from penstock.job.imported_modules import imported


class Leaver(Protocol):
    """A client whose work the interpreter's exit may have to wait for."""

    def linger(self) -> None:
        """Wait until what would end with this process has run; more can be submitted meanwhile, and afterwards."""

    def leave_at_exit(self) -> None:
        """Wait as `linger` does, and then leave."""

    def drop(self, why: str) -> None:
        """Leave now, and say how many jobs that drops."""


living: set[Leaver] = set()


def _linger_all() -> None:
    """Before threads are joined. A child of multiprocessing has no exit handlers: it leaves here."""
    processes = imported("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None:
        _each(lambda client: client.leave_at_exit())
    else:
        _each(lambda client: client.linger())


def _leave_all() -> None:
    """An exit handler: only those that were registered before it still run, and find that nothing is taken any more."""
    _each(lambda client: client.leave_at_exit())


def _each(leave: Callable[[Leaver], None]) -> None:
    """Of each client; Ctrl-C, now or as the end of the program, is the end of waiting for any of them."""
    is_script = not (sys.flags.interactive or hasattr(sys, "ps1"))
    interrupted = is_script and getattr(sys, "last_type", None) is KeyboardInterrupt
    for client in list(living):
        try:
            if interrupted:
                client.drop("interrupted")
            else:
                leave(client)
        except KeyboardInterrupt:
            interrupted = True
            client.drop("interrupted")


atexit.register(_leave_all)
with suppress(RuntimeError):  # imported by an exit handler
    threading._register_atexit(_linger_all)  # type: ignore[attr-defined]  # noqa: SLF001 - as concurrent.futures does
