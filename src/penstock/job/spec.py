"""What flows through the pipeline: jobs, batches, spans, stamps, and the life of a job.

The rules of this file:

1. A job is in exactly one state. Where the ventilator moves jobs, and from where to where, is the table MOVES
   (ventilator/jobs_model.py).
2. Jobs are never objects. On the way through the pipeline they are *spans*: half-open index ranges of a batch.
3. A stamp says which try of a job is meant. Of two stamps the greater one is the newer; what carries an older
   stamp than the one that holds is late and changes nothing.

::

    queued <-> leased -> succeeded | failed | timed_out | cancelled | dead
      ^ |        |
      | +----> cancelled                 (before it was given out)
      +- delayed <- leased               (a failure with retries left, waiting for its turn)
      +- failed | timed_out | cancelled | dead       (opened again: a user's retry)
"""

from __future__ import annotations

import enum
import os
import time
from typing import Annotated, Literal, NamedTuple, NewType

import msgspec

BatchId = NewType("BatchId", bytes)
"""16 bytes in the layout of UUIDv7 (RFC 9562, 5.7): sortable by time, so the stores' indexes are append-only."""

WorkerId = NewType("WorkerId", bytes)
"""16 random bytes, new at each start of a worker or sink process. All of one length: SUB matches prefixes."""

Digest = NewType("Digest", bytes)
"""blake2b, 16 bytes, of a function's serialized form."""

ID_BYTES = 16
KEEP_OUTPUT = 1 << 20
"""Bytes of what a job writes to stdout, and to stderr, that are kept with its outcome: the logs of most jobs."""
RETAIN = 7 * 24 * 3600.0
"""Seconds for which the results of a batch are kept after its end: a week is enough to come back for them."""
WHOLE_END = 2**31
"""Whole numbers of options are smaller, and negative ones at least its negative."""
INSTANT_END = 2.5e11
"""Wall-clock instants are smaller: the year 9892; dates end with 9999."""
LABEL_CHARS = 256
"""Of a name and what is like one."""
TAGS_MAX = 64
"""Words a worker says of itself: more than anybody asks for, and small in every hello."""

Label = Annotated[str, msgspec.Meta(max_length=LABEL_CHARS)]
Tags = Annotated[tuple[Label, ...], msgspec.Meta(max_length=TAGS_MAX)]
"""What a worker says it has, in words of its user's."""
Seconds = Annotated[float, msgspec.Meta(ge=0, lt=1e12)]
Instant = Annotated[float, msgspec.Meta(ge=0, lt=INSTANT_END)]
"""Wall clock, seconds since the epoch."""
APART_DIGITS = 6
"""Of its id, in hex, that a worker's name ends with if another one had that name: `drain` takes them for it."""
Whole = Annotated[int, msgspec.Meta(ge=0, lt=WHOLE_END)]
Positive = Annotated[int, msgspec.Meta(ge=1, lt=WHOLE_END)]

UUID_VERSION_7 = 0x7000
UUID_VARIANT = 0x8000


class JobState(enum.StrEnum):
    """Where a job is in its life; equal to its name, so ``outcome.state == "failed"`` works."""

    QUEUED = "queued"
    """It waits for a worker."""
    DELAYED = "delayed"
    """It waits for a time, for another batch, or for its next attempt."""
    LEASED = "leased"
    """A worker has it: it runs, or waits there for a slot."""
    SUCCEEDED = "succeeded"
    """It returned, or its command ended with exit code 0."""
    FAILED = "failed"
    """It raised, or its command ended with another exit code, and no attempt is left."""
    TIMED_OUT = "timed_out"
    """It ran for longer than its time limit and was ended."""
    CANCELLED = "cancelled"
    """Somebody cancelled it, or it may not start any more."""
    DEAD = "dead"
    """Processes died under it as often as it may happen."""


OPEN = frozenset({JobState.QUEUED, JobState.DELAYED, JobState.LEASED})
"""States of a job that still has to end."""

