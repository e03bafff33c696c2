"""What the lines of a job begin with (`--tag`, `--tagstring`)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from penstock.cli.run.composed_commands import given_of, text_of
from penstock.cli.run.replacement_strings import Naming, Place, Strings, refuse_unknown
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock.cli.run.work import Work

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
