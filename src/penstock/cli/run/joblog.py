"""What `run` writes beside stdout, in the formats of GNU parallel: ``--joblog FILE`` and ``--results DIR``.

Both are looked at when they are made, and entered when the first job is about to run. Promises:

1. What cannot be written is refused before a job has run, and before a file of an earlier run is overwritten.
2. What cannot be written later (its disk is full) is said in a line that names the file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from penstock.cli.output import say
from penstock.cli.run.composed_commands import given_of
from penstock.cli.streams import CannotWrite
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
LINK = "a symbolic link in it leads elsewhere: remove it, or name another folder"
OWN_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""As far as the system has them."""
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

    failure: str = ""
    """Why it is not whole."""

    def __init__(self, path: str, host: str, *, resumed: int | None = None) -> None:
        """`host`: instead of the worker's name. `resumed`: go on behind so many bytes of the file. ``+FILE`` goes on
        behind all of it, ``-`` is stdout. ConfigError: the file cannot be written."""
        self._path = path.removeprefix("+")
        self._appends = path.startswith("+")
        self._host = host
        self._resumed = resumed
        self._fd = -1
        if self._path not in STDOUT:
            check_file(self._path)

    def __enter__(self) -> Self:
        """The first job is about to run. ConfigError: the file cannot be written after all."""
        try:
            self._fd = self._open()
            if not self._appends and not self._resumed:
                self._write(HEAD)
        except OSError as error:
            self.__exit__()
            raise refused(self._path, error) from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def _open(self) -> int:
        if self._path in STDOUT:
            return os.dup(1)  # opened by its name a file would be overwritten
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND
        if self._resumed is None and not self._appends:
            flags |= os.O_TRUNC
        fd = os.open(self._path, flags, 0o666)
        if self._resumed is not None and stat.S_ISREG(os.fstat(fd).st_mode):
            os.ftruncate(fd, self._resumed)
        return fd

    def add(self, ended: Ended) -> None:
        """One more has ended. On a full disk it says so, once, and the jobs go on. CannotWrite: nobody reads it."""
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
        except BrokenPipeError as error:
            raise CannotWrite(self._path, error) from None
        except OSError as error:
            self.failure = (error.strerror or str(error)).lower()
            say(f"cannot write {self._path}: {self.failure}; the jobs go on, but from now on it misses them")

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]


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
        check_folder(folder)
        self._folder = os.fsencode(folder)
        self._columns = columns
        self._names_of_columns = names

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing has to be closed: each file was closed when it was written."""

    def add(self, ended: Ended) -> None:
        """One more has ended. CannotWrite: its files cannot be written."""
        # a block has no name: GNU parallel writes all of them into one folder, and only the last one stays
        names = self._names(ended.item) if ended.sent is None else [b"%d" % (ended.number + 1)]
        printed = ended.printed
        try:
            folder = self._made(names)
            with open(folder / "stdout", "wb", opener=_own_file) as file:
                file.writelines(printed.stdout())
            with open(folder / "stderr", "wb", opener=_own_file) as file:
                file.writelines(printed.stderr())
                file.write(printed.remarks())  # these count what was missing of both
            with open(folder / "seq", "wb", opener=_own_file) as file:
                file.write(b"%d" % (ended.number + 1))
        except OSError as error:
            raise CannotWrite(os.fsdecode(self._folder), error) from None

    def _made(self, names: Sequence[bytes]) -> Path:
        """The folder of a job. Raises OSError: it cannot be made, or would be elsewhere."""
        folder = Path(os.path.realpath(os.fsdecode(self._folder)), *map(os.fsdecode, names))
        if os.path.realpath(folder) != str(folder):
            raise OSError(errno.ELOOP, LINK)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

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


def _own_file(path: str, flags: int) -> int:
    """Opens a file itself, not what a link in its place points to; a pipe without a reader is an error."""
    try:
        return os.open(path, flags | OWN_FLAGS, 0o666)
    except OSError as error:
        raise OSError(error.errno, LINK) if error.errno == errno.ELOOP else error from None


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


def check_file(path: str) -> None:
    """ConfigError: no file can be written there. Nothing is made."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        _check_parent(path)
        return
    except OSError as error:
        raise refused(path, error) from None
    if stat.S_ISDIR(mode):
        raise ConfigError(f"cannot write {path}: it is a folder")
    if stat.S_ISREG(mode) and not os.access(path, os.W_OK):
        raise ConfigError(f"cannot write {path}: permission denied")


def check_folder(path: str) -> None:
    """ConfigError: there is no such folder and none can be made, or nothing can be put into it. Nothing is made."""
    if os.path.isdir(path):
        if not os.access(path, os.W_OK | os.X_OK):
            raise ConfigError(f"cannot write into {path}: permission denied")
    elif os.path.lexists(path):
        raise ConfigError(f"{path} is a file: name a folder, one that is there or a new one")
    else:
        _check_parent(path, is_made=True)


def _check_parent(path: str, *, is_made: bool = False) -> None:
    """Whether something can be made in the folder where it is to be, or (`is_made`) in the first one that is there."""
    parent = os.path.dirname(os.path.abspath(path))
    while is_made and not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    if not os.path.isdir(parent):
        raise ConfigError(f"cannot write {path}: there is no folder {parent}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigError(f"cannot write {path}: permission denied in {parent}")


def refused(path: str, error: OSError) -> ConfigError:
    """Why it cannot be written."""
    return ConfigError(f"cannot write {path}: {(error.strerror or str(error)).lower()}")
