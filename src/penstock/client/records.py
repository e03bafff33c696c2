"""What users get back, as frozen records: outcomes of jobs, and the state of jobs, batches, pipelines and workers."""

from __future__ import annotations

from collections.abc import Iterator
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import msgspec
import msgspec.structs

from penstock.client import html

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
    """How one job ended, and what it left: its value or error, its output, and where and how long it ran."""

    job_id: str
    """The name of the job, ``BATCH:INDEX``."""
    index: int
    """Its place in its batch, from 0."""
    position: int
    """Its place among the recorded outcomes of its batch, from 1: ``follow(after=position)`` goes on behind it."""
    state: FinalState
    """``succeeded``, ``failed``, ``timed_out``, ``cancelled`` or ``dead``."""
    value: T_co | None = None
    """What a call returned, or a command's CommandResult; None if the job did not succeed."""
    error: BaseException | None = None
    """The error that ``Future.result()`` raises; None if the job succeeded."""
    traceback: str = ""
    """The traceback of the job's exception, as text; empty without one."""
    cause: str = ""
    """Why it did not succeed, in one line; empty if it did."""
    attempts: int = 1
    """How many attempts were made, this one included; 0: it could not be submitted."""
    worker: str = ""
    """The name of the worker that ran it; empty if none did."""
    slot: int = 0
    """The number of its slot at that worker, from 0."""
    started: float = 0.0
    """When it started, in seconds since the epoch by the worker's clock; 0 if it never did."""
    elapsed: float = 0.0
    """How long it ran, in seconds. Tiny jobs are timed together; then it is their mean."""
    stdout: bytes = b""
    """What it wrote to stdout: all, or head and tail with a line between them that says how many bytes are cut."""
    stderr: bytes = b""
    """What it wrote to stderr, kept as its stdout is."""
    returncode: int | None = None
    """The exit code of a command, minus the signal's number if one killed it; None for calls."""
    stdout_size: int = 0
    """How many bytes it wrote to stdout, whatever is kept of them."""
    stderr_size: int = 0
    """How many bytes it wrote to stderr, whatever is kept of them."""

    def asdict(self) -> dict[str, Any]:
        """Returns a new dictionary of its fields by their names."""
        return msgspec.structs.asdict(self)


class JobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What one job is, and its state now, whether it waits, runs or has ended.

    `Pipeline.job` and `Batch.job` fill in all fields, `Batch.jobs` those up to `cause`, and `Pipeline.jobs` those of
    them that are known of a job that waits or runs, and when its batch was submitted and by whom.
    """

    id: str
    """The name of the job, ``BATCH:INDEX``."""
    index: int
    """Its place in its batch, from 0."""
    state: AnyState
    """``queued``, ``delayed``, ``running``, ``succeeded``, ``failed``, ``timed_out``, ``cancelled`` or ``dead``;
    ``open``: it has not ended, and the ventilator is of an earlier release that cannot say more."""
    text: str
    """What it does: the command line, or the function and its arguments. Those are read without opening a pickle: plain
    values as they are, objects by the name of their class."""
    name: str = ""
    """The name of its batch; empty without one."""
    worker: str = ""
    """The name of the worker that has it, or had it last; empty if none had."""
    host: str = ""
    """The host of the worker that has it; empty if none has."""
    slot: int = 0
    """The number of the slot that it runs in, or ran in last, from 0."""
    attempts: int = 1
    """The number of its attempt, from 1."""
    started: float = 0.0
    """When its last attempt that has ended started, in seconds since the epoch by the worker's clock; 0: none has."""
    elapsed: float = 0.0
    """How long that attempt ran, in seconds."""
    running: float | None = None
    """How long it has been running by now, in seconds; None: it does not run, or that is not known yet."""
    cause: str = ""
    """Why it did not succeed, in one line; empty if it did, or has not ended."""
    # of one job that is asked for alone, not of those of a list
    waits: str = ""
    """What it waits for, or which worker has it; empty: it has ended."""
    submitted: float = 0.0
    """When its batch was submitted, in seconds since the epoch by the ventilator's clock."""
    owner: str = ""
    """The name of the key that submitted it; empty without keys."""
    user: str = ""
    """The account that it runs as; empty: its worker's."""
    cwd: str = ""
    """The folder that it runs in; empty: its slot's."""
    env: dict[str, str] = {}
    """What is added to the environment of its worker."""
    options: dict[str, Any] = {}
    """The job options that differ from the defaults, by their names in `Pipeline.options`."""

    def asdict(self) -> dict[str, Any]:
        """Returns a new dictionary of its fields by their names."""
        return msgspec.structs.asdict(self)


class BatchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a batch, as numbers of jobs."""

    id: str
    """Its id, 32 hexadecimal digits."""
    name: str
    """The name that it was given; empty without one."""
    kind: Literal["call", "command"]
    """Whether its jobs call a function, ``call``, or run a command, ``command``."""
    title: str = ""
    """The name of the function, or the command before anything is replaced in it."""
    created: float
    """When it was submitted, in seconds since the epoch by the ventilator's clock."""
    total: int | None
    """How many jobs it has; None while it still takes in jobs."""
    accepted: int
    """How many jobs it has taken in so far."""
    leased: int
    """How many jobs workers have now: those that run, and those that wait there."""
    running: int = 0
    """How many of these run in slots, as far as is known: what a worker says is up to a second old."""
    waits: str = ""
    """What keeps all of it from running: its time has not come, it or the pipeline is paused, or no worker fits. Empty:
    nothing does."""
    succeeded: int = 0
    """How many jobs have a value."""
    failed: int = 0
    """How many jobs raised an exception, or ended with an exit code other than 0."""
    timed_out: int = 0
    """How many jobs were ended for their time limit."""
    cancelled: int = 0
    """How many jobs were cancelled."""
    dead: int = 0
    """How many jobs were given up because processes died under them."""
    owner: str = ""
    """The name of the key that submitted it; empty without keys."""
    paused: bool = False
    """Whether it is paused: no job of it starts until it is resumed."""

    @property
    def finished(self) -> int:
        """How many jobs have a recorded outcome."""
        return self.succeeded + self.failed + self.timed_out + self.cancelled + self.dead

    @property
    def waiting(self) -> int:
        """How many jobs have not ended and do not run."""
        return max(0, self.accepted - self.finished - self.running)

    @property
    def unsuccessful(self) -> int:
        """How many jobs ended without success, those that were cancelled apart."""
        return self.failed + self.timed_out + self.dead

    @property
    def done(self) -> bool:
        """Whether every job has an outcome and no more jobs will come."""
        return self.total is not None and self.finished >= self.total

    def asdict(self) -> dict[str, Any]:
        """Returns a new dictionary of its fields by their names."""
        return msgspec.structs.asdict(self)

    def _repr_html_(self) -> str:
        """In a notebook: a bar, and how many jobs there are of each kind."""
        return html.of_batch(self)


class FailureGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that failed of the same error, as far as can be told: errors that differ only in numbers, ids, paths and
    quoted text are one."""

    key: str
    """What stands for the error, the same in every batch, 32 hexadecimal digits."""
    error: str
    """Its type and text, with ``…`` for what differs from job to job, and its place in your code, where it has one."""
    jobs: int
    """How many jobs: failed, timed out or dead. One that is run again counts no more until it fails again."""
    batches: int
    """Of how many batches they are."""
    workers: tuple[str, ...]
    """The names of workers that ran them, the first 20; those of jobs that are run again stay."""
    first: float
    """When the first of them ended, in seconds since the epoch by its worker's clock; 0: that is not known."""
    last: float
    """When the last of them ended, in the same way, in seconds since the epoch; 0: that is not known."""
    examples: tuple[str, ...]
    """Some of them, ``BATCH:INDEX``; at most five."""

    def asdict(self) -> dict[str, Any]:
        """Returns a new dictionary of its fields by their names."""
        return msgspec.structs.asdict(self)


