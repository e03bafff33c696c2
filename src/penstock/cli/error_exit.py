"""How an error becomes a line for people and an exit code."""

from __future__ import annotations

import errno
import os

import click

from penstock.cli.output import printable
from penstock.errors import (
    ConfigError,
    NoAddress,
    NoLongerKept,
    NoPipeline,
    NoSuchBatch,
    NoSuchWorker,
    OnceMismatch,
    PenstockError,
    Refused,
    SchemaMismatch,
    StoreInUse,
    UnfitFolder,
    VersionMismatch,
)
from penstock.exit_codes import FAILURE, NO_ADDRESS, NO_PIPELINE, REFUSED, WRONG_USE

CONDITIONS = frozenset(
    getattr(errno, name)
    for name in (
        *("EACCES", "EAGAIN", "EDQUOT", "EEXIST", "EFBIG", "EIO", "EISDIR", "ELOOP", "EMFILE", "EMLINK"),
        *("ENAMETOOLONG", "ENFILE", "ENODEV", "ENOENT", "ENOMEM", "ENOSPC", "ENOTDIR", "ENOTEMPTY", "ENXIO"),
        *("EPERM", "EROFS", "ETXTBSY"),
    )
    if hasattr(errno, name)
)
"""What the system says of a machine's state, not of a program's mistake."""


def exit_code(error: Exception) -> int:
    """What the shell is told."""
    match error:
        case NoAddress():
            return NO_ADDRESS
        case (
            click.ClickException()
            | ConfigError()
            | NoSuchBatch()
            | NoSuchWorker()
            | NoLongerKept()
            | OnceMismatch()
            | StoreInUse()
            | UnfitFolder()
            | SchemaMismatch()
            | VersionMismatch()
        ):
            return WRONG_USE
        case NoPipeline():
            return NO_PIPELINE
        case Refused():
            return REFUSED
        case _:
            return FAILURE


def text_of(error: Exception) -> str:
    """What is wrong. Names of files may be of any kind: they neither break the line nor move the cursor."""
    if isinstance(error, click.ClickException):
        return printable(error.format_message())
    if isinstance(error, ConfigError):
        return printable(str(error))
    if isinstance(error, PenstockError):
        return "\n".join(map(printable, str(error).split("\n")))  # a station's last words are lines of their own
    if isinstance(error, OSError) and error.errno in CONDITIONS:
        return _condition(error)
    if isinstance(error, MemoryError):
        return "out of memory"
    return printable(f"{type(error).__name__}: {error}") + " (a fault of penstock's own: --debug shows where)"


def _condition(error: OSError) -> str:
    if error.errno == errno.ENOENT and not _has_working_folder():
        return "the working folder is gone (it was deleted or moved): cd to one that is there"
    why = os.strerror(error.errno or 0).lower()
    if error.filename is None:
        return why
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
    return printable(f"{name}: {why}")


def _has_working_folder() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True
