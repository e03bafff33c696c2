"""A data folder: whether stores can be in it, whose what lies there is, and who has it.

Nothing in it is for others than its owner, whatever the folder's mode and the umask; files of another user are refused,
by root too.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from penstock.errors import StoreError, StoreInUse, UnfitFolder
from penstock.file_owner import stranger
from penstock.job.private_file import not_ours, open_private

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "lustre", "beegfs", "gpfs", "afs", "fuse.sshfs", "fuse.glusterfs"}
)
MEMORY = frozenset({"tmpfs", "ramfs"})

FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}

BESIDE = ("-wal", "-journal", "-shm")
"""What SQLite puts beside a file, behind the file's name."""


def prepare(folder: Path, *, durable: bool) -> Path:
    """Make the data folder, if need be, and look whether a store can be in it; its real place. Raises UnfitFolder: it
    should not, OSError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        if error.errno not in FORBIDDEN:
            raise
        why = os.strerror(error.errno).lower()
        raise UnfitFolder(f"{folder} cannot be made ({why}): name another folder with --data") from None
    real = folder.resolve()
    for place in (folder, real):  # whose the link is, or the folder, could put other files there
        if stranger(place, trusts_root=True):
            raise UnfitFolder(f"{folder}: {not_ours(place)}" if place != folder else not_ours(place))
    folder = real
    _check_folder(folder)
    if durable:
        _check_filesystem(folder)
    return folder


def _check_folder(folder: Path) -> None:
    """Refuses a folder in which others can write, and one of another user's in which this one cannot."""
    if not os.access(folder, os.W_OK | os.X_OK) and (why := not_ours(folder)):
        raise UnfitFolder(why)
    if folder.stat().st_mode & 0o022:
        raise UnfitFolder(f"{folder}: others may write into this data folder; chmod 700 it")


def _check_filesystem(folder: Path) -> None:
    """Refuses the network and memory for a durable store."""
    kind = filesystem(folder)
    if kind in NETWORK:
        raise UnfitFolder(
            f"{folder}: on a network file system ({kind}), which loses locks and syncs; name a local folder with --data"
        )
    if kind in MEMORY:
        raise UnfitFolder(f"{folder}: in memory ({kind}), gone at the next boot; name a folder on a disk with --data")


def filesystem(folder: Path) -> str:
    """The type of the file system a folder lies on, as the mount table names it (``ext4``, ``nfs4``)."""
    import psutil  # noqa: PLC0415 - a tenth of an embedded station's start, which does not need it

    kind, depth = "", -1
    for part in psutil.disk_partitions(all=True):
        mount = Path(part.mountpoint)
        if len(mount.parts) >= depth and folder.is_relative_to(
            mount
        ):  # of two mounts on one place the later one counts
            kind, depth = part.fstype, len(mount.parts)
    return kind


def make_private(path: Path) -> None:
    """A store's file, made where it is missing, and what lies beside it: SQLite gives its mode to what it makes there.
    Raises UnfitFolder: one of them is another user's, OSError."""
    beside = [path.with_name(path.name + suffix) for suffix in BESIDE]
    for one in (path, *beside):
        if why := not_ours(one):
            raise UnfitFolder(why)
    for one in (path, *(file for file in beside if file.exists())):
        try:
            os.close(open_private(one, os.O_RDONLY))
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise StoreError(f"{one}: cannot be opened: it is a symbolic link") from None
            raise


def lock(folder: Path, name: str) -> int:
    """Be the only process that has this store; the lock, to be closed. Raises StoreInUse; UnfitFolder: it is another
    user's."""
    path = folder / f"{name}.lock"
    if why := not_ours(path):
        raise UnfitFolder(why)
    held = open_private(path, os.O_RDWR)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(held, 32, 0).decode("ascii", "replace").strip()
        os.close(held)
        raise StoreInUse(
            f"{folder}: {name} is in use by process {holder}; stop that one or name another --data"
        ) from None
    os.ftruncate(held, 0)
    os.pwrite(held, b"%d\n" % os.getpid(), 0)
    return held
