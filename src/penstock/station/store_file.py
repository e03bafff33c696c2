"""One SQLite file in a data folder, owned by one process: open, lock, one transaction per turn, reopen.

Promises:

1. What a transaction committed survives a kill -9 of the process, and with `durable` a power cut too. With `scratch`
   a power cut may leave nothing.
2. One process at a time: a lock file beside the store says who. Only its owner opens it (data_folder.py).
3. Whatever goes wrong is a StoreError of one line that names the file. A transaction that failed is *unknown*, not
   undone: the store refuses to go on until `reopen`, and then the same saves can be given again.
4. A file of a newer penstock, of another program, or one that lost its write-ahead log's other half is refused and left
   as it is; so is one whose schema or trees are damaged. A damaged row is told from a sound one (checked_rows.py).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import apsw
import msgspec

from penstock.errors import SchemaMismatch, StoreError, StoreFull
from penstock.station.checked_rows import CheckedTable, DamagedRow, row_sum
from penstock.station.data_folder import lock, make_private, prepare
from penstock.station.growth import Growth
from penstock.station.store_health import CHECK_BYTES, faults, mend_indexes, schema_sum

APPLICATION_ID = 0x504E5300
"""``PNS`` and the kind of store: tells our files from others' (PRAGMA application_id)."""

CHECKPOINT_PAGES = 4000
"""16 MB of write-ahead log between checkpoints: hot pages are written back once, and the log stays in the cache."""
SCRATCH_PAGE_BYTES = 16 << 10
"""In a folder that goes with the pipeline nothing waits for a sync, so what counts is how often the kernel is asked:
1 MB took half the time of 4 KB pages, a single job the same."""
JOURNAL_BYTES = 16 << 20
"""What the write-ahead log, or the rollback journal, is cut back to after a burst."""
CACHE_KIB = 16 << 10
"""Page cache. The inner pages of the indexes over 10 M rows fit."""
DELETE_ROWS = 256
DELETE_BYTES = 4 << 20
"""What one transaction deletes of a doomed batch at most: about 5 ms, unseen beside a sync."""

COMMENT = re.compile("[ ]*--.*")
"""What SQLite need not keep of a script: the schema of a new file is to fit into its first page, which can be put in
from another one if it is damaged (store_salvage.py)."""

MAGIC = b"SQLite format 3\0"
"""How a store begins. SQLite takes a file shorter than its header for an empty one, and would write over it."""
NOT_OURS = "not a penstock store; move the file away or name another folder with --data"

DAMAGED = "the file is damaged: `penstock check --repair` on its folder saves what is sound, or restore a backup"

DAMAGE = CheckedTable("damage", "number", "found_time", "what")
DAMAGES_KEPT = 1000
"""Of what was found damaged, the newest: a disk that dies has no end of it."""

HINTS: tuple[tuple[type[apsw.Error], str], ...] = (
    (apsw.FullError, "the disk is full; free some room, nothing acknowledged is lost"),
    (apsw.NotADBError, NOT_OURS),
    (apsw.CorruptError, DAMAGED),
    (apsw.SQLError, DAMAGED),
    (apsw.IOError, "the disk does not read or write"),
    (apsw.ReadOnlyError, "the file or its file system is read-only"),
    (apsw.CantOpenError, "cannot be opened"),
    (apsw.BusyError, "another process has it open"),
)


