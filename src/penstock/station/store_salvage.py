"""A store that cannot be opened is put together anew, from the rows of it that are sound.

Promises:

1. The damaged file is kept, under a name that ends in ``.damaged``; nothing is written into it.
2. Only rows with the right checksum are taken over. Of a table with a damaged page all is read before it and behind it.
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
from penstock.station.store_file import StoreFile, lock

Store = TypeVar("Store", bound=StoreFile)
Row = tuple[Any, ...]
UNREADABLE = (apsw.CorruptError, apsw.SQLError, apsw.NotADBError, apsw.FormatError, apsw.IOError)


class BrokenFile:
    """A store's file, read as far as it goes; no one else has it meanwhile."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path: Path = folder.resolve() / name
        self._lock = lock(folder.resolve(), name)
        try:
            self._db = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
            self._db.pragma("locking_mode", "exclusive")
            self._db.create_scalar_function("row_sum", row_sum, deterministic=True)
            self._db.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        except UNREADABLE as error:
            self.close()
            text = f"{self.path}: nothing of it can be read ({error}): restore a backup, or move it away"
            raise StoreError(text) from error

    def close(self) -> None:
        """Let others have it."""
        os.close(self._lock)

    def rows(self, table: str, key: str, columns: str = "*") -> Iterator[Row]:
        """From its beginning to the first damaged page, then from its end; what is sound all over comes once."""
        for order in ("ASC", "DESC"):
            try:
                ordered = ", ".join(f"{column} {order}" for column in key.split(", "))
                yield from self._db.execute(f"SELECT {columns} FROM {table} NOT INDEXED ORDER BY {ordered}")
            except UNREADABLE:
                continue
            return

    def meta(self, table: CheckedTable) -> dict[str, Any] | None:
        """What the file says of itself, if that can be trusted."""
        try:
            rows: list[Any] = self._db.execute(
                f"SELECT {', '.join(table.columns)} FROM meta WHERE {table.is_sound}"
            ).fetchall()
        except UNREADABLE:
            return None
        return dict(zip(table.columns, rows[0], strict=True)) if len(rows) == 1 else None

    def replace(self, make: Callable[[Path], Store], fill: Callable[[Store, BrokenFile], list[str]]) -> list[str]:
        """Make a store in a folder of its own, `fill` it, and put it in the place of the broken one; what is lost."""
        folder = self.path.with_name(f"{self.path.name}.mending")
        shutil.rmtree(folder, ignore_errors=True)
        store = make(folder)
        try:
            said = fill(store, self)
        finally:
            store.close()
        self._db.close(True)
        kept = self.path.with_name(f"{self.path.name}.damaged")
        for suffix in ("", "-wal", "-journal"):
            if (part := self.path.with_name(self.path.name + suffix)).exists():
                part.replace(kept.with_name(kept.name + suffix))
        (folder / self.path.name).replace(self.path)
        shutil.rmtree(folder)
        return [f"put together anew; the damaged file is {kept.name}", *said]


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
