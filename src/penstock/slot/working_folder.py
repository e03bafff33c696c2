"""The folder in which a slot's jobs begin: where its worker is, also if that folder is moved, or gone."""

from __future__ import annotations

import contextlib

from penstock.job.originals import os
from penstock.slot.own_files import move_up


class Home:
    """This process' working folder as it is now."""

    def __init__(self) -> None:
        self._path = _here()
        self._fd = move_up(os.open(".", getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY))

    def go(self) -> None:
        """Be there again, wherever a job went."""
        if self._path is not None and _here() == self._path:
            return
        try:
            os.fchdir(self._fd)
        except OSError:  # a job has closed all files that it did not know
            with contextlib.suppress(OSError):
                os.chdir(self._path or "/")


def _here() -> str | None:
    """Where this process is; None: that folder is gone, or is below one that is closed to it."""
    try:
        return os.getcwd()
    except OSError:
        return None
