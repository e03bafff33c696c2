"""What the jobs of a run are given, as people and records are told of it, and what their lines begin with (`--tag`,
`--tagstring`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock.cli.job_output import Shown
from penstock.cli.run.composed_commands import given_of, text_of
from penstock.cli.run.joblog import Ended
from penstock.cli.run.replacement_strings import Naming, Place, Strings, refuse_unknown
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock.cli.run.work import Work


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


Tagging = Callable[[Any, int], bytes]
"""Of what a job is given, and its number from 1."""


def tag_of(item: Any, _: int = 0) -> bytes:
    """A job's arguments on one line."""
    given = given_of(item)
    return str(item).encode("utf-8", "surrogateescape") if given is None else b" ".join(given)


def tagging(work: Work, text: str) -> Tagging:
    """The text, with its replacement strings. ConfigError: they are none, or not known before a job has ended."""
    naming: Naming = work.naming
    refuse_unknown([text], naming)
    pieces = Strings(naming, work.names).parse(os.fsencode(text))
    if any(isinstance(piece, Place) and piece.change is None and piece.counted != "number" for piece in pieces):
        raise ConfigError(f"--tagstring {text}: of the counters only {{#}} can stand in it")

    def tag(item: Any, number: int) -> bytes:
        given = given_of(item)
        return text_of(pieces, [tag_of(item)] if given is None else given, number)

    return tag
