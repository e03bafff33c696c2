"""A copy of a store that is in use, made in steps, so that its station has a turn between any two.

Promises:

1. A step copies so many bytes and no more, and they are on the disk before the next one: the end takes no longer.
2. What the station commits between two steps is in the copy: it is the store of the moment at which it became whole.
3. The copy has a name that ends in ``.part`` until all of it is on the disk. A copy that fails, or is closed before, is
   deleted; a process that is killed leaves it under that name.
4. Nothing is written over, nothing begins where there is no room, and nobody else can read the copy.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import apsw

from penstock import errors
from penstock.job.private_file import open_private
from penstock.station.store_file import StoreFile, sync_folder

STEP_BYTES = 1 << 20
"""Copied between two turns: some milliseconds."""
PART = ".part"


class StoreCopy:
    """A copy of this store in a folder (made, with mode 0700, where it is missing). Raises StoreError, and what
    `check_target` raises."""

    def __init__(self, store: StoreFile, folder: Path) -> None:
        check_target(store.path, folder)
        self._store, self._from = store, store.db
        with store.guard():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path: Path = folder.resolve() / store.path.name
            self._part = self.path.with_name(self.path.name + PART)
            self._part.unlink(missing_ok=True)
            self._file = open_private(self._part, os.O_EXCL | os.O_WRONLY)
            try:
                flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW
                self._copy = apsw.Connection(str(self._part), flags=flags)
                self._copy.pragma("journal_mode", "off")  # a copy that fails is deleted
                self._copy.pragma("synchronous", "off")  # each step does that
                self._copy.pragma("cache_size", -(STEP_BYTES >> 10))
                self._backup = self._copy.backup("main", self._from, "main")
            except BaseException:
                self._part.unlink()
                os.close(self._file)
                raise
        self._pages = max(1, STEP_BYTES // int(self._from.pragma("page_size")))
        self.is_whole = False
        self.size = 0
        """In bytes, when it is whole."""

    @property
    def copied(self) -> float:
        """How much of it is copied, from 0 to 1."""
        if self.is_whole:
            return 1.0
        return 1 - self._backup.remaining / self._backup.page_count if self._backup.page_count else 0.0

    def step(self) -> bool:
        """Copy a little more; True: it is whole, and has its name. Raises StoreError: it will not be."""
        try:
            if self._store.db is not self._from:
                raise errors.StoreError(f"{self._store.path}: it had to be opened anew while it was copied")
            with self._store.guard():
                self._backup.step(self._pages)
                os.fdatasync(self._file)
                if self._backup.done:
                    self._finish()
        except errors.StoreError as error:
            self.close()
            raise errors.StoreError(f"{self._part}: the copy failed: {error}") from None
        return self.is_whole

    def _finish(self) -> None:
        self._backup.finish()
        self._copy.close(True)
        os.fsync(self._file)
        self.size = os.fstat(self._file).st_size
        if self.path.exists():
            raise errors.StoreError(f"{self.path}: this file was made meanwhile")
        self._part.rename(self.path)
        self.is_whole = True
        sync_folder(self.path.parent)
        self.close()

    def close(self) -> None:
        """Delete what is not whole."""
        if self._file < 0:
            return
        self._backup.close(True)
        self._copy.close(True)
        if not self.is_whole:
            self._part.unlink(missing_ok=True)
        os.close(self._file)  # last: with it go the locks that SQLite has on this file
        self._file = -1


def size_of(store: Path) -> int:
    """How many bytes a copy takes at most."""
    log = store.with_name(f"{store.name}-wal")
    return store.stat().st_size + (log.stat().st_size if log.exists() else 0)


def check_target(store: Path, folder: Path) -> int:
    """Whether a copy of this store can be made in this folder; how many bytes are free there. Raises ConfigError."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not folder.is_absolute() or not place.is_dir():
        raise errors.ConfigError(f"{folder}: this is no folder for a backup")
    if not os.access(place, os.W_OK | os.X_OK):
        raise errors.ConfigError(f"{place}: the user of the station may not write here; name another folder")
    if (folder / store.name).exists():
        raise errors.ConfigError(f"{folder / store.name}: this file exists; a backup never overwrites another one")
    free, needed = shutil.disk_usage(place).free, size_of(store)
    if free < needed:
        raise no_room(folder, free, needed)
    return free


def no_room(folder: Path, free: int, needed: int) -> errors.ConfigError:
    """The error where so many bytes are free, and so many are needed."""
    return errors.ConfigError(
        f"{folder}: its disk has {free:,} bytes left, and the copies take up to {needed:,}: make room, or name another"
        " folder"
    )
