"""Every error a user of penstock can meet, in one tree.

::

    PenstockError
    ├── ConfigError(ValueError)             a setting is wrong; nothing was started
    ├── NoPipeline(ConnectionError)         no ventilator or sink answers at the URL
    ├── Refused(PermissionError)            the pipeline said no: key, role, limit
    ├── OnceMismatch                        another call was accepted under this word
    ├── NoSuchBatch(LookupError)
    ├── NoSuchWorker(LookupError)
    ├── NoLongerKept(LookupError)           what was to be retried has no arguments here any more
    ├── ProtocolError                       bytes from the wire that are no message of ours
    │   └── VersionMismatch                 they are one of another version: install one penstock on both sides
    ├── StoreError                          a store cannot be opened, read or written
    │   ├── StoreFull                       the disk is full; it goes on when there is room
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
        └── RemoteError                     the job's own exception, or its value, cannot be rebuilt here
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, CancelledError
from subprocess import CalledProcessError


class PenstockError(Exception):
    """The root of the tree. Its message is one line: what is wrong, where, and what to do."""


class ConfigError(PenstockError, ValueError):
    """A setting is wrong; nothing was started."""


class NoPipeline(PenstockError, ConnectionError):
    """No ventilator or sink answers at the URL."""


class Refused(PenstockError, PermissionError):
    """The pipeline said no."""


class OnceMismatch(PenstockError):
    """Another call was accepted under this word."""


class NoSuchBatch(PenstockError, LookupError):
    """No batch has this id or name."""


class NoSuchWorker(PenstockError, LookupError):
    """No worker with this name is connected."""


class NoLongerKept(PenstockError, LookupError):
    """The arguments of jobs that were to be retried are not kept any more; nothing was opened again."""


class ProtocolError(PenstockError):
    """Bytes from the wire that are no message of this protocol."""


class VersionMismatch(ProtocolError):
    """A message of another version of the protocol: two versions of penstock meet."""


class StoreError(PenstockError):
    """A store cannot be opened, read or written."""


class StoreFull(StoreError):
    """The disk is full: nothing that was acknowledged is lost, and it goes on when there is room."""


class UnfitFolder(StoreError):
    """The data folder is on a network file system, in memory, or open to others."""


class StoreInUse(StoreError):
    """Another process holds the data folder."""


class SchemaMismatch(StoreError):
    """The store was written by a newer penstock."""


class JobError(PenstockError):
    """What a Future may hold beside the job's own exception."""


class JobDied(JobError, BrokenExecutor):
    """Processes died under the job, or its worker was lost, as often as max_crashes allows. ``pid`` and ``exitcode``
    (minus the signal's number) are those of the last process, None where nobody knows."""

    def __init__(self, message: str, pid: int | None = None, exitcode: int | None = None) -> None:
        super().__init__(message)
        self.pid = pid
        self.exitcode = exitcode


class JobTimedOut(JobError):
    """The job ran longer than its time_limit."""


class JobCancelled(JobError, CancelledError):
    """The job was cancelled."""


class JobExited(JobError):
    """The job raised SystemExit or KeyboardInterrupt; ``code`` is what it said."""

    def __init__(self, message: str, code: object = None) -> None:
        super().__init__(message)
        self.code = code


class CommandFailed(JobError, CalledProcessError):
    """The command's exit code was not 0; ``cause`` says why where the code alone does not: it could not be started."""

    def __init__(
        self, returncode: int, cmd: list[str], output: bytes = b"", stderr: bytes = b"", cause: str = ""
    ) -> None:
        CalledProcessError.__init__(self, returncode, cmd, output, stderr)
        self.cause = cause

    def __str__(self) -> str:
        text = CalledProcessError.__str__(self)
        return f"{text.removesuffix('.')}: {self.cause}" if self.cause else text


class ResultNotPicklable(JobError):
    """The job returned something that cannot be serialized, or that ends whoever rebuilds it."""


class RemoteError(JobError):
    """The job's own exception, or its value, cannot be rebuilt here; its text and traceback are in the message."""
