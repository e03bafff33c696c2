"""Commands that are put together here, where the command line is: those whose replacement strings no worker knows.

A worker, of whatever release and language, replaces what `penstock.job.command` has. The rest (``--plus``,
``--header``, ``-I``, ``-X``, ...) is replaced before a job is submitted: it then travels as finished words, in a
template that only puts them side by side. The one thing that is not known here is the slot (``{%}``): it stays in the
template, and what is around it becomes arguments. `template_of` has what the jobs of a command line have in common.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from penstock.cli.run import user_shell
from penstock.cli.run.input_reading import Filling
from penstock.cli.run.replacement_strings import Place, Strings, WordPiece
from penstock.errors import ConfigError
from penstock.job.command import at_place, quoted

if TYPE_CHECKING:
    from penstock.cli.run.job_options import JobOptions
    from penstock.job.command import CommandTemplate

SLOT = b"\0%\0"
"""Stands for the slot's number; no argument can have a zero byte."""


class Composed(list[bytes]):
    """What a job is given, as it travels, with the arguments that its user gave."""

    given: Sequence[bytes] = ()


def given_of(item: object) -> list[bytes] | None:
    """A command's arguments as its user gave them; None: it is a call's."""
    if isinstance(item, Composed):
        return list(item.given)
    return item if isinstance(item, list) else None


class Job(NamedTuple):
    """What is put in."""

    arguments: Sequence[bytes]
    number: int
    total: int

    def counted(self, place: Place) -> bytes:
        """The replacement by a counter of the job."""
        match place.counted:
            case "number":
                return b"%d" % self.number
            case "slot":
                return SLOT
            case "total":
                return b"%d" % self.total
            case "padded":
                return b"%0*d" % (len(str(self.total)), self.number)

    def values(self, place: Place, *, is_shell: bool) -> list[bytes]:
        """What stands at a place."""
        if place.change is None:
            return [self.counted(place)]
        chosen = self.arguments if place.which is None else at_place(self.arguments, place.which)
        values = [place.change(argument) for argument in chosen]
        return list(map(quoted, values)) if is_shell else values


class Composer:
    """Puts a command together for each job. ConfigError: an argument stands where there can be only one."""

    def __init__(self, words: Sequence[bytes], strings: Strings, *, shell: bool, repeats: bool) -> None:
        """`repeats`: a word with an argument in it comes once for each of them; else they stand side by side."""
        self._shell = shell
        self._repeats = repeats
        if shell:
            words = re.split(rb"(\s+)", b" ".join(words)) if repeats else [b" ".join(words)]
        self._words = [strings.parse(word) for word in words]
        places = [piece for word in self._words for piece in word if isinstance(piece, Place)]
        self._has_place = bool(places)
        self._slots = sum(place.counted == "slot" and place.change is None for place in places)
        self.needs_total: bool = any(place.counted in {"total", "padded"} and place.change is None for place in places)
        """Whether a job has to know how many there are."""

    def template(self, interpreter: bytes) -> tuple[bytes, ...]:
        """The words of the template."""
        if self._shell:
            places = b"{%}".join(b"{%d}" % (at + 1) for at in range(self._slots + 1))
            return (interpreter, b"-c", places if self._slots else b"{}")
        if not self._slots:
            return ()
        at = 0
        words: list[bytes] = []
        for word in self._words:
            count = 1 + sum(isinstance(piece, Place) and piece.counted == "slot" for piece in word)
            words.append(b"{%}".join(b"{%d}" % (at + number + 1) for number in range(count)))
            at += count
        return tuple(words)

    def compose(self, arguments: Sequence[bytes], number: int, total: int = 0) -> Composed:
        """What a job is given."""
        words = self._filled(Job(arguments, number, total))
        if self._slots:
            one = [word[0] if word else b"" for word in words]
            made = Composed(piece for word in one for piece in word.split(SLOT))
            if any(len(word) > 1 for word in words) or sum(word.count(SLOT) for word in one) != self._slots:
                raise ConfigError("{%} and several arguments for one word exclude each other: write it with --shell")
        else:
            made = Composed(piece for word in words for piece in word)
        made.given = arguments
        return made

    def length(self, arguments: Sequence[bytes]) -> int:
        """Of the command line with these, in bytes."""
        words = [word for found in self._filled(Job(arguments, 1, 1)) for word in found]
        return len(words[0]) if self._shell else len(b" ".join(map(quoted, words)))

    def _filled(self, job: Job) -> list[list[bytes]]:
        """What becomes of each word of the template, then of what is appended."""
        if not self._shell:
            words = [self._word(word, job) for word in self._words]
            return words if self._has_place else [*words, list(job.arguments)]
        line = b"".join(b" ".join(self._word(word, job)) for word in self._words)
        return [[line if self._has_place else b" ".join([line, *map(quoted, job.arguments)])]]

    def _word(self, word: Sequence[WordPiece], job: Job) -> list[bytes]:
        takes_all = any(isinstance(piece, Place) and piece.change and piece.which is None for piece in word)
        if not takes_all or not self._repeats:
            return self._side_by_side(word, job, job)
        each = (self._side_by_side(word, job._replace(arguments=[one]), job) for one in job.arguments)
        return [made for words in each for made in words]

    def _side_by_side(self, word: Sequence[WordPiece], job: Job, whole: Job) -> list[bytes]:
        """The word; what stands at one place may be several, then all but the outer ones are words of their own."""
        made: list[bytes] = [] if word else [b""]
        is_begun = False
        for piece in word:
            if isinstance(piece, bytes):
                values = [piece]
            else:
                values = (whole if piece.which is not None else job).values(piece, is_shell=self._shell)
            if values and is_begun:
                made[-1] += values[0]
                made += values[1:]
            elif values:
                made, is_begun = values, True
        return made


