"""Rows with a checksum over all their columns: SQLite gives out a flipped bit as if it had been written.

Promises:

1. A row that changed on the disk, wherever in it, is told from a sound one; so is a row that stands in another's place.
2. Changing a damaged row leaves it a damaged one: no update makes a checksum for what it found.

The checksum is the column `sum`. It covers the other columns, but large values: these have a checksum of their own in
the column `crc`, which `sum` covers.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

import msgspec

from penstock.errors import StoreError

DAMAGED_SUM = -1
"""No checksum: what was found damaged stays it."""

_crc32 = zlib.crc32
_encode = msgspec.msgpack.Encoder().encode


def checksum(*parts: bytes | memoryview) -> int:
    """CRC-32 of the parts one after the other. SQLite itself does not notice a flipped bit in a row."""
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    return crc


def is_whole(crc: Any, *parts: Any) -> bool:
    """Whether these are what has the checksum `crc`; in a damaged row they may be of any type."""
    try:
        return bool(checksum(*parts) == crc)
    except TypeError:
        return False


def row_sum(*values: Any) -> int:
    """What `sum` is for a row: the SQL function of this name, of the table's name and the columns."""
    return _crc32(_encode(values))


class CheckedTable:
    """A table of that name and the columns that `sum` covers, in order; all of it as SQL."""

    def __init__(self, name: str, *columns: str) -> None:
        self.name: str = name
        self.columns: tuple[str, ...] = columns

    def sum(self, **values: str) -> str:
        """The checksum of a row with these expressions for columns; for the others, what it has."""
        return f"row_sum('{self.name}', {', '.join(values.get(column, column) for column in self.columns)})"

    def new_sum(self, **values: str) -> str:
        """In an UPDATE that sets these columns to these expressions: the checksum of the changed row."""
        return f"iif(sum = {self.sum()}, {self.sum(**values)}, {DAMAGED_SUM})"

    def change(self, **values: str) -> str:
        """The beginning of an UPDATE that sets these columns to these expressions, and the checksum with them."""
        changes = ", ".join(f"{column} = {value}" for column, value in values.items())
        return f"UPDATE {self.name} SET {changes}, sum = {self.new_sum(**values)}"

    def write(self, **values: str) -> str:
        """The beginning of an UPDATE after which the row is sound, whatever it was."""
        changes = "".join(f"{column} = {value}, " for column, value in values.items())
        return f"UPDATE {self.name} SET {changes}sum = {self.sum(**values)}"

    @property
    def is_sound(self) -> str:
        """Whether a row is as it was written."""
        row = ", ".join(f"{self.name}.{column}" for column in self.columns)
        return f"{self.name}.sum = row_sum('{self.name}', {row})"


def fill(tables: Iterable[CheckedTable]) -> str:
    """For a migration: gives every row of these tables its checksum."""
    return "".join(f"{table.write()};\n" for table in tables)


class DamagedRow(StoreError):  # noqa: N818 - a state of the world, caught by name
    """A row is not as it was written; `key` tells which to whoever is to contain it."""

    def __init__(self, text: str, key: Any = None) -> None:
        super().__init__(text)
        self.key = key
