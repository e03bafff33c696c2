"""What the jobs of a command line have in common, as it travels: a template that workers know how to fill."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from penstock.cli import shell
from penstock.cli.composing import Composer
from penstock.cli.filling import Filling
from penstock.cli.strings import Strings

if TYPE_CHECKING:
    from penstock.cli.work import Work
    from penstock.command import CommandTemplate


def composes(work: Work) -> bool:
    """Whether commands are put together here, as no worker knows all that is in them."""
    if not work.line.command or work.one or work.pipe:
        return False
    is_plain = work.naming.is_plain and work.reading.header is None and work.filling == Filling()
    return not is_plain or (bool(work.max_args and work.max_args > 1) and not work.shell and _joins(work))


def _joins(work: Work) -> bool:
    """Whether several arguments would stand in a word together with something else."""
    found = [Strings(work.naming).parse(os.fsencode(word)) for word in work.line.command]
    return any(
        len(word) > 1 and any(not isinstance(piece, bytes) and piece.which is None for piece in word) for word in found
    )


def composer_of(work: Work) -> Composer:
    """What puts them together."""
    return Composer(
        _words(work), Strings(work.naming, work.names), shell=bool(work.shell), repeats=work.filling.repeats
    )


def template_of(work: Work) -> CommandTemplate:
    """What a worker fills."""
    from penstock.command import CommandTemplate
    from penstock.spawning import SHELL

    words = _words(work)
    interpreter = shell.shell(of_bash=bool(shell.functions()))
    is_line = bool(work.shell)
    if composes(work):
        words, is_line = composer_of(work).template(interpreter), False
    elif not words and work.shell:
        words, is_line = (interpreter, b"-c", b"{}"), False
    return CommandTemplate(
        words=words,
        cwd=os.path.abspath(os.fsencode(work.cwd or b".")),
        env=shell.environment(work.line.command, work.env, is_line=bool(work.shell)),
        shell=is_line,
        literal=work.one,
        interpreter=interpreter if work.shell else SHELL,
        stdin=work.pipe,
        nice=work.nice,
    )


def _words(work: Work) -> tuple[bytes, ...]:
    return tuple(map(os.fsencode, shell.with_bash(work.line.command, work.env, is_line=bool(work.shell))))
