"""The stacks of a slot's threads, written when somebody asks, without a word of Python: faulthandler's signal handler
walks the frames, also while C code holds the interpreter's lock, and what runs goes on.

They go into a file in memory that the agent finds by its name among the slot's descriptors; the slot of a job that has
closed all of those has none.
"""

from __future__ import annotations

import faulthandler

from penstock.job.originals import os, signal
from penstock.slot.originals import fcntl
from penstock.slot.own_files import move_up

SIGNAL_FROM_LAST = 5
"""Real-time signals have no meaning of their own, and libraries count theirs from the lower end, or from the last."""
FILE = "penstock-stack"


def signal_number() -> int:
    """The signal that asks for them."""
    return signal.SIGRTMAX - SIGNAL_FROM_LAST


def prepare() -> None:
    """Let the stacks of this process be asked for, where the system has such files (Linux); and of a crash, on 2."""
    faulthandler.enable(2)
    if not hasattr(os, "memfd_create"):
        return
    fd = move_up(os.memfd_create(FILE))
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)  # whoever reads it empties it
    faulthandler.register(signal_number(), fd, all_threads=True, chain=False)
