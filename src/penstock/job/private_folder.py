"""The private folders of embedded pipelines, where temporary files are.

Promises:

1. Only this user can enter one, and its path is short enough for sockets.
2. It has an owner as long as one of those lives who hold its lock: the client, the supervisor, the stations. The kernel
   lets go of a lock, however they end.
3. Of this user's folders (root has all) only those are removed that have lost their owner: when another pipeline starts
   there, when a worker ends, in whose jobs some may have been left open, and when a slot does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

from penstock.errors import ConfigError
from penstock.url import IPC_PATH_BYTES

PREFIX = "penstock-"
LOCK, NEW_LOCK = "owner.lock", "new.lock"
"""Whoever sees the first name sees it locked."""
UNFINISHED_TIME = 60.0
"""Seconds after which a folder that has no lock will not get one any more: making it takes a millisecond."""


def make_folder() -> tuple[Path, int]:
    """A new folder, and the file that is its lock: it is let go of when that is closed, here and in each child that has
    it. Raises ConfigError: there is no place for one."""
    folder = _new_folder()
    lock = os.open(folder / NEW_LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (folder / NEW_LOCK).rename(folder / LOCK)
    return folder, lock


def _new_folder() -> Path:
    failure: OSError | None = None
    for place in (None, "/tmp"):  # noqa: S108 - mkdtemp makes a private one
        try:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        except OSError as error:  # it was removed, or TMPDIR is wrong, or full
            failure = failure or error
            continue
        if len(os.fsencode(folder / "outcomes.lock")) <= IPC_PATH_BYTES:
            return folder
        folder.rmdir()
    raise ConfigError(f"no folder for a pipeline can be made where temporary files go: {failure}; set TMPDIR")


def remove_abandoned(where: Path) -> None:
    """The folders there whose owners are gone."""
    with contextlib.suppress(OSError), os.scandir(where) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):
                with contextlib.suppress(OSError):  # somebody else was quicker
                    _remove_if_abandoned(Path(entry.path), entry.stat(follow_symlinks=False))


def _remove_if_abandoned(folder: Path, found: os.stat_result) -> None:
    if not stat.S_ISDIR(found.st_mode) or os.geteuid() not in {0, found.st_uid} or found.st_mode & 0o077:
        return
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        if time.time() > found.st_mtime + UNFINISHED_TIME:
            (folder / NEW_LOCK).unlink(missing_ok=True)
            folder.rmdir()  # unless it is somebody's who has put something into it
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
