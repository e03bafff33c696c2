"""What the cores want done. A core only says it; the loop does it, in this order: every Save of a turn in one
transaction, commit, then every other action in the order given.

Every action of a turn is in one of two unions: `Save` (before the commit) or `Effect` (after it).
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.job.spooled_output import Segments, Spooled
from penstock.wire.messages import Jobs, Message, OutcomeHead, Print

Bytes = bytes | memoryview


class Action(msgspec.Struct, frozen=True, gc=False):
    """Something a core wants done."""


# --------------------------------------------------------------------------------------- saves: the queue file


class SaveBatch(Action, frozen=True):
    """A new batch and its function (bytes, stored once per digest)."""

    batch: bytes
    spec: BatchSpec
    function: bytes
    code: Bytes
    created_time: float


class SaveChunk(Action, frozen=True):
    """New jobs [first, first + count), all queued at Stamp()."""

    batch: bytes
    first: int
    count: int
    payload: Bytes
    digests: bytes = b""


class SaveTotal(Action, frozen=True):
    """The batch is closed at so many jobs."""

    batch: bytes
    total: int


class OpenPart(msgspec.Struct, frozen=True, array_like=True):
    """Jobs of a chunk that have no final outcome and one stamp. `given` marks what may have been started and must not
    be started twice (max_crashes=1), `recalled` what runs and must not be started again."""

    start: int
    stop: int
    stamp: Stamp = Stamp()
    given: bool = False
    recalled: bool = False


class EndedPart(msgspec.Struct, frozen=True, array_like=True):
    """Jobs of a chunk that ended without success."""

    start: int
    stop: int
    state: JobState


class SaveOpen(Action, frozen=True):
    """What of a chunk is still open (nothing: the chunk is finished), and what of it ended without success."""

    batch: bytes
    first: int
    parts: tuple[OpenPart, ...]
    ended: tuple[EndedPart, ...] = ()


class SaveCounts(Action, frozen=True):
    """Jobs of a batch by final state."""

    batch: bytes
    counts: dict[str, int]


class SaveCancelled(Action, frozen=True):
    """The jobs of a batch that somebody cancelled, for as long as some of them are open."""

    batch: bytes
    spans: tuple[tuple[int, int], ...]


class SaveRetried(Action, frozen=True):
    """A batch's newest generation, and the latest retries: what each was asked as, how many jobs it opened again."""

    batch: bytes
    generation: int
    asked: tuple[tuple[bytes, int], ...]


class SaveEnded(Action, frozen=True):
    """When the batch was first seen to have ended (wall clock); None: it is open again."""

    batch: bytes
    ended_time: float | None


class SaveForgotten(Action, frozen=True):
    """The sink has deleted this batch: it need not be told again."""

    batch: bytes


class SaveApplied(Action, frozen=True):
    """The sink's log is applied up to this line."""

    seq: int
    chain: bytes


class DeleteBatch(Action, frozen=True):
    """The batch and all that is stored of it (both stores have this one); the queue file keeps its id until
    SaveForgotten."""

    batch: bytes


# ------------------------------------------------------------------------------------- saves: the results file


class SaveRow(Action, frozen=True):
    """One line of the sink's log: what jobs [head.start, head.stop) came to, with their serialized values."""

    seq: int
    head: OutcomeHead
    worker: bytes
    chain: bytes
    body: Bytes


class SaveRecorded(Action, frozen=True):
    """A checkpoint, at the last SaveRow before it: which jobs of the batch have a final outcome; as (start, stop,
    generation) which of these are of a later one than 0; and, as (start, stop, stamp), the newest stamps of attempts
    that were not final. Rows saved after it count too, when the store is read.
    """

    batch: bytes
    spans: tuple[tuple[int, int], ...]
    generations: tuple[tuple[int, int, int], ...]
    attempts: tuple[tuple[int, int, Stamp], ...]


class SaveClaim(Action, frozen=True):
    """The newest claim of a reader: the outcomes `start` to `stop` of the batch, in the order of recording, are its."""

    batch: bytes
    reader: bytes
    number: int
    start: int
    stop: int


class SaveOutput(Action, frozen=True):
    """A part of what a job wrote, to be kept beside its outcome."""

    head: Print
    body: Bytes


class SaveTrimmed(Action, frozen=True):
    """No more than `bound` bytes of either stream of each output of this batch need be kept any longer."""

    batch: bytes
    bound: int


Save = (
    SaveBatch
    | SaveChunk
    | SaveTotal
    | SaveOpen
    | SaveCounts
    | SaveCancelled
    | SaveRetried
    | SaveApplied
    | SaveForgotten
    | SaveEnded
    | DeleteBatch
    | SaveRow
    | SaveRecorded
    | SaveClaim
    | SaveOutput
    | SaveTrimmed
)

# ---------------------------------------------------------------------------------- effects: after the commit


