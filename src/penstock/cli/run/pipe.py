"""``--pipe``: stdin is cut into blocks, and each job's command reads one on its standard input."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from penstock.cli.output import say
from penstock.cli.run.input_blocks import AtSeparator, Blocks, EveryLines, EveryRecords
from penstock.cli.run.input_reading import Filling, Reading
from penstock.cli.run.replacement_strings import Naming
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock.cli.run.job_options import JobOptions

BLOCK_BYTES = 1 << 20
READ_BYTES = 1 << 20
BESIDE_BYTES = 1 << 16
"""Of a message, for what is beside a block."""
ESCAPES = {b"0": b"\0", b"r": b"\r", b"n": b"\n", b"t": b"\t"}
ESCAPE = re.compile(rb"\\([0rnt'\"\\])")
NOT_WITH_PIPE = {"--call": "call", "--one": "one", "--colsep": "colsep", "--once": "once"}


def check_pipe(work: JobOptions) -> None:
    """ConfigError: options that contradict each other."""
    if not work.pipe:
        asked = [f"--{name}" for name in ("block", "recend", "recstart") if getattr(work, name) is not None]
        if asked:
            raise ConfigError(
                f"{asked[0]} is about the blocks of --pipe: add --pipe, or give each job N arguments with -n N"
            )
        return
    for flag, name in NOT_WITH_PIPE.items():
        if getattr(work, name):
            raise ConfigError(f"--pipe and {flag} exclude each other")
    if work.reading != Reading() or work.naming != Naming() or work.filling._replace(lines=None) != Filling():
        raise ConfigError("--pipe has no arguments: leave out the options that read, name or fill arguments")
    if not work.line.command:
        raise ConfigError("--pipe needs a COMMAND that reads the blocks, like `wc -l`")
    if work.line.sources:
        raise ConfigError("--pipe reads stdin, and its jobs have no arguments: to read a file, write `< FILE`")
    if work.null:
        raise ConfigError("-0 is about arguments: if records of --pipe end with a zero byte, write --recend '\\0'")
    if work.filling.lines and work.recend is not None and work.max_args is None:
        raise ConfigError("-L and --recend exclude each other: -L makes records of lines")
    _cut(work)


def blocks(work: JobOptions) -> Iterator[list[bytes]]:
    """What each job is given: the words that are its arguments, and its block."""
    from penstock.job.command import REPLACEMENT

    if sys.stdin is None:
        raise ConfigError("--pipe reads stdin, which is closed")
    if sys.stdin.isatty():
        say("reading stdin for --pipe from the terminal; end it with Ctrl-D")
    has_place = any(REPLACEMENT.search(os.fsencode(word)) for word in work.line.command)
    arguments = [b""] if has_place else []  # a {} stands for nothing
    return ([*arguments, block] for block in _cut(work).of(_read, say))


def kept(words: Sequence[bytes]) -> Piped:
    """What is remembered of what a job is given."""
    piped = Piped(words[:-1])
    piped.sent = len(words[-1])
    return piped


def _cut(work: JobOptions) -> Blocks:
    from penstock.client.command_line import MAX_PART_BYTES

    longest = MAX_PART_BYTES - BESIDE_BYTES
    size = work.block or BLOCK_BYTES
    if size > longest:
        raise ConfigError(f"--block {size}: a job can be sent at most {longest} bytes")
    end, start = _separators(work)
    if work.max_args is not None:
        return Blocks(size, EveryRecords(end, start, work.max_args * (work.filling.lines or 1)), longest)
    if work.filling.lines:
        return Blocks(size, EveryLines(work.filling.lines), longest)
    return Blocks(size, AtSeparator(end, start), longest)


def _separators(work: JobOptions) -> tuple[bytes, bytes]:
    if work.recend is None and work.recstart is None:
        return b"\n", b""
    return _unescaped(work.recend or ""), _unescaped(work.recstart or "")


class Piped(list[bytes]):
    """A job's arguments without its block."""

    sent = 0
    """Bytes of the block."""


def _unescaped(text: str) -> bytes:
    """As GNU parallel reads it."""
    return ESCAPE.sub(lambda match: ESCAPES.get(match[1], match[1]), os.fsencode(text))


def _read(count: int) -> bytes:
    try:
        return os.read(sys.stdin.fileno(), min(count, READ_BYTES))
    except OSError as error:
        raise ConfigError(f"cannot read stdin: {(error.strerror or str(error)).lower()}") from None
