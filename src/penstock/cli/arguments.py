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
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, NamedTuple

from penstock.errors import ConfigError

MARKS = {":::": (False, False), ":::+": (False, True), "::::": (True, False), "::::+": (True, True)}
"""A mark's meaning: whether its words are files, whether they are linked to the source before."""

READ_BYTES = 1 << 16

SHELL_SIGNS = re.compile(r"[|&;<>()$`*?~\s]")
"""What makes a lone word a line for a shell."""
SHELL_PUNCTUATION = "|&;<>()"
SHELL_WORDS = frozenset(
    {"|", "||", "&", "&&", "|&", ";", ";;", "<", ">", "<<", ">>", "<>", ">&", "<&", "&>", "(", ")", "()"}
)
REPLACEMENTS = re.compile(r"\{[#%/.\d-]*\}")


class Source(NamedTuple):
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


class Line(NamedTuple):
    """The words of a command line after its options."""

    command: list[str]
    sources: list[Source]


def parse(words: Sequence[str], files: Sequence[str] = ()) -> Line:
    """Cut the words after the options into the command and its sources; `files` (``-a``) come before the others."""
    sources = [Source(file=file) for file in files]
    first = next((at for at, word in enumerate(words) if word in MARKS), len(words))
    at = first
    while at < len(words):
        end = next((i for i in range(at + 1, len(words)) if words[i] in MARKS), len(words))
        sources += _marked(words[at], words[at + 1 : end], bool(sources))
        at = end
    if sum(source.file == "-" for source in sources) > 1:
        raise ConfigError("stdin (-) is named twice, and can be read once: put it into a file, or leave one out")
    return Line(list(words[:first]), sources)


def _marked(mark: str, words: Sequence[str], after_another: bool) -> list[Source]:
    are_files, linked = MARKS[mark]
    if linked and not after_another:
        raise ConfigError(f"{mark} links to the input source before it, and there is none")
    if are_files and "" in words:
        raise ConfigError(f"{mark} names a file that has no name: is a variable of your shell not set?")
    if are_files:
        return [Source(file=word, linked=linked) for word in words]
    return [Source(words=words, linked=linked)]


def combined(sources: Sequence[Source], separator: bytes) -> Iterator[tuple[bytes, ...]]:
    """The arguments of each job. A single source is read as it is used; of several, all but the first are kept."""
    groups: list[Iterator[tuple[bytes, ...]]] = []
    for source in sources:
        items = source.items(separator)
        if source.linked:
            groups[-1] = ((*kept, item) for kept, item in zip(groups[-1], items, strict=False))
        else:
            groups.append((item,) for item in items)
    if len(groups) == 1:
        return groups[0]
    slow, *fast = groups
    kept = [list(group) for group in fast]
    return (tuple(itertools.chain(first, *rest)) for first in slow for rest in itertools.product(*kept))


def grouped(arguments: Iterable[tuple[bytes, ...]], count: int) -> Iterator[tuple[bytes, ...]]:
    """The arguments of `count` jobs at a time as those of one."""
    items = iter(arguments)
    while some := tuple(itertools.chain.from_iterable(itertools.islice(items, count))):
        yield some


def split_columns(arguments: Iterable[tuple[bytes, ...]], separator: re.Pattern[bytes]) -> Iterator[tuple[bytes, ...]]:
    """Each argument cut into columns, without the blanks around them."""
    for some in arguments:
        yield tuple(column.strip() for argument in some for column in separator.split(argument))


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


def shell_like(command: Sequence[str]) -> bool:
    """Whether the command is one word that only a shell could make sense of."""
    if len(command) != 1 or shutil.which(command[0]):
        return False
    return SHELL_SIGNS.search(REPLACEMENTS.sub("", command[0])) is not None


def command_words(line: bytes) -> tuple[bytes, ...]:
    """An input line as a command without a shell. ConfigError: it needs one, or a quotation mark is missing."""
    text = os.fsdecode(line)
    try:
        signs = set(_raw_words(text)) & SHELL_WORDS
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"input line {text!r}: {str(error).lower()}") from None
    if signs:
        raise ConfigError(f"input line {text!r} looks like a shell line: add --shell")
    return tuple(map(os.fsencode, words))


def _raw_words(text: str) -> Iterator[str]:
    """The words with their quotation marks, and each run of a shell's signs as a word of its own."""
    lexer = shlex.shlex(text, posix=False, punctuation_chars=SHELL_PUNCTUATION)
    lexer.whitespace_split, lexer.commenters = True, ""
    return iter(lexer)
