"""Whether a store can be trusted as a whole: its schema, its indexes, and the trees that its rows lie in."""

from __future__ import annotations

import itertools
import re
from typing import Any

import apsw

from penstock.station.checked_rows import row_sum

CHECK_BYTES = 16 << 20
"""A file up to this size is looked through whole at each start, which takes tens of milliseconds; in a larger one rows
are looked at as they are read, and all of it by `penstock check`."""
FAULTS_MAX = 1000
OF_A_ROW = re.compile(r"(non-\w+|NULL|TEXT|NUMERIC) value in |CHECK constraint failed")
"""What SQLite finds wrong in a row: its checksum says the same, and whoever reads it deals with that."""


def schema_sum(db: apsw.Connection, version: int) -> int:
    """The checksum of all tables and indexes, of where they begin, and of the version that they are of."""
    rows: list[Any] = db.execute(
        "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema ORDER BY name"
    ).fetchall()
    return row_sum("schema", version, *itertools.chain.from_iterable(rows))


def faults(db: apsw.Connection) -> list[str]:
    """What SQLite itself finds wrong in trees and indexes."""
    try:
        rows: list[Any] = db.execute(f"PRAGMA integrity_check({FAULTS_MAX})").fetchall()
    except (apsw.CorruptError, apsw.NotADBError) as error:
        return [str(error)]
    return [text for (text,) in rows if text != "ok" and not OF_A_ROW.match(text)]


def mend_indexes(db: apsw.Connection) -> list[str]:
    """Make all indexes anew, which takes nothing but what is in the tables; what is still wrong then."""
    try:
        db.execute("REINDEX")
    except (apsw.CorruptError, apsw.ConstraintError) as error:
        return [str(error)]
    return faults(db)
