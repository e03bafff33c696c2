"""All of a store is read: what a station finds when it comes to a row, `penstock check` finds now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import apsw

from penstock.station.checked_rows import CheckedTable
from penstock.station.store_file import StoreFile


class Fault(NamedTuple):
    """Something damaged, for people, and what has to be done about it."""

    what: str
    mend: Callable[[], None]


class StoreCheck:
    """Of an open store that nobody else uses."""

    def __init__(self, store: StoreFile) -> None:
        self.store: StoreFile = store

    def faults(self) -> Iterator[Fault]:
        """Every damaged row, whether somebody needs it or not."""
        raise NotImplementedError

    def mend(self) -> list[str]:
        """Mend what can be, and forget what was found; what it was, and what has become of it."""
        said: list[str] = []
        while found := list(self.faults()):
            if found[0].what in said:
                raise self.store.damaged(found[0].what)
            for fault in found:
                with self.store.guard():
                    fault.mend()
                said.append(fault.what)
        with self.store.transaction() as cursor:
            cursor.execute("DELETE FROM damage")
        return said

    def _of_table(self, table: CheckedTable) -> Iterator[Fault]:
        """Damaged rows that nothing can be made of: they go."""
        with self.store.guard():
            count: int = self.store.value(f"SELECT count(*) FROM {table.name} WHERE NOT {table.is_sound}")
        if count:
            yield Fault(
                f"{count} rows of table {table.name}: taken out",
                lambda: self._run(f"DELETE FROM {table.name} WHERE NOT {table.is_sound}"),
            )

    def _run(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        with self.store.transaction() as cursor:
            cursor.execute(statement, values)

    def _rows(self, query: str) -> apsw.Cursor:
        return self.store.db.execute(query)
