"""The key by which managers of multiprocessing know their clients, from a client of a pipeline to slots on its host.

A proxy that is pickled for a job has no key in it: multiprocessing lets whoever unpickles it use the authkey of its own
process, which the workers of a Pool inherit. A slot inherits nothing of its client, and whoever has the key runs code
in the manager. So it does not travel: not over tcp, where without keys of ours all is in the clear, and not in a
batch, which is stored in the queue file. The client puts it into a file in memory (/dev/shm) that only its own user can
read, named by the random word that its calls carry (BatchSpec.client), for as long as it lives. A slot of the same user
on the same host, of an embedded pipeline or of a running one, finds it there; others cannot, and a manager is rarely
reachable from another host anyhow: there, set ``current_process().authkey`` in an initializer.
"""

from __future__ import annotations

import contextlib
import stat
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

from penstock.job.originals import os
from penstock.job.spec import ID_BYTES

ROOT = Path("/dev/shm")  # noqa: S108 - the folder in it is private, and looked at
MANAGERS = "multiprocessing.managers"
"""Nobody has a proxy who has not imported it."""
KEY_BYTES = 1 << 16
"""An authkey is no longer."""


def _folder() -> Path:
    return ROOT / f"penstock-{os.geteuid()}"


def _path(client: bytes) -> Path:
    return _folder() / client.hex()


class Client:
    """A client, as the processes of its jobs know it: a random word, and what they find under it."""

    def __init__(self) -> None:
        self.word: bytes = os.urandom(ID_BYTES)
        self._shared: bytes | None = None
        self._withdraw: Callable[[], object] = lambda: None

    def share_key(self) -> None:
        """Put the key there, if managers are used here and it is not there yet. Costs nothing otherwise."""
        if MANAGERS not in sys.modules or sys.platform != "linux":
            return
        from multiprocessing import process  # noqa: PLC0415 - it is there

        key = process.current_process().authkey
        if key is self._shared:
            return
        self._withdraw()
        self._shared = key
        with contextlib.suppress(OSError):  # there is no place for it: proxies say that they were rejected
            _remove_abandoned(_own_folder())
            path = _path(self.word)
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            self._withdraw = weakref.finalize(self, _remove, path, fd, os.getpid())
            _lock(fd)
            os.write(fd, key)


class Heir:
    """A slot's side: this process has the key of the client whose calls it runs."""

    def __init__(self) -> None:
        self._seen: tuple[int, int] | None = None

    def look(self, client: bytes) -> None:
        """Take the key, if there is one that was not seen yet."""
        if not client:  # a command, or the call of a client of another language
            return
        try:
            fd = os.open(_path(client), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return
        from multiprocessing import process  # noqa: PLC0415 - a slot has it

        try:
            found = os.fstat(fd)
            if _is_own_file(found) and found.st_size and (found.st_ino, found.st_mtime_ns) != self._seen:
                self._seen = (found.st_ino, found.st_mtime_ns)
                process.current_process().authkey = os.read(fd, KEY_BYTES)
        finally:
            os.close(fd)


def _own_folder() -> Path:
    """Made, if need be. Raises OSError: it is not this user's alone."""
    folder = _folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not private")
    return folder


def _is_own_file(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()


def _lock(fd: int) -> bool:
    """Whether nobody else holds the file; held until this process ends or closes it."""
    import fcntl  # noqa: PLC0415 - Windows has none, and no /dev/shm

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove(path: Path, fd: int, pid: int) -> None:
    """Not in a forked child: the client lives."""
    os.close(fd)
    if os.getpid() == pid:
        path.unlink(missing_ok=True)


def _remove_abandoned(folder: Path) -> None:
    """The files of clients that were killed. One that is just being made has nothing in it."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
            if os.fstat(fd).st_size and _lock(fd):
                path.unlink()
            os.close(fd)