class Answer(Action, frozen=True):
    """To a client, by its routing id, over the desk or the results socket."""

    client: bytes
    message: Message
    payload: Bytes = b""


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


class LoadChunks(Action, frozen=True):
    """Read the batch's open chunks from `first` on, at most `limit`; comes back as ChunksLoaded."""

    batch: bytes
    first: int
    limit: int


class LoadChunk(Action, frozen=True):
    """Read the chunk that has this index; comes back as ChunkLoaded."""

    batch: bytes
    index: int


class ReadDigests(Action, frozen=True):
    """Answer an AskDigests from the store."""

    client: bytes
    number: int
    batch: bytes
    start: int


class ReadArguments(Action, frozen=True):
    """Answer an AskArguments from the store, with this function (empty: without); `more`: it asked for jobs behind
    `stop`, too."""

    client: bytes
    number: int
    batch: bytes
    function: bytes
    start: int
    stop: int
    each: int
    more: bool


class LoadKept(Action, frozen=True):
    """Read what is kept of the chunks that have jobs in [start, stop), finished ones too; comes back as KeptLoaded."""

    batch: bytes
    start: int
    stop: int


class Report(Action, frozen=True):
    """To the ventilator (from a worker or the sink)."""

    message: Message


class Deliver(Action, frozen=True):
    """To the sink: outcomes with their values, and the tokens of their leases."""

    records: tuple[OutcomeHead, ...]
    bodies: tuple[Bytes, ...]
    tokens: tuple[bytes, ...] = ()


class DeliverPrints(Action, frozen=True):
    """To the sink: what running jobs wrote; `number` comes back, if it is not 0."""

    records: tuple[Print, ...]
    bodies: tuple[bytes, ...]
    tokens: tuple[bytes, ...]
    number: int


class DeliverOutput(Action, frozen=True):
    """To the sink: parts of what jobs have written, each from this output of a slot; `number` comes back when they are
    recorded."""

    records: tuple[Print, ...]
    sources: tuple[tuple[int, Segments], ...]
    tokens: tuple[bytes, ...]
    number: int


class FreeOutput(Action, frozen=True):
    """What a job of this slot wrote is wanted no more."""

    slot: int
    output: Spooled


class ReadRows(Action, frozen=True):
    """Read recorded rows of a batch after a position, at most `limit` bytes (at least one); comes back as RowsRead."""

    client: bytes
    batch: bytes
    after: int
    limit: int


class ReadLog(Action, frozen=True):
    """Read the log after a line; comes back as LogRead."""

    after: int
    limit: int


class ReadLines(Action, frozen=True):
    """Read the lines of the batches that are not deleted, after a line; comes back as LinesRead."""

    after: int
    limit: int


class ReadSpan(Action, frozen=True):
    """Answer a Fetch from the store."""

    client: bytes
    number: int
    batch: bytes
    start: int
    stop: int
    cursor: tuple[int, int]


class ReadOutput(Action, frozen=True):
    """Answer a FetchOutput from the store."""

    client: bytes
    number: int
    batch: bytes
    index: int
    is_error: bool
    position: int


class Run(Action, frozen=True):
    """Give a slot a piece: the jobs [start, stop) of a lease. `mean`: seconds one of them is expected to take."""

    slot: int
    piece: int
    lease: int
    start: int
    stop: int
    mean: float | None


class Cut(Action, frozen=True):
    """Let the slot stop this piece after the job that runs; comes back as PieceCut."""

    slot: int
    piece: int


class EndSlot(Action, frozen=True):
    """End the slot's process tree, if it runs this piece: SIGTERM, TERM_GRACE, SIGKILL; comes back as SlotDied with
    this state and cause."""

    slot: int
    piece: int
    state: JobState
    cause: str


class FreeLease(Action, frozen=True):
    """The lease's payload is no longer needed."""

    lease: int


class Leave(Action, frozen=True):
    """The process ends: all is done and said, but for the outcomes of so many jobs that nobody has taken."""

    undelivered: int = 0


class Touch(Action, frozen=True):
    """Until then slots may start what they were given; they look at it themselves, for the agent may be stopped."""

    until: float


class Renew(Action, frozen=True):
    """Connect to control anew, if it is connected: nothing is heard of it."""


class Log(Action, frozen=True):
    """An event for the log, worded in log_events.py."""

    event: str
    fields: dict[str, Any]


Effect = (
    Answer
    | SeekClient
    | Tell
    | Deal
    | SendFunction
    | LoadChunks
    | LoadChunk
    | ReadDigests
    | ReadArguments
    | LoadKept
    | Report
    | Deliver
    | DeliverPrints
    | DeliverOutput
    | FreeOutput
    | ReadRows
    | ReadLog
    | ReadLines
    | ReadSpan
    | ReadOutput
    | Run
    | Cut
    | EndSlot
    | FreeLease
    | Leave
    | Touch
    | Renew
    | Log
)

Actions = list[Save | Effect]
