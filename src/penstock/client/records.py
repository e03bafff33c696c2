"""What users get back: outcomes of jobs, and how batches, pipelines and workers stand. All of them frozen records."""

from __future__ import annotations

from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import msgspec

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault  # Python has it from 3.13 on; a checker always has

    T_co = TypeVarWithDefault("T_co", covariant=True, default=Any)
else:
    T_co = TypeVar("T_co", covariant=True)

FinalState = Literal["succeeded", "failed", "timed_out", "cancelled", "dead"]
"""Of a job that has ended."""
AnyState = Literal[FinalState, "queued", "delayed", "running", "open"]
"""Of any job. ``open``: it has not ended, and the ventilator is of an earlier release that cannot say more."""


class Outcome(msgspec.Struct, Generic[T_co], frozen=True, kw_only=True):
    """What one job came to."""

    job_id: str
    """``BATCH:INDEX``"""
    index: int
    position: int
    """``follow(after=position)`` goes on behind this outcome; comparable within a batch only."""
    state: FinalState
    """``succeeded``, ``failed``, ``timed_out``, ``cancelled`` or ``dead``."""
    value: T_co | None = None
    """What a call returned, or a command's CommandResult."""
    error: BaseException | None = None
    """What ``Future.result()`` would raise."""
    traceback: str = ""
    """Of the job's exception, as text."""
    cause: str = ""
    """Why it did not succeed, in one line."""
    attempts: int = 1
    worker: str = ""
    """The worker's name; empty when no worker had it."""
    slot: int = 0
    started: float = 0.0
    """Seconds since the epoch, by the worker's clock; 0 when it never started."""
    elapsed: float = 0.0
    """Seconds it ran. Tiny jobs are timed together: then it is their mean."""
    stdout: bytes = b""
    stderr: bytes = b""
    """Whole, or head and tail with a line between them that says how many bytes are cut there."""
    returncode: int | None = None
    """Of a command."""
    stdout_size: int = 0
    stderr_size: int = 0
    """Bytes that the job wrote, whatever is kept of them."""


class JobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """How one job stands, whether it waits, runs or has ended."""

    id: str
    """``BATCH:INDEX``"""
    index: int
    state: AnyState
    """``queued``, ``delayed``, ``running``, ``succeeded``, ``failed``, ``timed_out``, ``cancelled`` or ``dead``;
    ``open``: it has not ended, and the ventilator is of an earlier release that cannot say more."""
    text: str
    """What it is: the command line, or the function and its arguments. Those are read without opening a pickle: plain
    values as they are, objects by the name of their class."""
    name: str = ""
    """Of its batch."""
    worker: str = ""
    """Who has it, or had it last."""
    host: str = ""
    """Of the worker that has it."""
    slot: int = 0
    attempts: int = 1
    started: float = 0.0
    """Of its last attempt that has ended; seconds since the epoch, by the worker's clock. 0: none has."""
    elapsed: float = 0.0
    running: float | None = None
    """Seconds for which it runs by now; None: it does not, or that is not known yet."""
    cause: str = ""
    """Why it did not succeed, in one line."""
    # of one job that is asked for alone, not of those of a list
    waits: str = ""
    """What it waits for, or who has it; empty: it has ended."""
    submitted: float = 0.0
    """When its batch was; seconds since the epoch, by the ventilator's clock."""
    owner: str = ""
    """The key that submitted it."""
    user: str = ""
    """Whom it runs as; empty: as its worker does."""
    cwd: str = ""
    """The folder that it runs in; empty: its slot's."""
    env: dict[str, str] = {}
    """What is added to the environment of its worker."""
    options: dict[str, Any] = {}
    """Those that are not as they are by default, under the names that they are given by."""


class BatchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a batch stands."""

    id: str
    name: str
    kind: Literal["call", "command"]
    """``call`` or ``command``"""
    title: str = ""
    """The function, or the command as it is before anything is replaced."""
    created: float
    """Seconds since the epoch."""
    total: int | None
    """Jobs in it; None while it still takes in jobs."""
    accepted: int
    """Jobs taken in so far."""
    leased: int
    """Given out to workers now, those included that wait there."""
    running: int = 0
    """Of these, in slots, as far as is known: what a worker says is a second old."""
    waits: str = ""
    """What keeps all of it from being run: its time has not come, or no worker fits. Empty: nothing does."""
    succeeded: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    dead: int = 0

    @property
    def finished(self) -> int:
        """Jobs that have a recorded outcome."""
        return self.succeeded + self.failed + self.timed_out + self.cancelled + self.dead

    @property
    def waiting(self) -> int:
        """Jobs that have not ended and do not run."""
        return max(0, self.accepted - self.finished - self.running)

    @property
    def unsuccessful(self) -> int:
        """Jobs that ended without success and that nobody cancelled."""
        return self.failed + self.timed_out + self.dead

    @property
    def done(self) -> bool:
        """Whether every job has an outcome and no more jobs will come."""
        return self.total is not None and self.finished >= self.total


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One connected worker."""

    id: str
    name: str
    host: str
    pid: int
    slots: int
    jobs: int
    """Held now: those that run, and those that wait there."""
    running: int = 0
    """In its slots, as far as is known."""
    done: int
    """Completed since it joined."""
    draining: bool
    python: str
    tags: tuple[str, ...] = ()
    """What it has, for jobs that need that."""
    version: str = ""
    """Of penstock there; empty: the worker is no penstock."""
    users: tuple[str, ...] = ()
    """Whom its jobs may run as, beside its own user."""
    broken: str = ""
    """Why it can run no jobs at present; empty: it can."""


class PipelineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a pipeline stands."""

    url: str
    version: str
    """Of penstock, at the ventilator."""
    python: str
    """Of the ventilator."""
    queued: int
    """Jobs that are not given out."""
    leased: int
    """Jobs given out to workers, those included that wait there."""
    running: int = 0
    """Jobs in slots, as far as is known."""
    batches: int
    """Batches with open jobs."""
    sink_present: bool
    malformed: int
    """Messages that were no messages of ours and were dropped."""
    reopened: int = 0
    """Jobs opened again since the ventilator started because the results file had lost their outcomes."""
    lost: int = 0
    """Jobs that are dead because the results file had lost their outcomes and their arguments were no longer kept."""
    workers: tuple[WorkerInfo, ...]
    security: str = ""
    """``keys``, ``private`` (only its own machine reaches it), or ``insecure``: whoever reaches it may use it."""
    wall_time: float = 0.0
    """Seconds since the epoch, by the ventilator's clock."""
    trouble: str = ""
    """What keeps jobs from being taken in, run or recorded, for people: a full disk, no sink, no worker."""

    @property
    def waiting(self) -> int:
        """Jobs that have not ended and do not run."""
        return max(0, self.queued + self.leased - self.running)

    @property
    def slots(self) -> int:
        """Jobs that can run at once."""
        return sum(worker.slots for worker in self.workers)


class CommandResult(CompletedProcess[bytes]):
    """What a command came to: `args`, `returncode`, `stdout` and `stderr` as bytes (long output: its head and tail)."""
