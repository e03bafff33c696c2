"""What a limit counts: the leases that are out, of one batch or of all batches of one view.

Promises:

1. A lease of a batch with a limit is run one job at a time, so that so many leases are so many jobs. One that was given
   out before the batch had a limit counts as many as its jobs.
2. Batches of one owner that name the same group and the same limit share one count; a batch that names none has its
   own.
3. A count that is shared is there as long as one of its batches is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

from penstock.job.spec import BatchSpec


class Limited(Protocol):
    """What is known here of a batch that has a limit."""

    @property
    def spec(self) -> BatchSpec:
        """What the batch was submitted with, its priority for one."""

    @property
    def terms(self) -> Hashable:
        """What it asks of those who run it."""


Sharer = TypeVar("Sharer", bound=Limited)


class OpenLeases(Generic[Sharer]):
    """The count of those who share a limit, and which of them could be given out but for it."""

    __slots__ = ("_aside", "in_turn", "limit", "out", "sharing", "uncertain")

    def __init__(self, limit: int) -> None:
        self.limit: int = limit
        self.out: int = 0
        """Leases that are out, or jobs of leases that are run several at once."""
        self.uncertain: bool = False
        """After a restart: it is not known yet what is out."""
        self.sharing: int = 0
        """Batches that share it, if it is one that can be shared."""
        self.in_turn: dict[Sharer, None] = {}
        """Those of its batches that take turns with all others: none while the limit is reached."""
        self._aside: dict[tuple[int, Hashable], OrderedDict[Sharer, None]] = {}
        """Those that wait for the limit, by priority and terms, each line in the order in which they are to go on."""

    @property
    def is_full(self) -> bool:
        """Whether as many leases are out as the limit allows, or may be."""
        return self.uncertain or self.free <= 0

    @property
    def is_last(self) -> bool:
        """Whether one lease more is all that the limit allows."""
        return self.free <= 1

    @property
    def free(self) -> int:
        """How many leases more the limit allows."""
        return self.limit - self.out

    def set_aside(self, batch: Sharer, *, first: bool = False) -> None:
        """It waits for the limit: behind the others of its line, or before them."""
        line = self._aside.setdefault((batch.spec.priority, batch.terms), OrderedDict())
        line[batch] = None
        line.move_to_end(batch, last=not first)

    def is_aside(self, batch: Sharer) -> bool:
        """Whether it waits for the limit."""
        return batch in self._aside.get((batch.spec.priority, batch.terms), ())

    def take_out(self, batch: Sharer) -> None:
        """It does not wait any more."""
        key = (batch.spec.priority, batch.terms)
        self._aside[key].pop(batch)
        if not self._aside[key]:
            del self._aside[key]

    def first_ones(self) -> list[Sharer]:
        """The first of each line."""
        return [next(iter(line)) for line in self._aside.values()]

    def check(self, out: int) -> None:
        """The invariants; AssertionError if one does not hold. `out`: leases of its batches."""
        assert self.out == out, "the count of leases is right"
        assert not (self.is_full and self.in_turn), "who waits for a limit is not in turn"
        lines = {(batch.spec.priority, batch.terms) for batch in self.in_turn}
        assert self.is_full or set(self._aside) <= lines, "who waits for a limit that is not reached has one in turn"


class LimitGroups(Generic[Sharer]):
    """Which batches share the count of a limit."""

    def __init__(self) -> None:
        self._shared: dict[tuple[str, bytes, int], OpenLeases[Sharer]] = {}

    def join(self, spec: BatchSpec, *, uncertain: bool = False) -> OpenLeases[Sharer] | None:
        """The count that a batch has a part in from now on; None: it has no limit. `uncertain`: it is not known yet
        what of it is out."""
        if spec.limit is None:
            return None
        open_leases: OpenLeases[Sharer] = OpenLeases(spec.limit)
        if spec.limit_group:
            open_leases = self._shared.setdefault((spec.owner, spec.limit_group, spec.limit), open_leases)
            open_leases.sharing += 1
        open_leases.uncertain |= uncertain
        return open_leases

    def leave(self, spec: BatchSpec) -> None:
        """A batch is forgotten."""
        if spec.limit is None or not spec.limit_group:
            return
        key = (spec.owner, spec.limit_group, spec.limit)
        self._shared[key].sharing -= 1
        if not self._shared[key].sharing:
            del self._shared[key]
