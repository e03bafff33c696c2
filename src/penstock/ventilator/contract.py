"""What happens to the ventilator's core, and what it wants done (station/contract.py has what all stations share)."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.station.contract import (
    Action,
    Answer,
    AnswerFromStore,
    Bytes,
    CopyStore,
    DeleteBatch,
    Input,
    Refuse,
    Save,
    SaveOfBatch,
)
from penstock.wire.desk_messages import AskEvents
from penstock.wire.messages import Jobs
from penstock.wire.records import Message

ARGUMENTS_DAMAGED = "damaged on disk: its arguments"
FUNCTION_DAMAGED = "damaged on disk: its function"
OPTIONS_DAMAGED = "damaged on disk: the options of its batch"
"""Causes of jobs that are dead because of what the queue file has lost."""

# ------------------------------------------------------------------------------------------------------ what is stored


class OpenPart(msgspec.Struct, frozen=True, array_like=True):
    """Jobs of a chunk that have no final outcome and one stamp. `given` marks what may have been started and must not
    be started twice (max_crashes=1), `recalled` what runs and must not be started again, `exposed` what was given out
    again though a worker that is not heard of may have started it."""

    start: int
    stop: int
    stamp: Stamp = Stamp()
    given: bool = False
    recalled: bool = False
    exposed: bool = False


class EndedPart(msgspec.Struct, frozen=True, array_like=True):
    """Jobs of a chunk that ended without success."""

    start: int
    stop: int
    state: JobState


class StoredChunk(msgspec.Struct, frozen=True):
    """A chunk as the queue file has it: its open jobs and those that ended without success; `size` is its payload's
    length in bytes."""

    first: int
    count: int
    size: int
    parts: tuple[OpenPart, ...]
    ended: tuple[EndedPart, ...] = ()


class StoredBatch(msgspec.Struct, frozen=True):
    """A batch as the queue file has it; `accepted` is the end of its last chunk, `open_from` the first index of the
    first chunk with open jobs, or None."""

    batch: bytes
    spec: BatchSpec
    function: bytes
    function_size: int
    created_time: float
    accepted: int
    total: int | None
    counts: dict[str, int]
    open_from: int | None
    cancelled: tuple[tuple[int, int], ...] = ()
    generation: int = 0
    asked: tuple[tuple[bytes, int], ...] = ()
    ended_time: float | None = None
    damaged: str = ""
    """Why nothing of it is to run: the cause of jobs that are dead for it."""
    started: bool = False
    """Whether an event says that its first job was given to a worker."""


class PipelinePause(NamedTuple):
    """Since when, by the wall clock, and by whose key the whole pipeline is paused; None: it is not."""

    time: float | None = None
    by: str = ""


NOT_PAUSED = PipelinePause()


class Identity(msgspec.Struct, frozen=True):
    """Whose the queue file is, whether a sink's file has the same `pipeline`, how many chunks it has ever accepted, and
    the number of its last event; `accepts_older`: somebody has said that files may be older than they were."""

    pipeline: bytes = b""
    is_paired: bool = False
    accepted: int = 0
    accepts_older: bool = False
    last_event: int = 0


# -------------------------------------------------------------------------------------------------------------- inputs


class ClientSought(Input, frozen=True):
    """Answers SeekClient: whether that connection is up."""

    client: bytes
    found: bool


class WallClock(Input, frozen=True):
    """What the wall clock says at the beginning of a turn: the only clock that knows the instants of users."""

    time: float


class PartsUnderWay(Input, frozen=True):
    """What these workers are told is on its way to them, in parts."""

    workers: tuple[bytes, ...]


class Subscribed(Input, frozen=True):
    """A control connection came up: a worker or the sink subscribed to its own id."""

    topic: bytes


class Unsubscribed(Input, frozen=True):
    """A control connection is gone."""

    topic: bytes


class JobConnections(Input, frozen=True):
    """How many job connections have shaken hands (socket monitor)."""

    count: int


class DamageFound(Input, frozen=True):
    """What was found damaged in the queue file since the last time, for people; `must_compare`: whether jobs of it are
    to be compared with the sink's log."""

    what: tuple[str, ...]
    must_compare: bool


class PayloadDamaged(Input, frozen=True):
    """These leases could not be sent, for their arguments are damaged on disk, or their function is: then all batches
    that have one of these `functions` can be given out no more. `worker`: who had asked for a function."""

    leases: tuple[int, ...] = ()
    functions: tuple[bytes, ...] = ()
    worker: bytes = b""


# ----------------------------------------------------------------------------------------------------- saves: queue.db


