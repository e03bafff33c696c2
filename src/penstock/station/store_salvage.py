"""A store that cannot be opened is put together anew, from the rows of it that are sound.

Promises:

1. The damaged file is kept, under a name that ends in ``.damaged``; nothing is written into it.
2. Only rows with the right checksum are taken over. Of a table with a damaged page all is read before it and behind it;
   a damaged header or schema is that of a new file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import apsw

from penstock.errors import StoreError
from penstock.station.checked_rows import CheckedTable, row_sum
from penstock.station.data_folder import BESIDE, lock, make_private
from penstock.station.store_file import StoreFile
from penstock.station.store_health import schema_sum

Store = TypeVar("Store", bound=StoreFile)
Row = tuple[Any, ...]
HEADER_BYTES = 100
UNREADABLE = (apsw.CorruptError, apsw.SQLError, apsw.NotADBError, apsw.FormatError, apsw.IOError)


class BrokenFile:
    """A store's file, read as far as it goes; nobody else has it meanwhile. `meta`: the table that says what it is."""

    def __init__(self, folder: Path, name: str, meta: CheckedTable) -> None:
        self.path: Path = folder.resolve() / name
        self._lock = lock(folder.resolve(), name)
        make_private(self.path)
        self._db = _opened(self.path, meta)
        self._meta = meta

    def close(self) -> None:
        """Let others have it."""
        os.close(self._lock)

    def rows(self, table: str, key: str, columns: str = "*") -> Iterator[Row]:
        """From its beginning to the first damaged page, then from its end; what is sound all over comes once."""
        for order in ("ASC", "DESC"):
            try:
                ordered = ", ".join(f"{column} {order}" for column in key.split(", "))
                yield from self._connection.execute(f"SELECT {columns} FROM {table} NOT INDEXED ORDER BY {ordered}")
            except UNREADABLE:
                continue
            return

    @property
    def _connection(self) -> apsw.Connection:
        if self._db is None:
            raise StoreError(f"{self.path}: nothing of it can be read: restore a backup, or move it away")
        return self._db

    def meta(self) -> dict[str, Any] | None:
        """What the file says of itself, if that can be trusted."""
        return _meta_of(self._connection, self._meta)

    def replace(self, make: Callable[[Path], Store], fill: Callable[[Store, BrokenFile], list[str]]) -> list[str]:
        """Make a store in a folder of its own, `fill` it, and put it in the place of the broken one; what is lost."""
        folder = self.path.with_name(f"{self.path.name}.mending")
        shutil.rmtree(folder, ignore_errors=True)
        store = make(folder)
        try:
            if not self._has_its_schema(store):
                self._take_schema_of(store)
            said = fill(store, self)
        except StoreError:
            shutil.rmtree(folder)
            raise
        finally:
            store.close()
        self._connection.close(True)
        kept = self.path.with_name(f"{self.path.name}.damaged")
        for suffix in ("", *BESIDE):
            if (part := self.path.with_name(self.path.name + suffix)).exists():
                part.replace(kept.with_name(kept.name + suffix))
        (folder / self.path.name).replace(self.path)
        shutil.rmtree(folder)
        return [f"put together anew; the damaged file is {kept.name}", *said]

    def _has_its_schema(self, new: StoreFile) -> bool:
        """Whether its tables are as they were made: a column that has another name is in no row that is looked for."""
        known = None if self._db is None else self.meta()
        if self._db is None or known is None:
            return False
        try:
            return bool(schema_sum(self._db, new.db.pragma("user_version")) == known["schema"])
        except (*UNREADABLE, UnicodeDecodeError):
            return False

    def _take_schema_of(self, new: StoreFile) -> None:
        """The first page, which has header and schema, may be what is damaged: that of a new file says the same. It is
        put before a copy of the rest; whether the rows are those of these tables is told by their checksums."""
        new.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        header = bytearray(new.path.read_bytes()[:HEADER_BYTES])
        page_bytes = int.from_bytes(header[16:18], "big")
        copy = new.path.with_name("copy")
        shutil.copyfile(self.path, copy)
        header[28:40] = (copy.stat().st_size // page_bytes).to_bytes(4, "big") + bytes(8)  # pages; none is free
        with copy.open("r+b") as file, new.path.open("rb") as first:
            file.write(header + first.read(page_bytes)[HEADER_BYTES:])
        db = _opened(copy, self._meta)
        if db is not None and _meta_of(db, self._meta) is not None:
            self._db = db


def _opened(path: Path, meta: CheckedTable) -> apsw.Connection | None:
    """The file, if anything of it can be read."""
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        db.pragma("locking_mode", "exclusive")
        db.create_scalar_function("row_sum", row_sum, deterministic=True)
        db.execute(f"SELECT count(*) FROM {meta.name}").fetchall()
    except UNREADABLE:
        return None
    return db


def _meta_of(db: apsw.Connection, meta: CheckedTable) -> dict[str, Any] | None:
    try:
        rows: list[Any] = db.execute(f"SELECT {', '.join(meta.columns)} FROM meta WHERE {meta.is_sound}").fetchall()
    except UNREADABLE:
        return None
    return dict(zip(meta.columns, rows[0], strict=True)) if len(rows) == 1 else None


def take_over(store: StoreFile, broken: BrokenFile, table: CheckedTable | str, key: str) -> None:
    """Copy the rows of a table that are sound; one that has no checksum is copied as far as it can be read."""
    name = table if isinstance(table, str) else table.name
    columns: list[str] = [row[1] for row in store.db.execute(f"PRAGMA table_info({name})")]
    places = ", ".join("?" * len(columns))
    with store.transaction() as cursor:
        for row in broken.rows(name, key, ", ".join(columns)):
            try:
                cursor.execute(f"INSERT OR IGNORE INTO {name} ({', '.join(columns)}) VALUES ({places})", row)
            except apsw.ConstraintError:
                continue  # of a type that no sound row has there
        if not isinstance(table, str):
            cursor.execute(f"DELETE FROM {name} WHERE NOT {table.is_sound}")