class StoreFile:
    """The file `name` in `folder` (made, with mode 0700, where it is missing).

    `scripts` are the schema's versions: script i leads from version i to i + 1. `meta` is the table of one row that
    says what the file is, `functions` are SQL functions of the store's own. Raises StoreError, StoreInUse,
    SchemaMismatch.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        kind: int,
        scripts: tuple[str, ...],
        durable: bool,
        scratch: bool,
        *,
        meta: CheckedTable,
        functions: Mapping[str, Callable[..., Any]] = MappingProxyType({}),
    ) -> None:
        self._kind, self._scripts, self._meta = APPLICATION_ID + kind, scripts, meta
        self._functions = {"row_sum": row_sum, **functions}
        self._synchronous = "full" if durable else "off" if scratch else "normal"
        self._scratch = scratch
        self._failed = self._unclean = False
        """Whether a write failed, and whether a log with data in it lay beside the file when it was opened."""
        self.is_reindexed: bool = False
        """Whether the indexes had to be made anew: then something is wrong in the rows, too, or was found by none."""
        self._doomed: list[int] = []
        try:
            folder = prepare(folder, durable=durable)
            self.path: Path = folder / name
            self.growth: Growth = Growth(self.path, self.free_bytes)
            self._lock = lock(folder, name)
        except OSError as error:
            raise StoreError(f"{folder}: {error.strerror}") from None
        try:
            self.db: apsw.Connection = self._open()
            try:
                self._settle()
            except BaseException:
                self.db.close(True)
                raise
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Close the file and let others have it."""
        self.db.close(True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def reopen(self) -> None:
        """After a StoreError: open the file anew and read what was really committed. Where there is no room for that
        (StoreFull), what is in the file can be read all the same."""
        self.db.close(True)
        try:
            self.db = self._open()
        except StoreFull:
            with suppress(StoreError), self.guard():
                self.db = self._connect()
                self.db.pragma("query_only", True)
            raise
        self._settle()
        self._failed = False

    @contextmanager
    def transaction(self) -> Iterator[apsw.Cursor]:
        """All or nothing. After an error only `reopen` helps: the outcome of a failed COMMIT is unknown."""
        if self._failed:
            raise StoreError(f"{self.path}: an earlier write failed; it must be opened again")
        self._failed = True
        with self.guard():
            cursor = self.db.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
        self._failed = False

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Turns SQLite's errors, and those of what it gave out, into a StoreError of one line."""
        try:
            yield
        except apsw.Error as error:
            hint = next((text for kind, text in HINTS if isinstance(error, kind)), "cannot be used")
            kind = StoreFull if isinstance(error, apsw.FullError) else StoreError
            raise kind(f"{self.path}: {hint} ({str(error).splitlines()[0]})") from error
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            # a damaged row may hold anything, also NULL where none can be, or text that is none
            raise StoreError(f"{self.path}: {DAMAGED} ({error})") from error
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error

    @property
    def untidy(self) -> bool:
        """Whether deleted batches still have rows: each `save` takes a few of them out, an empty one too."""
        return bool(self._doomed)

    def free_bytes(self) -> int:
        """How much of the file deleted batches have left free: it is used again, but not given back to the disk."""
        return int(self.db.pragma("freelist_count")) * int(self.db.pragma("page_size"))

    def doomed(self) -> list[int]:
        """The numbers of deleted batches that still have rows, oldest first."""
        rows: list[Any] = self.db.execute("SELECT number FROM doomed ORDER BY number").fetchall()
        return [number for (number,) in rows]

    def value(self, query: str) -> Any:
        """The only value of the only row."""
        return self.only_row(query)[0]

    def only_row(self, query: str) -> tuple[Any, ...]:
        """What a query gives that has one row. Raises StoreError."""
        with self.guard():
            row: Any = self.db.execute(query).fetchone()
            return tuple(row)

    def damaged(self, row: str, key: Any = None) -> DamagedRow:
        """The error for a row whose checksum is wrong; `key` tells which one it is to whoever contains it."""
        return DamagedRow(f"{self.path}: {row} is damaged on disk (checksum)", key)

    def damages(self) -> list[tuple[float, str]]:
        """What was found damaged here, and when (wall clock), oldest first; what became of it is said with it."""
        with self.guard():
            rows: list[Any] = self.db.execute(
                f"SELECT found_time, what FROM damage WHERE {DAMAGE.is_sound} ORDER BY number"
            ).fetchall()
        return [(found_time, what) for found_time, what in rows]

    def note_damage(self, cursor: apsw.Cursor, what: str) -> None:
        """Remember what was found damaged, for `penstock check` and for whoever asks how things stand."""
        cursor.execute("INSERT INTO damage (found_time, what, sum) VALUES (?, ?, 0)", (time.time(), what))
        cursor.execute(f"{DAMAGE.write()} WHERE number = last_insert_rowid()")
        cursor.execute("DELETE FROM damage WHERE number <= last_insert_rowid() - ?", (DAMAGES_KEPT,))

    def _open(self) -> apsw.Connection:
        fresh = not self.path.exists() or self.path.stat().st_size == 0
        log = self.path.with_name(self.path.name + "-wal")
        self._unclean = log.exists() and log.stat().st_size > 0
        if fresh and self._unclean:
            raise StoreError(
                f"{self.path}: empty beside a write-ahead log with data in it; restore both, or move both away"
            )
        if not fresh and _beginning(self.path) != MAGIC:
            raise StoreError(f"{self.path}: {NOT_OURS}")
        with self.guard():
            make_private(self.path)
            db = self._connect()
            try:
                self._mend_header(db)
                self._configure(db)
                if not fresh:
                    self._examine_trees(db)
                self._migrate(db)
                self._examine_schema(db)
            except BaseException:
                db.close(True)
                raise
        return db

    def _connect(self) -> apsw.Connection:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW
        db = apsw.Connection(str(self.path), flags=flags, statementcachesize=64)
        for function in self._functions.items():
            db.create_scalar_function(*function, deterministic=True)
        # exclusive before WAL: then there is no shared memory file, and no other process can get in between
        db.pragma("locking_mode", "exclusive")
        return db

    def _settle(self) -> None:
        """What is read here may have been written by a process that died, or failed, before its sync, and others will
        be told of it: so first it goes to the disk, and so does the name of a file that is new."""
        if self._synchronous != "full":
            return
        with self.guard():
            if self._unclean:
                self.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                # a commit, whatever it says: a log that begins anew is on the disk, so the old one is void there too
                self.db.pragma("user_version", len(self._scripts))
            sync_folder(self.path.parent)

    def _configure(self, db: apsw.Connection) -> None:
        application = db.pragma("application_id")
        if application not in (0, self._kind) or (application == 0 and db.pragma("schema_version")):
            raise StoreError(
                f"{self.path}: a database of another kind; move it away or name another folder with --data"
            )
        if self._scratch:
            # without a sync a rollback journal is the cheaper one: new pages are written once, and nothing is summed up
            db.pragma("page_size", SCRATCH_PAGE_BYTES)
            db.pragma("journal_mode", "persist")
        else:
            db.pragma("journal_mode", "wal")
            db.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        db.pragma("synchronous", self._synchronous)
        db.pragma("journal_size_limit", JOURNAL_BYTES)
        db.pragma("cache_size", -CACHE_KIB)
        db.pragma("temp_store", "memory")

    def _migrate(self, db: apsw.Connection) -> None:
        version, newest = db.pragma("user_version"), len(self._scripts)
        if version > newest:
            raise SchemaMismatch(
                f"{self.path}: has schema {version}, this penstock knows up to {newest}; use the penstock that wrote it"
            )
        if version == newest:
            return
        db.execute("BEGIN IMMEDIATE")
        for script in self._scripts[version:]:
            db.execute(COMMENT.sub("", script))
        self.write_schema_sum(db)
        db.pragma("application_id", self._kind)
        db.pragma("user_version", newest)
        db.execute("COMMIT")

    def write_schema_sum(self, db: apsw.Connection) -> None:
        """Into a file with this store's rows: the checksum of its schema as it is there."""
        db.execute(self._meta.write(schema="?1"), (schema_sum(db, len(self._scripts)),))

    def _mend_header(self, db: apsw.Connection) -> None:
        """Whose file it is, and which version's, stands in its header, too: what is in the rows has a checksum."""
        try:
            self._examine_schema(db)
        except (StoreError, apsw.Error):
            return  # it is another's, of another version, or damaged beyond that
        if (db.pragma("application_id"), db.pragma("user_version")) != (self._kind, len(self._scripts)):
            db.pragma("application_id", self._kind)
            db.pragma("user_version", len(self._scripts))

    def _examine_trees(self, db: apsw.Connection) -> None:
        """Indexes are made anew from the tables; for what else is wrong somebody must decide."""
        if self.path.stat().st_size > CHECK_BYTES or not faults(db):
            return
        if left := mend_indexes(db):
            raise StoreError(f"{self.path}: {DAMAGED} ({left[0].splitlines()[0]})")
        self.is_reindexed = True

    def _examine_schema(self, db: apsw.Connection) -> None:
        rows: list[Any] = db.execute(f"SELECT {self._meta.is_sound}, schema FROM meta").fetchall()
        if rows != [(1, schema_sum(db, len(self._scripts)))]:
            raise StoreError(f"{self.path}: {DAMAGED} (what it says of itself is not as it was written)")

    def _roll_back(self) -> None:
        """So that reads see nothing half done; many errors have rolled back already."""
        with suppress(apsw.Error):
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(MAGIC))


def sync_folder(folder: Path) -> None:
    """A new file's name is durable only when its folder is; SQLite does not say when that fails."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
