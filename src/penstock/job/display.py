"""What a job is, as a person would type it: the one way in which commands are shown, and texts are shortened."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from penstock.job.command import CommandTemplate
from penstock.job.spawning import SHELL

SHORT = 100
"""Characters of a text that is one of many: a line of a list, a cause."""
HEAD_SHARE = 0.6
"""Of a shortened text: commands begin alike, and end with what tells them apart."""
DOTS = "..."
CALLED = b' "$@"'
"""What bash is told after the name of a function: its arguments follow, each as it is."""
SLOT = b"{%}"
OPEN_SLOT = 31415926535897932384626433832795028841
"""Stands for the number of a slot that is not known: no machine has so many, and nobody types it."""


class Unopened(NamedTuple):
    """In the place of a value that only code that came with it could rebuild: what was read of it without that."""

    text: str

    def __str__(self) -> str:
        return self.text


def command_text(template: CommandTemplate, arguments: Sequence[bytes], number: int, slot: int | None = None) -> bytes:
    """The command line of a job; `number` and `slot` count from 1. Without a slot its place is left as it was."""
    if slot is not None:
        return typed(template.argv(arguments, number, slot), template.interpreter)
    text = typed(template.argv(arguments, number, OPEN_SLOT), template.interpreter)
    return text.replace(b"%d" % OPEN_SLOT, SLOT)


def typed(argv: Sequence[bytes], shell: bytes = SHELL) -> bytes:
    """An argv as one would type it; a line for the shell as it is, a function without the bash that calls it."""
    if len(argv) == 3 and tuple(argv[:2]) == (shell, b"-c"):
        return bytes(argv[2])
    if len(argv) > 3 and tuple(argv[:3]) == (b"bash", b"-c", argv[3] + CALLED):
        argv = argv[3:]
    return os.fsencode(shlex.join(map(os.fsdecode, argv)))


def command_title(blob: bytes) -> str:
    """What the commands of a batch have in common, from their encoded template; empty: it is none."""
    try:
        template = CommandTemplate.decode(blob)
    except msgspec.DecodeError:
        return ""
    return shortened(
        text_of(b" ".join(template.words) if template.shell else typed(template.words, template.interpreter))
    )


def cause_line(job: str, state: str, cause: str, text: str = "") -> str:
    """Why a job did not succeed and, where that is known, what it is: ``BATCH:3 failed: exit code 2: rm x``."""
    why = "" if cause == state else printable(cause)
    return ": ".join(filter(None, (f"{job} {state}", why, shortened(text))))


def text_of(line: bytes) -> str:
    """Bytes as text, without losing any."""
    return line.decode("utf-8", "backslashreplace")


def printable(text: str) -> str:
    """Text that cannot move the cursor: names, causes and arguments come from strangers."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else _escaped(sign) for sign in text)


def printable_lines(text: str) -> str:
    """Text of many lines, as programs print it, that cannot move the cursor but to the next line or tab stop."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def _escaped(sign: str) -> str:
    if "\udc80" <= sign <= "\udcff":
        return f"\\x{ord(sign) - 0xDC00:02x}"  # a byte of a file's name that is no UTF-8
    return sign.encode("unicode_escape").decode()


def shortened(text: str, most: int = SHORT) -> str:
    """On one line and no longer than that, with dots for what is left out."""
    if len(text) > most:
        text = text[:most] + text[-most:]  # of a megabyte, no more is looked at; it is cut below in any case
    text = printable(text)
    if len(text) <= most:
        return text
    head = int((most - len(DOTS)) * HEAD_SHARE)
    tail = most - len(DOTS) - head
    return text[:head] + DOTS + text[len(text) - tail :]