class Failures(msgspec.Struct, frozen=True, kw_only=True):
    """Failed jobs, grouped by their error; iterating it gives the groups."""

    groups: tuple[FailureGroup, ...] = ()
    """The error of the most jobs first."""
    incomplete: bool = False
    """Whether some jobs are not counted yet: after a retry of very many, an upgrade or a damaged disk."""

    def __iter__(self) -> Iterator[FailureGroup]:
        """An iterator over the groups, the error of the most jobs first."""
        return iter(self.groups)

    def __len__(self) -> int:
        """How many groups there are, one for each error."""
        return len(self.groups)

    def asdict(self) -> dict[str, Any]:
        """Returns a new dictionary of its fields by their names, the groups too."""
        return {"groups": [group.asdict() for group in self.groups], "incomplete": self.incomplete}


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that is connected."""

    id: str
    """Its id, new at each start, 32 hexadecimal digits."""
    name: str
    """The name that it was given, or one made of its host and process id."""
    host: str
    """The name of its host."""
    pid: int
    """Its process id there."""
    slots: int
    """How many jobs it runs at once."""
    jobs: int
    """How many jobs it has now: those that run, and those that wait there."""
    running: int = 0
    """How many of these run in its slots, as far as is known."""
    done: int
    """How many jobs it has completed since it joined."""
    draining: bool
    """Whether it finishes what it runs, and takes no more."""
    python: str
    """The version of its Python."""
    tags: tuple[str, ...] = ()
    """The tags that it was given, for jobs with ``needs``."""
    version: str = ""
    """The version of its penstock; empty: the worker is another program."""
    users: tuple[str, ...] = ()
    """The accounts that its jobs may run as, beside its own."""
    broken: str = ""
    """Why it can run no jobs at present; empty: it can."""
    paused: str = ""
    """Why it is given no jobs of some batches for a while: it could not start one; empty: it is given all."""
    clock_ahead: float = 0.0
    """How many seconds its wall clock was ahead of the ventilator's when it joined."""


class PipelineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a pipeline."""

    url: str
    """Its URL, as this client knows it."""
    version: str
    """The version of the ventilator's penstock."""
    python: str
    """The version of the ventilator's Python."""
    queued: int = 0
    """How many jobs wait at the ventilator."""
    leased: int = 0
    """How many jobs workers have: those that run, and those that wait there."""
    running: int = 0
    """How many of these run in slots, as far as is known."""
    batches: int = 0
    """How many batches have jobs that have not ended."""
    sink_present: bool
    """Whether the ventilator is connected to the sink."""
    malformed: int = 0
    """How many messages were dropped because they are none of penstock's protocol."""
    reopened: int = 0
    """How many jobs are run again since the ventilator started, because results.db had lost their outcomes."""
    lost: int = 0
    """How many jobs are dead because results.db had lost their outcomes and their arguments were not kept any more."""
    workers: tuple[WorkerInfo, ...] = ()
    """The workers that are connected."""
    security: str = ""
    """``keys``, ``private`` (only its own machine reaches it), or ``insecure``: whoever reaches it may use it."""
    wall_time: float = 0.0
    """The time of this answer, in seconds since the epoch by the ventilator's clock."""
    trouble: str = ""
    """What keeps jobs from being accepted, run or recorded, for people: a full disk, no sink, no worker."""
    damage: str = ""
    """What was found damaged on the disks of the stations, for people; ``penstock check`` there lists it."""
    growth: tuple[str, ...] = ()
    """What grows until it is trouble, a line each: a write-ahead log, a disk, batches that nobody deletes."""
    paused: str = ""
    """That the whole pipeline is paused, by whom and since when, for people; empty: it is not."""

    @property
    def waiting(self) -> int:
        """How many jobs have not ended and do not run."""
        return max(0, self.queued + self.leased - self.running)

    @property
    def slots(self) -> int:
        """How many jobs can run at once, on all workers together."""
        return sum(worker.slots for worker in self.workers)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What has happened in a pipeline."""

    number: int
    """One more than that of the event before, also over restarts."""
    time: float
    """When, in seconds since the epoch by the ventilator's clock; 0: that is not known."""
    event: str
    """The word for it: ``submitted``, ``started``, ``ended``, ``first_failure``, ``worker_lost`` and so on, as in the
    ventilator's log. ``not_kept`` stands for events up to its number that were too old to be kept."""
    batch: str = ""
    """The id of the batch that it is of; empty: of none."""
    fields: dict[str, str | int | float] = {}
    """What else is known of it, by name: of an ``ended`` batch its name, and how many jobs ended in each state."""

    def asdict(self) -> dict[str, Any]:
        """Returns a new dictionary of its fields by their names."""
        return msgspec.structs.asdict(self)


class CommandResult(CompletedProcess[bytes]):
    """The end of a command, a subprocess.CompletedProcess: `args`, a list of words; `returncode`, its exit code, minus
    the signal's number if one killed it; `stdout` and `stderr`, bytes, of a long output head and tail."""
