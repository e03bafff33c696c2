"""How input becomes the arguments of jobs: cut, trimmed, named, linked, shuffled."""

from __future__ import annotations

import itertools
import os
import random
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from penstock.cli.run.arguments import InputSource, combined, linked, split_columns
from penstock.cli.run.arguments_per_job import Arguments
from penstock.errors import ConfigError

TRIMS = ("n", "l", "r", "lr", "rl")
"""At which ends blanks are taken away."""
ESCAPES = {"n": b"\n", "t": b"\t", "r": b"\r", "0": b"\0", "a": b"\a", "b": b"\b", "f": b"\f", "v": b"\v", "\\": b"\\"}
BLANKS = b" \t\n\r"


class Reading(NamedTuple):
    """The options that say how input is read."""

    delimiter: str | None = None
    eof: str | None = None
    trim: str | None = None
    skip_first_line: bool = False
    no_run_if_empty: bool = False
    link: bool = False
    header: str | None = None
    shuf: bool = False

    def check(self) -> None:
        """ConfigError: what is there in GNU parallel and is not here."""
        if self.header not in {None, ":"}:
            raise ConfigError(f"--header {self.header}: write --header : (the first item of each input is its name)")

    def separator(self, *, null: bool) -> bytes:
        """What ends an item. ConfigError: an escape that is none."""
        if null:
            return b"\0"
        return b"\n" if self.delimiter is None else unescaped(self.delimiter)

    def items(self, sources: Sequence[InputSource], separator: bytes) -> list[Iterator[bytes]]:
        """Those of each source."""
        return [self._cleaned(source.items(separator), is_first=not at) for at, source in enumerate(sources)]

    def _cleaned(self, items: Iterator[bytes], *, is_first: bool) -> Iterator[bytes]:
        if self.skip_first_line and is_first:
            items = itertools.islice(items, 1, None)
        if self.eof is not None:
            end = os.fsencode(self.eof)
            items = itertools.takewhile(lambda item: item != end, items)
        if self.trim is not None:
            items = (trimmed(item, self.trim) for item in items)
        if self.no_run_if_empty:
            items = (item for item in items if item.strip())
        return items

    def arguments(
        self, sources: Sequence[InputSource], separator: bytes, columns: re.Pattern[bytes] | None
    ) -> tuple[Iterator[Arguments], list[bytes]]:
        """The arguments of each item, and what --header calls them."""
        found = self.items(sources, separator)
        names: list[bytes] = []
        strip = columns is not None and self.trim is None
        if self.header is not None:
            columns = columns or re.compile(rb"\t")
            names = [name for items in found for name in columns.split(next(items, b""))]
        together = linked(found) if self.link else combined(found, [source.linked for source in sources])
        if columns is not None:
            together = split_columns(together, columns, strip=strip)
        if self.shuf:
            everything = list(together)
            random.shuffle(everything)
            together = iter(everything)
        return together, names


def trimmed(item: bytes, how: str) -> bytes:
    """Without the blanks at its ends, or at one of them."""
    item = item.lstrip(BLANKS) if "l" in how else item
    return item.rstrip(BLANKS) if "r" in how else item


def unescaped(text: str) -> bytes:
    r"""A separator as it is typed: ``\n``, ``\t``, ``\x00``, ``\0``, or itself. ConfigError: it would be nothing."""

    def meant(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] == "x":
            return chr(int(code[1:], 16))
        if code.isdigit():
            return chr(int(code, 8))
        return ESCAPES[code].decode("ascii")

    made = re.sub(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|[ntrabfv\\])", meant, text)
    if not made:
        raise ConfigError("-d needs the text that ends an item, like ',' or '\\t'; for a zero byte there is -0")
    return os.fsencode(made)