def text_of(pieces: Sequence[WordPiece], arguments: Sequence[bytes], number: int) -> bytes:
    """Text with replacement strings, as of `--tagstring`."""
    job = Job(arguments, number, 0)
    return b"".join(
        piece if isinstance(piece, bytes) else b" ".join(job.values(piece, is_shell=False)) for piece in pieces
    )


def composes(work: JobOptions) -> bool:
    """Whether commands are put together here, as no worker knows all that is in them."""
    if not work.line.command or work.one or work.pipe:
        return False
    is_plain = work.naming.is_plain and work.reading.header is None and work.filling == Filling()
    return not is_plain or (bool(work.max_args and work.max_args > 1) and not work.shell and _joins(work))


def _joins(work: JobOptions) -> bool:
    """Whether several arguments would stand in a word together with something else."""
    found = [Strings(work.naming).parse(os.fsencode(word)) for word in work.line.command]
    return any(
        len(word) > 1 and any(not isinstance(piece, bytes) and piece.which is None for piece in word) for word in found
    )


def composer_of(work: JobOptions) -> Composer:
    """What puts them together."""
    return Composer(
        _words(work), Strings(work.naming, work.names), shell=bool(work.shell), repeats=work.filling.repeats
    )


def template_of(work: JobOptions) -> CommandTemplate:
    """What a worker fills."""
    from penstock.job.command import CommandTemplate
    from penstock.job.spawning import SHELL

    words = _words(work)
    interpreter = user_shell.shell(of_bash=bool(user_shell.functions()))
    is_line = bool(work.shell)
    if composes(work):
        words, is_line = composer_of(work).template(interpreter), False
    elif not words and work.shell:
        words, is_line = (interpreter, b"-c", b"{}"), False
    return CommandTemplate(
        words=words,
        cwd=os.path.abspath(os.fsencode(work.cwd or b".")),
        env=user_shell.environment(work.line.command, work.env, is_line=bool(work.shell)),
        shell=is_line,
        literal=work.one,
        interpreter=interpreter if work.shell else SHELL,
        stdin=work.pipe,
        nice=work.nice,
    )


def _words(work: JobOptions) -> tuple[bytes, ...]:
    return tuple(map(os.fsencode, user_shell.with_bash(work.line.command, work.env, is_line=bool(work.shell))))
