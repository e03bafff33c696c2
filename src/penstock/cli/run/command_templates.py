"""What the jobs of a command line have in common, as it travels: a template that workers know how to fill."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from penstock.cli.run import user_shell
from penstock.cli.run.arguments_per_job import Filling
from penstock.cli.run.composed_commands import Composer
from penstock.cli.run.replacement_strings import Strings

if TYPE_CHECKING:
    from penstock.cli.run.job_options import JobOptions
    from penstock.job.command import CommandTemplate


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