class SaveBatch(SaveOfBatch, frozen=True):
    """A new batch and its function (bytes, stored once per digest)."""

    spec: BatchSpec
    function: bytes
    code: Bytes
    created_time: float


class SaveSpec(SaveOfBatch, frozen=True):
    """A batch's options, of which the ventilator has filled in one."""

    spec: BatchSpec


class SaveChunk(SaveOfBatch, frozen=True):
    """New jobs [first, first + count), all queued at Stamp()."""

    first: int
    count: int
    payload: Bytes
    digests: bytes = b""


class SaveTotal(SaveOfBatch, frozen=True):
    """The batch is closed at so many jobs."""

    total: int


class SaveOpen(SaveOfBatch, frozen=True):
    """What of a chunk is still open (nothing: the chunk is finished), and what of it ended without success."""

    first: int
    parts: tuple[OpenPart, ...]
    ended: tuple[EndedPart, ...] = ()


class SaveCounts(SaveOfBatch, frozen=True):
    """Jobs of a batch by final state."""

    counts: dict[str, int]


class SaveCancelled(SaveOfBatch, frozen=True):
    """The jobs of a batch that somebody cancelled, for as long as some of them are open."""

    spans: tuple[tuple[int, int], ...]


class SaveRetried(SaveOfBatch, frozen=True):
    """A batch's newest generation, and the latest retries: what each was asked as, how many jobs it opened again."""

    generation: int
    asked: tuple[tuple[bytes, int], ...]


class SaveEnded(SaveOfBatch, frozen=True):
    """When the batch ended, by this setting of the wall clock (clock_steps.py), and for how many seconds it is retained
    from then on; None: it is open again."""

    ended_time: float | None
    retain: float
    clock: int


class SaveClockSet(Save, frozen=True):
    """The wall clock was set forward by so many seconds: what ended by its setting `before` is dated by `after`, as the
    next life has that date alone."""

    step: float
    before: int
    after: int


class SaveEvent(Save, frozen=True):
    """What has happened, under a number that is one more than that of the last one; `batch` is empty if it is not of
    one."""

    number: int
    event: str
    batch: bytes
    fields: dict[str, str | int | float]


class SaveForgotten(SaveOfBatch, frozen=True):
    """The sink has deleted this batch: it need not be told again."""


class SaveApplied(Save, frozen=True):
    """The sink's log is applied up to this line."""

    seq: int
    chain: bytes


class SaveAccepted(Save, frozen=True):
    """So many chunks were ever accepted."""

    accepted: int


class SavePaired(Save, frozen=True):
    """The pipeline that this file is of; the sink's file knows it."""

    pipeline: bytes


class SavePause(Save, frozen=True):
    """The key of this name has paused the whole pipeline at this time of the wall clock; None: it is not paused."""

    time: float | None
    by: str


class SaveCompared(Save, frozen=True):
    """All that was lost with damaged rows is compared with the sink's log."""


VentilatorSave = (
    SaveAccepted
    | SavePaired
    | SavePause
    | SaveCompared
    | SaveBatch
    | SaveSpec
    | SaveChunk
    | SaveTotal
    | SaveOpen
    | SaveCounts
    | SaveCancelled
    | SaveRetried
    | SaveEnded
    | SaveEvent
    | SaveClockSet
    | SaveForgotten
    | SaveApplied
    | DeleteBatch
)
"""All that its store can be asked to commit."""

# ------------------------------------------------------------------------------------------- effects: after the commit


class SeekClient(Action, frozen=True):
    """Is the connection with this routing id at the desk up? Comes back as ClientSought."""

    client: bytes


class Tell(Action, frozen=True):
    """Over control, to the worker or sink with this id."""

    topic: bytes
    message: Message


class Deal(Action, frozen=True):
    """Over the jobs socket, as one round: message i to whichever worker is next."""

    round: tuple[Jobs, ...]


class SendFunction(Action, frozen=True):
    """The function, in parts, over control."""

    worker: bytes
    function: bytes


class ReadEvents(Action, frozen=True):
    """Answer an AskEvents of this client from the store."""

    client: bytes
    asked: AskEvents


class ReadDigests(AnswerFromStore, frozen=True):
    """Answer an AskDigests from the store."""

    start: int


class ReadArguments(AnswerFromStore, frozen=True):
    """Answer an AskArguments from the store, with this function (empty: without); `more`: it asked for jobs behind
    `stop`, too."""

    function: bytes
    start: int
    stop: int
    each: int
    more: bool


VentilatorEffect = (
    SeekClient | Tell | Deal | SendFunction | ReadDigests | ReadArguments | ReadEvents | Answer | CopyStore | Refuse
)
"""All that its process does for it, but for reads (reads.py); the loop writes what is a Log."""
