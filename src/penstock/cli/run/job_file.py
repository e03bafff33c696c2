"""Input whose lines are commands: comments and empty lines are none, and a line that needs a shell is refused.

Nothing is to be half done: what is all there (words, files, whatever came within HEADSTART) is looked at as a whole
before its first line runs. Of a stream that comes slowly the good lines before a bad one have run by then.
"""

from __future__ import annotations

import itertools
import os
import queue
import stat
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import IO

from penstock.cli.run import user_shell as shells
from penstock.cli.run.arguments import InputSource, pieces
from penstock.cli.run.input_reading import Arguments
from penstock.cli.run.shell_words import command_words, is_job

Command = list[bytes]

READ_AHEAD = 4096
"""Lines read and not used."""
MOST_EARLY = 100_000
"""Lines that are held back."""


def commands(
    items: Iterator[Arguments], *, shell: bool, sources: Sequence[InputSource], separator: bytes
) -> Iterator[Command]:
    """The command of each line that is one. ConfigError: a line that needs a shell, and there is none."""
    lines = ((number, b" ".join(item)) for number, item in enumerate(items, 1))
    jobs = ((number, line) for number, line in lines if is_job(line))
    if shell:
        return ([line] for _, line in jobs)
    parsed = (_called(command_words(line, number)) for number, line in jobs)
    if all(not source.file for source in sources) and sources:
        return iter(list(parsed))
    if len(sources) <= 1 and (again := _regular(sources[0] if sources else InputSource(file="-"))) is not None:
        for number, line in enumerate(pieces(again, separator), 1):
            if is_job(line):
                command_words(line, number)
        return parsed
    from penstock.client.command_line import HEADSTART

    return held(parsed, HEADSTART)


def _called(words: Arguments) -> Command:
    name = os.fsdecode(words[0])
    if not shells.is_function(name):
        return list(words)
    return [*map(os.fsencode, shells.called(name)), *words[1:]]


def _regular(source: InputSource) -> IO[bytes] | None:
    """A second look at a file, from where the first one will begin; None: it can be read only once."""
    if source.file != "-":
        return open(source.file, "rb") if os.path.isfile(source.file) else None
    try:
        number = sys.stdin.fileno()
        if not stat.S_ISREG(os.fstat(number).st_mode):
            return None
        again = open(f"/proc/self/fd/{number}", "rb")  # noqa: SIM115 - `pieces` closes it
        again.seek(os.lseek(number, 0, os.SEEK_CUR))
    except (OSError, ValueError):
        return None
    return again


def held(items: Iterator[Command], seconds: float) -> Iterator[Command]:
    """The items, none before those that come within so many seconds are there. Raises what the input raises, before
    anything if it does so by then."""
    came: queue.Queue[Command | Exception | None] = queue.Queue(READ_AHEAD)

    def read() -> None:
        try:
            for item in items:
                came.put(item)
            came.put(None)
        except Exception as error:  # noqa: BLE001 - it is raised where the items are used
            came.put(error)

    threading.Thread(target=read, name="penstock-job-file", daemon=True).start()
    early: list[Command] = []
    end = time.monotonic() + seconds
    while len(early) < MOST_EARLY and (left := end - time.monotonic()) > 0:
        try:
            item = _checked(came.get(timeout=left))
        except queue.Empty:
            break
        if item is None:
            return iter(early)
        early.append(item)
    return itertools.chain(early, iter(lambda: _checked(came.get()), None))


def _checked(came: Command | Exception | None) -> Command | None:
    if isinstance(came, Exception):
        raise came
    return came
