"""A store is written anew without the room that deleted batches have left in it.

Promises:

1. Until all of the new file is on the disk, and looked through, the old one is the store; from then on the new one is.
2. Nothing is begun where there is no room for both.
"""

from __future__ import annotations

import os
import shutil

import apsw

from penstock.errors import StoreError, StoreFull
from penstock.job.private_file import open_private
from penstock.station.checked_rows import row_sum
from penstock.station.store_file import DAMAGED, StoreFile, sync_folder
from penstock.station.store_health import faults

PART = ".compact"


def compact(store: StoreFile) -> tuple[int, int]:
    """The sizes of a store, in bytes, before and after; it can only be closed then. Raises StoreError, StoreFull."""
    part = store.path.with_name(store.path.name + PART)
    with store.guard():
        store.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        before, needed = store.path.stat().st_size, store.path.stat().st_size - store.free_bytes()
        free = shutil.disk_usage(store.path.parent).free
        if free < needed:
            raise StoreFull(f"{store.path}: its disk has {free:,} bytes left, and the new file takes {needed:,}")
        part.unlink(missing_ok=True)
        file = open_private(part, os.O_EXCL | os.O_WRONLY)
        try:
            store.db.execute("VACUUM INTO ?", (str(part),))
            _put_right(store, str(part))
            os.fsync(file)
            store.db.close(True)  # with it goes its log, which is empty; the lock stays until all is done
            if store.path.with_name(f"{store.path.name}-wal").exists():
                raise StoreError(f"{store.path}: its write-ahead log could not be written back")
            part.replace(store.path)
        finally:
            part.unlink(missing_ok=True)
            os.close(file)
        sync_folder(store.path.parent)
    return before, store.path.stat().st_size


def _put_right(store: StoreFile, path: str) -> None:
    """The trees begin elsewhere, and what the file says of itself has a checksum over that, too."""
    new = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW)
    try:
        new.pragma("journal_mode", "off")
        new.create_scalar_function("row_sum", row_sum, deterministic=True)
        store.write_schema_sum(new)
        if found := faults(new):
            raise StoreError(f"{store.path}: {DAMAGED} ({found[0].splitlines()[0]})")
    finally:
        new.close(True)
