"""What the jobs of a run are given, as people and records are told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from penstock.cli.job_output import Shown
from penstock.cli.run.joblog import Ended
from penstock.cli.run.tags import Tagging


class JobInputs:
    """What jobs are given, kept from the time they are submitted until they are shown."""

    def __init__(
        self,
        shown: Callable[[Any, int, int], bytes],
        tagging: Tagging | None = None,
        seq_of: Callable[[int], int] = int,
        kept: Callable[[Any], Any] | None = None,
    ) -> None:
        """`shown`: what a person would type for an item, its number from 1 and a slot from 1. `tagging`: what its lines
        begin with. `seq_of`: a job's place in the whole input, from 0, by its place in what is run of it. `kept`: what
        is kept of an item."""
        self._shown = shown
        self._tagging = tagging
        self._seq_of = seq_of
        self._kept = kept
        self._announced: set[int] = set()
        self._items: dict[int, Any] = {}

    def remember(self, items: Iterator[Any]) -> Iterator[Any]:
        """The items, as they are drawn."""
        for number, item in enumerate(items):
            self._items[number] = self._kept(item) if self._kept is not None else item
            yield item

    def name(self, number: int) -> bytes:
        """What a person would type for a job that has not been shown yet."""
        return self._shown(self._items[number], self._seq_of(number) + 1, 1)

    def tag(self, number: int) -> bytes | None:
        """What its lines begin with."""
        return self._tagging and self._tagging(self._items[number], self._seq_of(number) + 1)

    def command(self, number: int, slot: int = 0) -> bytes:
        """Its command as a line; nothing if that was said before."""
        if number in self._announced:
            return b""
        self._announced.add(number)
        return self._shown(self._items[number], self._seq_of(number) + 1, slot + 1) + b"\n"

    def forget(self, number: int) -> None:
        """It has been shown."""
        self._items.pop(number, None)
        self._announced.discard(number)

    def ended(self, number: int, outcome: Shown) -> Ended:
        """What records are told."""
        item = self._items.pop(number, None)
        self._announced.discard(number)
        seq = self._seq_of(number)
        return Ended(seq, item, partial(self._shown, item, seq + 1), outcome)
