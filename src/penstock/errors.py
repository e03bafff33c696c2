"""Every error a user of penstock can meet, in one tree.

::

    PenstockError
    ├── ConfigError(ValueError)             a setting is wrong; nothing was started
    │   └── NoAddress                       the name that a station is to listen at has none here
    ├── NoPipeline(ConnectionError)         no ventilator or sink answers at the URL
    ├── Refused(PermissionError)            the pipeline does not allow it: the key, its role, a limit
    ├── OnceMismatch                        another call was accepted under this word
    ├── NoSuchBatch(LookupError)
    ├── NoSuchWorker(LookupError)
    ├── NoLongerKept(LookupError)           what was to be retried has no arguments here any more
    ├── ProtocolError                       bytes from the wire that are no message of ours
    │   └── VersionMismatch                 they are one of another version: install one penstock on both sides
    ├── StoreError                          a store cannot be opened, read or written
    │   ├── StoreFull                       the disk is full; work goes on once there is room
    │   ├── UnfitFolder                     a data folder that would not keep what is put there
    │   ├── StoreInUse                      another process holds the data folder
    │   └── SchemaMismatch                  written by a newer penstock
    └── JobError                            what a Future may hold beside the job's own exception
        ├── JobDied(BrokenExecutor)         processes died under it, or its worker was lost
        ├── JobTimedOut                     it ran longer than its time_limit (your own wait is TimeoutError)
        ├── JobCancelled(CancelledError)
        ├── JobExited                       the job raised SystemExit or KeyboardInterrupt
        ├── CommandFailed(CalledProcessError)
        ├── ResultNotPicklable
        └── RemoteError                     the job's own exception cannot be rebuilt here
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, CancelledError
from subprocess import CalledProcessError


class PenstockError(Exception):
    """The root of the tree. Its message is one line: what is wrong, where, and what to do."""


class ConfigError(PenstockError, ValueError):
    """A setting is wrong, such as a URL, a key file or an option of the command line. Nothing was started."""


class NoAddress(ConfigError):
    """The name at which a station is to listen has no address here, or none of this machine's."""


class NoPipeline(PenstockError, ConnectionError):
    """No ventilator or no sink answers at the URL of the pipeline: start one there, or check the address."""


class Refused(PenstockError, PermissionError):
    """The pipeline refused a connection or a request: the key is not known there, or its role does not allow it."""


class OnceMismatch(PenstockError):
    """Another call was accepted under the same word of the option ``once``: its function or its arguments differ."""


class NoSuchBatch(PenstockError, LookupError):
    """No batch has this id or name, or more than one has; or the batch was deleted, or has no such job."""


class NoSuchWorker(PenstockError, LookupError):
    """No connected worker has this name, or several have it; or none has what ``on_missing="fail"`` jobs need."""


class NoLongerKept(PenstockError, LookupError):
    """The arguments of jobs that were to be retried are not kept any more; nothing was opened again."""


class ProtocolError(PenstockError):
    """Bytes came from the network that are no message of penstock's protocol."""


class VersionMismatch(ProtocolError):
    """A message came of another version of the protocol: install the same penstock on both sides."""


class StoreError(PenstockError):
    """A file in which a ventilator or sink keeps its data cannot be opened, read or written."""


class StoreFull(StoreError):
    """The disk is full. Nothing that was accepted is lost, and work goes on once there is room."""


class UnfitFolder(StoreError):
    """The data folder is on a network file system, in memory, or open to others."""


class StoreInUse(StoreError):
    """Another process holds the data folder."""


class SchemaMismatch(StoreError):
    """The data folder was written by a newer penstock: install that one."""


class JobError(PenstockError):
    """The base of the errors that a Future raises beside the job's own exception."""


class JobDied(JobError, BrokenExecutor):
    """Processes died under the job, or its worker was lost, as often as ``max_crashes`` allows."""

    def __init__(self, message: str, pid: int | None = None, exitcode: int | None = None) -> None:
        """`message`: one line that says what happened. `pid`: the id of the last process. `exitcode`: its exit code,
        minus the signal's number if one killed it. Both are None where nobody knows."""
        super().__init__(message)
        self.pid = pid
        self.exitcode = exitcode


class JobTimedOut(JobError):
    """The job ran longer than its ``time_limit``. It is no TimeoutError: that is the end of your own wait."""


class JobCancelled(JobError, CancelledError):
    """The job was cancelled, or expired before it started, or its pipeline was left before it ended."""


class JobExited(JobError):
    """The job raised SystemExit or KeyboardInterrupt."""

    def __init__(self, message: str, code: object = None) -> None:
        """`message`: one line that says what happened. `code`: what the job gave SystemExit, None without."""
        super().__init__(message)
        self.code = code


class CommandFailed(JobError, CalledProcessError):
    """The exit code of a command was not 0. It is a subprocess.CalledProcessError."""

    def __init__(
        self, returncode: int, cmd: list[str], output: bytes = b"", stderr: bytes = b"", cause: str = ""
    ) -> None:
        """`returncode`: the exit code, minus the signal's number if one killed it. `cmd`: the words of the command.
        `output`, `stderr`: what it wrote to stdout and stderr. `cause`: why it could not be started, in one line;
        empty if it was."""
        CalledProcessError.__init__(self, returncode, cmd, output, stderr)
        self.cause = cause

    def __str__(self) -> str:
        text = CalledProcessError.__str__(self)
        return f"{text.removesuffix('.')}: {self.cause}" if self.cause else text


class ResultNotPicklable(JobError):
    """The job returned a value that cannot be serialized, or that raises what is no Exception when it is rebuilt."""


class RemoteError(JobError):
    """The job's own exception cannot be rebuilt here; its text is in the message, and its traceback is the cause."""
