"""What `run` writes beside stdout, in the formats of GNU parallel: ``--joblog FILE`` and ``--results DIR``."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock.cli.outputs import Shown
    from penstock.outcome import Outcome

HEAD = b"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"
TIMED_OUT = (-1, 15)
"""Exit value and signal of a job that ran too long, as GNU parallel has them."""
NAME_BYTES = 255
"""The longest file name (NAME_MAX of Linux)."""
ESCAPES = {b"\\": b"\\\\", b"\t": b"\\t", b"\0": b"\\0", b"/": b"\\_"}


class Ended(NamedTuple):
    """A job that has ended: its number from 0, what it was given, what a person would type for it, its outcome."""

    number: int
    item: Any
    shown: Callable[[int], bytes]
    """Of the slot's number from 1."""
    printed: Shown

    @property
    def outcome(self) -> Outcome:
        """What it came to."""
        return self.printed.outcome


class JobLog:
    """A line for each job that was started, as it ends."""

    def __init__(self, path: str, host: str) -> None:
        """`host`: instead of the worker's name. ConfigError: the file cannot be written."""
        self._host = host
        path = "/dev/stdout" if path == "-" else path
        try:
            self._file: BinaryIO = open(path, "wb", buffering=0)  # noqa: SIM115 - `close`
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from None
        self._file.write(HEAD)

    def add(self, ended: Ended) -> None:
        """One more has ended."""
        outcome = ended.outcome
        if not outcome.started:
            return
        command = ended.shown(outcome.slot + 1).replace(b"\n", b"\\n").replace(b"\t", b"\\t")
        host = self._host or outcome.worker
        exitval, number = exit_of(outcome)
        self._file.write(
            b"%d\t%s\t%.3f\t%10.3f\t0\t%d\t%d\t%d\t%s\n"
            % (
                ended.number + 1,
                os.fsencode(host),
                outcome.started,
                outcome.elapsed,
                ended.printed.stdout_size,
                exitval,
                number,
                command,
            )
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ResultFiles:
    """A folder for each job, named after its arguments, with the files stdout, stderr and seq."""

    def __init__(self, folder: str, columns: int) -> None:
        """`columns`: arguments that one input item has; with -n they are numbered again for each item."""
        if "{" in folder or folder.endswith((".csv", ".tsv", ".json")):
            raise ConfigError(f"--results {folder}: write a folder's name (`penstock results --csv` is one file)")
        self._folder = os.fsencode(folder)
        self._columns = columns

    def add(self, ended: Ended) -> None:
        """One more has ended."""
        folder = os.path.join(self._folder, *self._names(ended.item))
        os.makedirs(folder, exist_ok=True)
        printed = ended.printed
        for name, parts in (
            (b"stdout", printed.stdout()),
            (b"stderr", itertools.chain(printed.stderr(), (part() for part in (printed.remarks,)))),
            (b"seq", (b"%d" % (ended.number + 1),)),
        ):
            with open(os.path.join(folder, name), "wb") as file:
                file.writelines(parts)

    def close(self) -> None:
        """Nothing is open."""

    def _names(self, item: Any) -> Sequence[bytes]:
        arguments = item if isinstance(item, list) else [str(item).encode("utf-8", "surrogateescape")]
        names: list[bytes] = []
        for place, argument in enumerate(arguments):
            names += (b"%d" % (place % (self._columns or len(arguments)) + 1), file_name(argument))
        return names


def file_name(argument: bytes) -> bytes:
    """An argument as the name of a folder: no slash is left in it, and it is never too long."""
    name = b"".join(ESCAPES.get(argument[at : at + 1], argument[at : at + 1]) for at in range(len(argument)))
    if name in {b".", b".."}:
        return b"\\" + name
    if len(name) <= NAME_BYTES:
        return name
    digest = hashlib.blake2b(name, digest_size=16).hexdigest().encode()
    return name[: NAME_BYTES - len(digest) - 1] + b"." + digest


def exit_of(outcome: Outcome) -> tuple[int, int]:
    """Exit value and signal."""
    if outcome.state == "timed_out":
        return TIMED_OUT
    code = outcome.returncode
    if code is None:
        return (0 if outcome.state == "succeeded" else 1), 0
    return (code, 0) if code >= 0 else (0, -code)
