"""What a command line of `run` and `submit` asks for: the command, and the arguments of each job. No I/O but reading.

========== ==============================================================
``:::``    the words up to the next mark are an input source
``::::``   each word is a file whose lines are an input source
``+``      after either: linked to the source before it, item by item
========== ==============================================================

Several sources are combined, each item of one with each of the others, the first source varying slowest. Words become
bytes as the operating system gave them, so that any file name is an argument.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, NamedTuple

from penstock.errors import ConfigError

READ_BYTES = 1 << 16


class InputSource(NamedTuple):
    """Where items come from: words of the command line, or a file (``-`` is stdin)."""

    words: Sequence[str] = ()
    file: str = ""
    linked: bool = False

    def items(self, separator: bytes) -> Iterator[bytes]:
        """The items, read as they are asked for. ConfigError: the file cannot be read."""
        if not self.file:
            return (os.fsencode(word) for word in self.words)
        if self.file == "-":
            return readable(pieces(sys.stdin.buffer, separator), "stdin")
        try:
            return readable(pieces(open(self.file, "rb"), separator), self.file)
        except OSError as error:
            raise unreadable(self.file, error) from None


class ParsedWords(NamedTuple):
    """The words of a command line after its options."""

    command: list[str]
    sources: list[InputSource]


def parse(
    words: Sequence[str], files: Sequence[str] = (), *, arg_sep: str = ":::", arg_file_sep: str = "::::"
) -> ParsedWords:
    """Cut the words after the options into the command and its sources; `files` (``-a``) come before the others.
    `arg_sep` and `arg_file_sep`: what the marks are called."""
    marked = {arg_sep: (False, False), f"{arg_sep}+": (False, True)}
    marked |= {arg_file_sep: (True, False), f"{arg_file_sep}+": (True, True)}
    sources = [InputSource(file=file) for file in files]
    first = next((at for at, word in enumerate(words) if word in marked), len(words))
    at = first
    while at < len(words):
        end = next((i for i in range(at + 1, len(words)) if words[i] in marked), len(words))
        are_files, is_linked = marked[words[at]]
        if is_linked and not sources:
            raise ConfigError(f"{words[at]} links to the input source before it, but there is none")
        found = words[at + 1 : end]
        if are_files and "" in found:
            raise ConfigError(f"{words[at]} has an empty file name: is a variable of your shell not set?")
        sources += (
            [InputSource(file=word, linked=is_linked) for word in found]
            if are_files
            else [InputSource(words=found, linked=is_linked)]
        )
        at = end
    if sum(source.file == "-" for source in sources) > 1:
        raise ConfigError("stdin (-) is named twice, but can be read only once: put it into a file, or leave one out")
    return ParsedWords(list(words[:first]), sources)


def combined(sources: Sequence[Iterator[bytes]], links: Sequence[bool]) -> Iterator[tuple[bytes, ...]]:
    """The arguments of each job: an item of each source with every one of the others, or with that at its own place in
    the source before. A single source is read as it is used; of several, all but the first are kept."""
    groups: list[Iterator[tuple[bytes, ...]]] = []
    for items, is_linked in zip(sources, links, strict=True):
        if is_linked:
            groups[-1] = ((*kept, item) for kept, item in zip(groups[-1], items, strict=False))
        else:
            groups.append((item,) for item in items)
    if len(groups) == 1:
        return groups[0]
    slow, *fast = groups
    kept = [list(group) for group in fast]
    return (tuple(itertools.chain(first, *rest)) for first in slow for rest in itertools.product(*kept))


def linked(sources: Sequence[Iterator[bytes]]) -> Iterator[tuple[bytes, ...]]:
    """One item of each source; those that end earlier begin again. A single source is read as it is used."""
    if len(sources) == 1:
        return ((item,) for item in sources[0])
    kept = [list(items) for items in sources]
    longest = max(map(len, kept), default=0)
    if not all(kept):
        return iter(())
    return (tuple(items[at % len(items)] for items in kept) for at in range(longest))


def grouped(arguments: Iterable[tuple[bytes, ...]], count: int) -> Iterator[tuple[bytes, ...]]:
    """The arguments of `count` jobs at a time as those of one."""
    items = iter(arguments)
    while some := tuple(itertools.chain.from_iterable(itertools.islice(items, count))):
        yield some


def split_columns(
    arguments: Iterable[tuple[bytes, ...]], separator: re.Pattern[bytes], *, strip: bool = True
) -> Iterator[tuple[bytes, ...]]:
    """Each argument cut into columns, without the blanks around them."""
    for some in arguments:
        columns = (column for argument in some for column in separator.split(argument))
        yield tuple(column.strip() for column in columns) if strip else tuple(columns)


def pieces(file: IO[bytes], separator: bytes) -> Iterator[bytes]:
    """What stands between the separators, as it arrives; what follows the last one too, unless it is empty."""
    begun: list[bytes] = []
    with file:
        while block := os.read(file.fileno(), READ_BYTES):
            head, *others = block.split(separator)
            begun.append(head)
            for other in others:
                yield b"".join(begun)
                begun = [other]
    if last := b"".join(begun):
        yield last


def readable(items: Iterator[bytes], name: str) -> Iterator[bytes]:
    """The same items. ConfigError, in their midst: the file cannot be read (any further)."""
    try:
        yield from items
    except OSError as error:
        raise unreadable(name, error) from None


def unreadable(name: str, error: OSError) -> ConfigError:
    """Why a file cannot be read."""
    why = "it is closed" if error.errno == errno.EBADF else (error.strerror or str(error)).lower()
    return ConfigError(f"cannot read {name}: {why}")
