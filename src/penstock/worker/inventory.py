"""A worker's inventory, and what of it the ventilator has not heard yet.

Promises:

1. Who has the inventory as of a report, and is told what has changed since, has the inventory as it is now: whatever
   of the reports in between it has heard, and whatever else has changed there and back.
2. What has not changed is not said again.
"""

from __future__ import annotations

from penstock.wire.records import Held
from penstock.worker.holdings import Holdings


class Inventory:
    """Of what is held, by lease; `report` numbers grow."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._lines: dict[int, Held] = {}
        """As the newest report has them,"""
        self._changed_in: dict[int, int] = {}
        """and the number of the one that had each of them so first."""
        self._gone_in: dict[int, int] = {}
        """Likewise, of leases of which nothing is held any more."""

    def whole(self, report: int) -> tuple[Held, ...]:
        """All of it, for the report of this number."""
        self._look(report)
        return tuple(self._lines.values())

    def since(self, base: int, report: int) -> tuple[tuple[Held, ...], tuple[int, ...]]:
        """For the report of this number: the lines that have changed since the report `base` (0: all of them), and the
        leases that have gone. Older bases are not asked for again."""
        self._look(report)
        self._gone_in = {lease: number for lease, number in self._gone_in.items() if number > base}
        changed = tuple(line for lease, line in self._lines.items() if self._changed_in[lease] > base)
        return changed, tuple(self._gone_in) if base else ()

    def _look(self, report: int) -> None:
        for lease in [lease for lease in self._lines if lease not in self._holdings.leases]:
            del self._lines[lease], self._changed_in[lease]
            self._gone_in[lease] = report
        for lease, held in self._holdings.leases.items():
            line = held.line()
            if self._lines.get(lease) != line:
                self._lines[lease], self._changed_in[lease] = line, report
                self._gone_in.pop(lease, None)
