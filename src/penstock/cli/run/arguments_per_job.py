"""How many arguments a job gets: so many (`-n`), so many lines (`-L`), or as many as a command line takes (`-X`, `-m`,
`--xargs`, `-s`), the last ones spread over the slots as GNU parallel spreads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from penstock.errors import ConfigError

Arguments = tuple[bytes, ...]
Length = Callable[[Arguments], int]
"""How long the command line with these arguments is, in bytes."""

LONGEST = (1 << 17) - 1
"""Bytes of a command line, where nothing else is said: what Linux takes as one word for a shell."""


class Filling(NamedTuple):
    """The options that say so, beside -n."""

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
