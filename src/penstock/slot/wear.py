"""When a slot's process is used up: a job has changed it for those that follow, or it has run as many as it may."""

from __future__ import annotations

from msgspec.structs import replace

from penstock.slot.inherited_state import Inherited
from penstock.slot.job_report import Report
from penstock.slot.protocol import NO_LIMIT, RunPiece


class Wear:
    """Of this process, which is new; it may run so many jobs (0: any number)."""

    def __init__(self, jobs: int) -> None:
        self.inherited: Inherited = Inherited()
        self._left = jobs or NO_LIMIT

    def cut(self, order: RunPiece) -> RunPiece:
        """As much of a piece as it may still run."""
        return order if order.stop - order.start <= self._left else replace(order, stop=order.start + self._left)

    def is_out(self, first: int, report: Report) -> bool:
        """Whether it is used up by the jobs of a piece, from `first` on."""
        self._left -= report.start - first
        # a command changes nothing but itself
        return self._left <= 0 or (not report.is_each_alone and self.inherited.has_worn())
