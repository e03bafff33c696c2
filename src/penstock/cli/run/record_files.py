"""``--joblog`` and ``--results`` as a run has them: looked at before anything runs, opened when it is about to.

Promises:

1. What cannot be written is refused before a job has run, and before a file of an earlier run is overwritten.
2. What cannot be written later (its disk is full) ends the run with a line that names the file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Protocol

from penstock.cli.run.joblog import Ended
from penstock.cli.streams import CannotWrite
from penstock.errors import ConfigError


class Record(Protocol):
    """Something beside stdout that is written as jobs end."""

    def add(self, ended: Ended) -> None:
        """One more has ended."""

    def close(self) -> None:
        """No more jobs will end: close what is open."""

    @property
    def failure(self) -> str:
        """Why it is not whole."""


class Recording:
    """A record that begins when it is told to."""

    def __init__(self, path: str, make: Callable[[], Record]) -> None:
        """`make` opens the record; it is called once, when the first jobs are about to run."""
        self._path = path
        self._make = make
        self._record: Record | None = None

    def begin(self) -> None:
        """The first job is about to run. CannotWrite, ConfigError: it cannot be written."""
        try:
            self._record = self._make()
        except OSError as error:
            raise CannotWrite(self._path, error) from None

    def add(self, ended: Ended) -> None:
        """One more has ended. CannotWrite: that cannot be written."""
        assert self._record is not None
        try:
            self._record.add(ended)
        except OSError as error:
            raise CannotWrite(self._path, error) from None

    @property
    def failure(self) -> str:
        """Why it is not whole, if the run went on without it."""
        return self._record.failure if self._record is not None else ""

    def close(self) -> None:
        if self._record is not None:
            self._record.close()


def check_file(path: str) -> None:
    """ConfigError: no file can be written there. Nothing is made."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        _check_parent(path)
        return
    except OSError as error:
        raise refused(path, error) from None
    if stat.S_ISDIR(mode):
        raise ConfigError(f"cannot write {path}: it is a folder")
    if stat.S_ISREG(mode) and not os.access(path, os.W_OK):
        raise ConfigError(f"cannot write {path}: permission denied")


def check_folder(path: str) -> None:
    """ConfigError: there is no such folder and none can be made, or nothing can be put into it. Nothing is made."""
    if os.path.isdir(path):
        if not os.access(path, os.W_OK | os.X_OK):
            raise ConfigError(f"cannot write into {path}: permission denied")
    elif os.path.lexists(path):
        raise ConfigError(f"{path} is a file: name a folder, one that is there or a new one")
    else:
        _check_parent(path, is_made=True)


def _check_parent(path: str, *, is_made: bool = False) -> None:
    """Whether something can be made in the folder where it is to be, or (`is_made`) in the first one that is there."""
    parent = os.path.dirname(os.path.abspath(path))
    while is_made and not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    if not os.path.isdir(parent):
        raise ConfigError(f"cannot write {path}: there is no folder {parent}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigError(f"cannot write {path}: permission denied in {parent}")


def refused(path: str, error: OSError) -> ConfigError:
    """Why it cannot be written."""
    return ConfigError(f"cannot write {path}: {(error.strerror or str(error)).lower()}")