FINAL = frozenset(JobState) - OPEN
"""States of a job with a recorded outcome."""

FAILURES = frozenset({JobState.FAILED, JobState.TIMED_OUT, JobState.DEAD})
"""States of a job that ended without success, and that nobody wanted to end so."""

UNSUCCESSFUL = FINAL - {JobState.SUCCEEDED}
"""States from which a user's retry opens a job again."""

FAILURES = UNSUCCESSFUL - {JobState.CANCELLED}
"""States of a job that has an error; one that was cancelled has none."""


class Stamp(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Which try of a job: generation grows when a user retries, attempt with each automatic retry.

    ``crashes`` counts the attempts among them that ended because a process died under the job. Attempt 0 is none: it is
    what opens a job again, before the first attempt of its generation.
    """

    generation: int = 0
    attempt: int = 1
    crashes: int = 0

    @property
    def opens(self) -> bool:
        """Whether it marks the beginning of a generation: a job was opened again."""
        return self.attempt == 0

    @property
    def failures(self) -> int:
        """How many earlier attempts failed on their own account."""
        return self.attempt - 1 - self.crashes

    def after_failure(self) -> Stamp:
        """The stamp of the next try after the job itself said no."""
        return Stamp(self.generation, self.attempt + 1, self.crashes)

    def after_crash(self) -> Stamp:
        """The stamp of the next try after a process died under the job."""
        return Stamp(self.generation, self.attempt + 1, self.crashes + 1)


class Tenant(NamedTuple):
    """Whose jobs a slot's process runs: a user's (empty: the worker's own), and of calls one client's (None: it has run
    none yet, or the job is a command, which is a process of its own)."""

    user: str = ""
    client: bytes | None = None

    def admits(self, other: Tenant) -> bool:
        """Whether the process that has run this one's jobs may run the other's."""
        return self.user == other.user and (other.client is None or self.client in {None, other.client})

    def joined_by(self, other: Tenant) -> Tenant:
        """Whose process it is when it has run the other's jobs too."""
        return self if other.client is None else other


class BatchSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """One batch's kind and options; the same for each of its jobs. Durations are seconds. What a client says is within
    these bounds, or is refused where it is decoded."""

    kind: Literal["call", "command"] = "call"
    """``call`` (a Python callable) or ``command`` (an argv template)."""
    name: Label = ""
    """For people, and for finding it again."""
    priority: Annotated[int, msgspec.Meta(ge=-WHOLE_END, lt=WHOLE_END)] = 0
    """Larger goes first."""
    retries: Whole = 0
    """Automatic tries after a failure of the job's own: 2 is up to 3 attempts."""
    retry_delay: Seconds = 1.0
    """Before the first retry; it doubles with each further one, jittered."""
    max_crashes: Positive = 3
    """How many times a process may die under a job before it is dead; 1 = never started twice."""
    time_limit: Seconds | None = None
    """Running time of one job, then its whole process tree is ended."""
    serializer: Literal["pickle", "msgpack"] = "pickle"
    """``pickle`` or ``msgpack``: of arguments and values."""
    check: bool = True
    """Commands: a non-zero exit is a failure."""
    user: Label = ""
    """Whom the jobs run as: only where the worker allows it by name; empty: as the worker does."""
    not_before_time: Instant = 0.0
    """Wall clock: no job of it starts earlier."""
    expires_time: Instant | None = None
    """Wall clock: what has not started by then is cancelled."""
    after: Annotated[bytes, msgspec.Meta(max_length=ID_BYTES)] = b""
    """A batch (its id) of which every job must have succeeded first."""
    once: Label = ""
    """A word under which one call is accepted once."""
    call: Annotated[bytes, msgspec.Meta(max_length=ID_BYTES)] = b""
    """With `once`: a digest of function and arguments, which tells this call from others. Else, of a function that had
    code go along, its digest without."""
    limit: Positive | None = None
    """At most so many of its jobs run at once, everywhere."""
    limit_group: Annotated[bytes, msgspec.Meta(max_length=ID_BYTES)] = b""
    """What was submitted through one view of a client: its batches with the same `limit` share the count; empty: this
    one has its own."""
    worker: Label = ""
    """The name of the worker, or of the host, that must run it."""
    needs: Tags = ()
    """Tags that a worker must have, all of them."""
    on_missing: Literal["wait", "fail"] = "wait"
    """``wait`` or ``fail``: while no worker fits."""
    retain: Seconds = RETAIN
    """How long its results are kept after its end."""
    keep_output: Whole | None = KEEP_OUTPUT
    """Bytes of either stream of a job's output that are kept with its outcome: more of it is kept as head and tail.
    None: all of it is kept."""
    live: bool = False
    """Workers send what its jobs print while they run."""
    transient: bool = False
    """A map of a living client: nobody else will ask for its results."""
    owner: Label = ""
    """The name of the key that submitted it; the ventilator fills it in."""
    title: Label = ""
    """What its jobs do, for people: the name of the function, or the command as it is before anything is replaced."""
    client: Annotated[bytes, msgspec.Meta(max_length=ID_BYTES)] = b""
    """Of calls, which client's they are: a word of its own, new at each connection. No two clients' calls run in one
    process."""
    after_met: bool = False
    """Every job of the batch in `after` has succeeded; the ventilator fills it in."""
    traceparent: Annotated[str, msgspec.Meta(pattern="^(00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})?$")] = ""
    """The span in which it was submitted (W3C Trace Context); empty: in none that is recorded."""
    paused_time: Instant | None = None
    """Wall clock: since then no job of it starts, until it is resumed; the ventilator fills it in."""
    paused_by: Label = ""
    """The name of the key that has paused it; the ventilator fills it in."""

    @property
    def is_pickled(self) -> bool:
        """Whether running its jobs opens pickles: commands are none."""
        return self.opens == "pickle"

    @property
    def opens(self) -> Literal["pickle", "msgpack", "command"]:
        """What its worker must be able to open (wire/messages.py, Hello)."""
        return "command" if self.kind == "command" else self.serializer

    @property
    def tenant(self) -> Tenant:
        """Whose process its jobs run in."""
        return Tenant(self.user, self.client if self.kind == "call" else None)

    @property
    def longest_name(self) -> int:
        """Characters of the longest name that users gave."""
        return max(map(len, (self.name, self.user, self.once, self.worker, *self.needs)))

    def is_final(self, state: JobState, stamp: Stamp, *, crashed: bool = False) -> bool:
        """Whether an attempt at this stamp that ended in this state was the job's last one: a failure of its own is
        retried, and so is a job under which a process died (`crashed`)."""
        if crashed:
            return self.is_last_crash(stamp)
        return state is not JobState.FAILED or stamp.failures >= self.retries

    def is_last_crash(self, stamp: Stamp) -> bool:
        """Whether one more death of a process under the job is final."""
        return stamp.crashes + 1 >= self.max_crashes


def new_batch_id() -> BatchId:
    """A fresh batch id: 48 bits of milliseconds, then random bits (RFC 9562, 5.7)."""
    millis = time.time_ns() // 1_000_000
    random = bytearray(os.urandom(ID_BYTES - 6))
    random[0] = random[0] & 0x0F | UUID_VERSION_7 >> 8
    random[2] = random[2] & 0x3F | UUID_VARIANT >> 8
    return BatchId(millis.to_bytes(6, "big") + bytes(random))


def new_worker_id() -> WorkerId:
    """A fresh id for one life of a worker or sink process."""
    return WorkerId(os.urandom(ID_BYTES))


def job_id(batch: bytes, index: int) -> str:
    """The public name of a job, ``BATCH:INDEX``."""
    return f"{batch.hex()}:{index}"


def name_apart(name: str, worker_id: str) -> str:
    """What a worker is called, by its id in hex, that was started with the name of another one."""
    suffix = f"-{worker_id[:APART_DIGITS]}"
    return name[: LABEL_CHARS - len(suffix)] + suffix
