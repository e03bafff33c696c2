"""How input becomes the arguments of jobs: cut, trimmed, named, linked, shuffled; and how many a job gets: so many
(`-n`), so many lines (`-L`), or as many as a command line takes (`-X`, `-m`, `--xargs`, `-s`), the last ones spread
over the slots as GNU parallel spreads them."""

from __future__ import annotations

import itertools
import os
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from penstock.cli.run.arguments import InputSource, combined, linked, split_columns
from penstock.errors import ConfigError

TRIMS = ("n", "l", "r", "lr", "rl")
"""At which ends blanks are taken away."""
ESCAPES = {"n": b"\n", "t": b"\t", "r": b"\r", "0": b"\0", "a": b"\a", "b": b"\b", "f": b"\f", "v": b"\v", "\\": b"\\"}
BLANKS = b" \t\n\r"
Arguments = tuple[bytes, ...]
Length = Callable[[Arguments], int]
"""How long the command line with these arguments is, in bytes."""
LONGEST = (1 << 17) - 1
"""Bytes of a command line, where nothing else is said: what Linux takes as one word for a shell."""


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


class Filling(NamedTuple):
    """The options that say how many arguments a job gets, beside -n."""

    context: bool = False
    """-X: a word with {} in it comes once for each argument."""
    many: bool = False
    """-m: a word with {} in it comes once, with all arguments side by side."""
    xargs: bool = False
    """As -m, and nothing is spread."""
    max_chars: int | None = None
    lines: int | None = None

    @property
    def fills(self) -> bool:
        """Whether a job gets as many as go on a command line."""
        return self.context or self.many or self.xargs

    @property
    def measures(self) -> bool:
        """Whether the length of a command line counts."""
        return self.fills or self.max_chars is not None

    @property
    def repeats(self) -> bool:
        """Whether a word with {} in it comes once for each argument."""
        return not self.many and not self.xargs and (self.context or self.lines is not None)

    @property
    def longest(self) -> int:
        """Bytes of a command line: no more than the system takes."""
        return LONGEST if self.max_chars is None else min(LONGEST, self.max_chars)

    def groups(self, items: Iterator[Arguments], count: int | None, slots: int, length: Length) -> Iterator[Arguments]:
        """The arguments of each job. `count`: items at most; `slots`: over which the last ones are spread.
        ConfigError: one argument alone is too long."""
        longest = self.longest
        most = count or (0 if self.fills else 1)
        spread = max(1, slots) if self.fills and not self.xargs else 1
        group: list[Arguments] = []
        size = bare = length(())
        for item in items:
            more = length(item) - bare
            if group and (len(group) == most or size + more + 1 > longest):
                yield flat(group)
                group, size = [], bare
            if size + more + 1 > longest:
                raise ConfigError(
                    f"the command line with {item[0][:40]!r} has {size + more} bytes, more than {longest}"
                )
            group.append(item)
            size += more
        each = -(-len(group) // spread) or 1
        for at in range(0, len(group), each):
            yield flat(group[at : at + each])


def flat(group: list[Arguments]) -> Arguments:
    """The arguments of several items as those of one."""
    return tuple(argument for item in group for argument in item)


def continued(items: Iterator[Arguments]) -> Iterator[Arguments]:
    """Items of which one that ends with a blank goes on in the next (`-L`)."""
    begun = b""
    is_begun = False
    for item in items:
        begun, is_begun = begun + item[-1], True
        if not begun.endswith((b" ", b"\t")):
            yield (*item[:-1], begun)
            begun, is_begun = b"", False
    if is_begun:
        yield (begun,)
