"""Who holds an address: locks on ipc paths, and whose process listens on a tcp port."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path

from penstock.errors import ConfigError

FOLDER_MODE = 0o700
"""Who can enter the folder can talk to the sockets in it."""


def hold(path: Path) -> int:
    """Lock an ipc path, in a folder of our own: libzmq lets a second process bind it, and steal it from the first.

    Returns the lock's file descriptor. Raises ConfigError: the folder is open to others, the path is in use.
    """
    folder = path.parent
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        raise ConfigError(f"{folder} can be entered by others: chmod 700 {folder}")
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "another process"
        os.close(lock)
        raise ConfigError(f"ipc://{path} is in use by process {owner}: stop it or choose another folder") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def listener(port: int) -> str:
    """Who listens on a tcp port, as far as this machine's tables tell, and what to do about it."""
    import psutil  # noqa: PLC0415 - only for the error

    with contextlib.suppress(psutil.Error):
        for entry in psutil.net_connections("tcp"):
            if entry.status == psutil.CONN_LISTEN and entry.laddr[1:] == (port,) and entry.pid:
                return f" (process {entry.pid}, {psutil.Process(entry.pid).name()}): stop it or choose another port"
    return ": stop what listens there or choose another port"
