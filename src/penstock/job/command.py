"""Commands: the template a batch of commands shares, and how one of them is run.

Replacement strings are those of GNU parallel, in bytes, so an argument may hold anything but a zero byte:

===================== =================================================================
``{}``                the argument (a word ``{}`` of its own: one word per argument)
``{.}``               without its extension
``{/}`` ``{//}``      base name; folder
``{/.}``              base name without its extension
``{1}`` ``{-1}``      the first, the last of several arguments; also ``{1.} {1/} {1//} {1/.}``; as a word of
                      its own nothing where a job has fewer
``{#}`` ``{%}``       the job's number from 1; the slot's number from 1
===================== =================================================================

Without any of these in the template the arguments are appended.
"""

from __future__ import annotations

import errno
import re
import shlex
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import msgspec

from penstock.job.originals import os
from penstock.job.spawning import OWN_FILES, SHELL, Files, spawn

REPLACEMENT = re.compile(rb"\{(?:(#|%)|(-?[1-9]\d*)?(//|/\.|/|\.)?)\}")

Argv = list[bytes]


class Given(NamedTuple):
    """What one job is given."""

    number: int
    """From 1."""
    arguments: Sequence[bytes]
    stdin: bytes | None
    """What it reads on its standard input; None: nothing."""


class CommandTemplate(msgspec.Struct, frozen=True, omit_defaults=True, dict=True):
    """What the commands of a batch share; the function of such a batch is its msgpack form."""

    words: tuple[bytes, ...]
    """The argv with its replacement strings; with `shell` they are joined by blanks to a line for a shell."""
    cwd: bytes | None = None
    """The folder to run in; missing there = failed."""
    env: dict[bytes, bytes] = {}
    """Added to the worker's environment."""
    shell: bool = False
    """Run by `interpreter`; every substituted argument is quoted."""
    literal: bool = False
    """Run as it stands: nothing is replaced and nothing appended."""
    interpreter: bytes = SHELL
    """What runs a line; it takes it after -c."""
    stdin: bool = False
    """The last word that a job is given is no argument: it is what the command reads on its standard input."""
    numbered: bool = False
    """The first word that a job is given is no argument: it is the job's number, where it is not its place."""
    nice: int | None = None
    """The niceness to run at."""

    @cached_property
    def has_place(self) -> bool:
        """Whether anything in the template is replaced, so that nothing is appended."""
        return any(REPLACEMENT.search(word) for word in self.words)

    def encode(self) -> bytes:
        """The template as msgpack bytes, as it travels to workers."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, blob: bytes | bytearray | memoryview) -> CommandTemplate:
        """The template of `encode`."""
        return msgspec.msgpack.decode(blob, type=cls)

    def given(self, words: Sequence[bytes], number: int) -> Given:
        """What a job is given, sorted out; `number` from 1 is its place."""
        start, stop = int(self.numbered), len(words) - self.stdin
        return Given(int(words[0]) if self.numbered else number, words[start:stop], words[stop] if self.stdin else None)

    def argv(self, arguments: Sequence[bytes], number: int = 1, slot: int = 1) -> Argv:
        """The argv for one job: its arguments, its number from 1 and its slot's number from 1."""
        if self.literal:
            return [self.interpreter, b"-c", b" ".join(self.words)] if self.shell else list(self.words)
        counters = {b"#": b"%d" % number, b"%": b"%d" % slot}
        if self.shell:
            return [self.interpreter, b"-c", self._line(list(map(quoted, arguments)), arguments, counters)]
        argv: Argv = []
        for word in self.words:
            if word == b"{}":
                argv += arguments
            elif not _is_missing(word, arguments):
                argv.append(_filled(word, arguments, counters, quote=False))
        return argv if self.has_place else [*argv, *arguments]

    def _line(self, words_after: Argv, arguments: Sequence[bytes], counters: dict[bytes, bytes]) -> bytes:
        words = [_filled(word, arguments, counters, quote=True) for word in self.words]
        return b" ".join(words if self.has_place else [*words, *words_after])


def _is_missing(word: bytes, arguments: Sequence[bytes]) -> bool:
    """Whether the word is nothing but the place of an argument that this job does not have."""
    match = REPLACEMENT.fullmatch(word)
    return match is not None and match[2] is not None and not at_place(arguments, int(match[2]))


def _filled(word: bytes, arguments: Sequence[bytes], counters: dict[bytes, bytes], *, quote: bool) -> bytes:
    def value(match: re.Match[bytes]) -> bytes:
        counter, place, part = match.groups()
        if counter:
            return counters[counter]
        chosen = arguments if place is None else at_place(arguments, int(place))
        parts = [part_of(argument, part) for argument in chosen]
        return b" ".join(map(quoted, parts) if quote else parts)

    return REPLACEMENT.sub(value, word)


def at_place(arguments: Sequence[bytes], place: int) -> Sequence[bytes]:
    """The argument ``{place}`` alone, or nothing."""
    index = place - 1 if place > 0 else len(arguments) + place
    return arguments[index : index + 1] if index >= 0 else ()


def part_of(argument: bytes, part: bytes | None) -> bytes:
    """What ``{part}`` makes of an argument."""
    base = argument.rpartition(b"/")[2]
    match part:
        case b"/":
            return base
        case b"//":
            folder = argument.rstrip(b"/").rpartition(b"/")[0].rstrip(b"/")
            return folder or (b"/" if argument.startswith(b"/") else b".")
        case b"/.":
            return _without_extension(base)
        case b".":
            return argument[: len(argument) - len(base)] + _without_extension(base)
        case _:
            return argument


def _without_extension(base: bytes) -> bytes:
    stem, dot, _ = base.rpartition(b".")
    return stem if dot else base


def quoted(argument: bytes) -> bytes:
    """As one word to a shell."""
    return os.fsencode(shlex.quote(os.fsdecode(argument)))


# ------------------------------------------------------------------------------------------------------- running


def wait_status(pid: int) -> int:
    """Wait for a process to end; returns its wait status."""
    return os.waitpid(pid, 0)[1]


def run_command(
    template: CommandTemplate,
    argv: Argv,
    extra: dict[bytes, bytes],
    *,
    files: Files = OWN_FILES,
    wait: Callable[[int], int] = wait_status,
) -> int:
    """Run one command to its end and return its exit code (minus the signal's number if one killed it).

    `extra` is added to its environment, `files` are its standard input, output and error output, and `wait` returns
    the wait status of a process. Raises OSError: its folder is missing; its program cannot be started; ValueError: a
    zero byte in an argument.
    """
    if not argv:
        raise OSError(errno.ENOENT, "the command is empty")
    return os.waitstatus_to_exitcode(
        wait(_started(argv, {**os.environb, **template.env, **extra}, template.cwd, files))
    )


def _started(argv: Argv, environment: dict[bytes, bytes], folder: bytes | None, files: Files) -> int:
    if folder is None:
        return spawn(argv, environment, files)
    home = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(folder)
        return spawn(argv, environment, files)
    finally:
        os.fchdir(home)
        os.close(home)
