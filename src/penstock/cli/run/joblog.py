"""What `run` writes beside stdout, in the formats of GNU parallel: ``--joblog FILE`` and ``--results DIR``."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.cli.output import say
from penstock.cli.run.composed_commands import given_of
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock.cli.job_output import Shown
    from penstock.client.records import Outcome

HEAD = b"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"
TIMED_OUT = (-1, 15)
"""Exit value and signal of a job that ran too long, as GNU parallel has them."""
STDOUT = frozenset({"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})
NAME_BYTES = 255
"""The longest file name (NAME_MAX of Linux)."""
TAKEN = frozenset({b".", b"..", b"stdout", b"stderr", b"seq"})
"""Names that no folder of an argument can have: that of an empty argument is the one around it, as in GNU parallel,
which ends with an error where another argument's folder is to have the name of a file there."""
EMPTY = b"\\empty"
"""Where that would be the folder of other arguments. None is so named: their backslashes are doubled."""
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
        return self.printed.outcome

    @property
    def sent(self) -> int | None:
        """Bytes that it was given on stdin; None: it had none."""
        return getattr(self.item, "sent", None)


class JobLog:
    """A line for each job that was started, as it ends."""

    def __init__(self, path: str, host: str, *, resumed: int | None = None) -> None:
        """`host`: instead of the worker's name. `resumed`: go on behind so many bytes of the file. ``+FILE`` goes on
        behind all of it, ``-`` is stdout. ConfigError: the file cannot be written."""
        self._host = host
        self._path = path.removeprefix("+")
        self.failure: str = ""
        """Why it is not whole."""
        self._fd = -1
        try:
            self._fd = self._open(path, resumed)
            if not path.startswith("+") and not resumed:
                self._write(HEAD)
        except OSError as error:
            self.close()
            raise ConfigError(f"cannot write {self._path}: {(error.strerror or str(error)).lower()}") from None

    def _open(self, path: str, resumed: int | None) -> int:
        if self._path in STDOUT:
            return os.dup(1)  # opened by its name a file would be overwritten
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND
        if resumed is None and not path.startswith("+"):
            flags |= os.O_TRUNC
        fd = os.open(self._path, flags, 0o666)
        if resumed is not None and stat.S_ISREG(os.fstat(fd).st_mode):
            os.ftruncate(fd, resumed)
        return fd

    def add(self, ended: Ended) -> None:
        """One more has ended. On a full disk it says so, once, and the jobs go on."""
        outcome = ended.outcome
        if not outcome.started or self.failure:
            return
        command = ended.shown(outcome.slot + 1).replace(b"\n", b"\0")
        host = self._host or outcome.worker
        exitval, number = exit_of(outcome)
        line = b"%d\t%s\t%.3f\t%10.3f\t%d\t%d\t%d\t%d\t%s\n" % (
            ended.number + 1,
            os.fsencode(host),
            outcome.started,
            outcome.elapsed,
            ended.sent or 0,
            ended.printed.stdout_size,
            exitval,
            number,
            command,
        )
        try:
            self._write(line)
        except BrokenPipeError:
            raise  # nobody reads stdout any more
        except OSError as error:
            self.failure = (error.strerror or str(error)).lower()
            say(f"cannot write {self._path}: {self.failure}; the jobs go on, but from now on it misses them")

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def readable(command: bytes) -> bytes:
    """A command as it was, from a joblog's line."""
    return command.replace(b"\0", b"\n")


class ResultFiles:
    """A folder for each job, named after its arguments, with the files stdout, stderr and seq."""

    failure = ""

    def __init__(self, folder: str, columns: int, names: Sequence[bytes] = ()) -> None:
        """`columns`: arguments that one input item has; with -n they are numbered again for each item. `names`: what
        --header calls them."""
        if "{" in folder or folder.endswith((".csv", ".tsv", ".json")):
            raise ConfigError(
                f"--results {folder}: write the name of a folder (`penstock results --csv` makes one file)"
            )
        self._folder = os.fsencode(folder)
        self._columns = columns
        self._names_of_columns = names

    def add(self, ended: Ended) -> None:
        """One more has ended."""
        # a block has no name: GNU parallel writes all of them into one folder, and only the last one stays
        names = self._names(ended.item) if ended.sent is None else [b"%d" % (ended.number + 1)]
        folder = os.path.join(self._folder, *names)
        os.makedirs(folder, exist_ok=True)
        printed = ended.printed
        with open(os.path.join(folder, b"stdout"), "wb") as file:
            file.writelines(printed.stdout())
        with open(os.path.join(folder, b"stderr"), "wb") as file:
            file.writelines(printed.stderr())
            file.write(printed.remarks())  # these count what was missing of both
        with open(os.path.join(folder, b"seq"), "wb") as file:
            file.write(b"%d" % (ended.number + 1))

    def close(self) -> None:
        """Nothing has to be closed: each file was closed when it was written."""

    def _names(self, item: Any) -> Sequence[bytes]:
        given = given_of(item)
        arguments = [str(item).encode("utf-8", "surrogateescape")] if given is None else given
        columns = [place % (self._columns or len(arguments)) for place in range(len(arguments))]
        headers = [self._header(column) for column in columns]
        names = list(map(file_name, arguments))
        if not set(headers).isdisjoint(names):
            names = [name or EMPTY for name in names]
        return [one for both in zip(headers, names, strict=True) for one in both]

    def _header(self, column: int) -> bytes:
        header = self._names_of_columns[column : column + 1]
        return file_name(header[0]) if header else b"%d" % (column + 1)


def file_name(argument: bytes) -> bytes:
    """An argument as the name of a folder: no slash is left in it, and it is never too long."""
    name = b"".join(ESCAPES.get(argument[at : at + 1], argument[at : at + 1]) for at in range(len(argument)))
    if name in TAKEN:
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
