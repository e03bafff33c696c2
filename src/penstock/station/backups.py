"""The backups that clients want of a station's store: what is asked for is checked, begun, and made between turns."""

from __future__ import annotations

import socket
from pathlib import Path

from penstock import errors
from penstock.station.contract import CopyStore
from penstock.station.log_events import emit
from penstock.station.loop import Process
from penstock.station.store_copy import StoreCopy, check_target, size_of
from penstock.station.store_file import StoreFile
from penstock.wire.desk_messages import BackUp, BackUpState, Refused

ASKER_PATIENCE = 30.0
"""Seconds after which a copy is given up that nobody asks after: who wants it asks some times in a second."""


class Backups:
    """The copies that clients want of a station's store, one at a time."""

    def __init__(self, store: StoreFile, process: Process) -> None:
        self._store = store
        self._process = process
        self._asked = b""
        """Which one was begun last."""
        self._copy: StoreCopy | None = None
        self._failure: errors.PenstockError | None = None
        """Why the last one is not under way and not whole."""
        self._asked_at = 0.0
        self.made_at: float | None = None
        """When the last whole copy of this life was made, by the process's clock."""

    @property
    def is_under_way(self) -> bool:
        """Whether there is a step to do."""
        return self._copy is not None and not self._copy.is_whole

    def answer(self, wanted: CopyStore) -> BackUpState | Refused:
        """What a client that may ask is told."""
        try:
            return self._state(wanted.asked, wanted.key)
        except errors.PenstockError as error:
            return Refused(wanted.asked.number, type(error).__name__, str(error))

    def _state(self, asked: BackUp, key: str) -> BackUpState:
        folder, home = Path(asked.folder), self._store.path.parent
        if asked.data and Path(asked.data).resolve() != home:
            raise errors.ConfigError(f"{asked.data}: the station at this URL has its store in another folder, {home}")
        is_last = asked.asked == self._asked
        if is_last:
            self._asked_at = self._process.clock.now()
            if self._failure is not None:
                raise self._failure
        elif self.is_under_way:
            raise errors.ConfigError(f"{self._store.path}: another backup of it is under way; try again when it ends")
        elif asked.begins:
            self._begin(asked, folder, key)
            is_last = True
        copy = self._copy if is_last else None
        free = 0 if is_last else check_target(self._store.path, folder)
        return BackUpState(
            number=asked.number,
            path=str(folder / self._store.path.name),
            host=socket.gethostname(),
            size=size_of(self._store.path) if copy is None or not copy.is_whole else copy.size,
            free=free,
            copied=None if copy is None else copy.copied,
        )

    def _begin(self, asked: BackUp, folder: Path, key: str) -> None:
        self._copy = StoreCopy(self._store, folder)
        self._asked, self._failure, self._asked_at = asked.asked, None, self._process.clock.now()
        emit(self._process.logger, "backup_asked", {"path": self._copy.path, "key": key})

    def step(self) -> None:
        """Between two turns."""
        copy = self._copy
        if copy is None or copy.is_whole:
            return
        if self._process.clock.now() > self._asked_at + ASKER_PATIENCE:
            self._fail(errors.StoreError(f"{copy.path}: nobody has asked for this copy any more: it was given up"))
            return
        try:
            if copy.step():
                self.made_at = self._process.clock.now()
                emit(self._process.logger, "backed_up", {"path": copy.path})
        except errors.StoreError as error:
            self._fail(error)

    def _fail(self, error: errors.StoreError) -> None:
        emit(self._process.logger, "backup_failed", {"error": str(error)})
        self._failure = error
        self.close()

    def close(self) -> None:
        """Delete what is not whole."""
        if self._copy is not None:
            self._copy.close()
            self._copy = None
