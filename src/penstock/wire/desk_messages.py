"""What a client says to the ventilator and hears from it: one closed union for each of both arrows."""

from __future__ import annotations

from typing import Annotated

import msgspec

from penstock.job.spec import WHOLE_END, BatchSpec, Instant, JobState, Label, Positive, Seconds, Stamp, Tags
from penstock.wire.records import (
    AboutBatch,
    BatchSpan,
    Count,
    Id,
    Many,
    Message,
    Numbered,
    Part,
    PartsTaken,
    Pipeline,
    Record,
    SpanList,
    Text,
)

# --------------------------------------------------------------------------- client -> ventilator, client -> sink


class BackUp(Numbered, frozen=True):
    """An admin wants a copy of the receiver's store in this `folder` of the receiver's host. Answered by BackUpState,
    or Refused with the reason. With `begins` the copy under the word `asked` is begun, unless it was before; without,
    the answer says how far that one is or, before it is begun, that it can be. A copy that nobody asks after for 30 s
    is given up. `data`: the folder that the store must be in; empty: any."""

    asked: Id
    folder: Text
    data: Text = ""
    begins: bool = False


class BackUpState(Numbered, frozen=True):
    """Answers the BackUp of this number. The copy will be, or is, at `path` on `host`; it takes up to `size` bytes, and
    `free` ones were free there before it was begun. `copied`: how much of it is there, 1: it is whole; None: it is not
    begun."""

    path: Text
    host: Label
    size: Count
    free: Count
    copied: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


class AskMetrics(Numbered, frozen=True):
    """What has the receiver counted since it started? Answered by Metrics, by both stations."""


class Sample(Record, frozen=True):
    """A number of the metric ``penstock_FAMILY``, with the values of its labels in their order."""

    family: Label
    labels: tuple[Label, ...]
    value: float


class Spread(Record, frozen=True):
    """A histogram of the metric ``penstock_FAMILY``: `counts` of values up to each of `bounds` that are above the bound
    before, and of those above the last one; `sum` of all values."""

    family: Label
    labels: tuple[Label, ...]
    bounds: tuple[float, ...]
    counts: tuple[Count, ...]
    sum: float


class Metrics(Numbered, frozen=True):
    """Answers the AskMetrics of this number. Families that the receiver does not know are of a later release."""

    samples: Annotated[tuple[Sample, ...], Many]
    spreads: Annotated[tuple[Spread, ...], Many] = ()


# ------------------------------------------------------------------------------------------ client -> ventilator


class BatchOpen(Record, frozen=True):
    """A new batch; owns `size` bytes: the serialized function, whose digest is `function`."""

    batch: Id
    spec: BatchSpec
    function: Id
    size: Count


class ChunkHead(Record, frozen=True):
    """The jobs [first, first + count) of a batch; owns `size` bytes: their serialized arguments.

    `digests` is empty, or has DIGEST_BYTES for each job: by these a client tells later what has been submitted.
    """

    batch: Id
    first: Count
    count: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
    size: Count
    digests: bytes = b""
    cancelled: SpanList = ()
    # jobs of it that were cancelled before the chunk left its client: they have no arguments, and are never started


class BatchClose(Record, frozen=True):
    """The batch has `total` jobs; no more will come."""

    batch: Id
    total: Count


class Program(Record, frozen=True):
    """What submits: its penstock, and which process it is."""

    version: Label
    host: Label
    pid: Count


class Submit(Numbered, frozen=True):
    """Accept all of this; answered by Accepted when it is durable. Said twice, it is accepted once. Where it opens
    batches, `program` is who submits; None: a release before 0.3.

    The payload has the functions of `opens`, then the arguments of `chunks`.
    """

    opens: Annotated[tuple[BatchOpen, ...], Many]
    chunks: Annotated[tuple[ChunkHead, ...], Many]
    closes: Annotated[tuple[BatchClose, ...], Many]
    program: Program | None = None


class Cancel(AboutBatch, frozen=True):
    """End these jobs; with `unstarted_only` what runs is let finish, and none of them is started any more. Answered by
    Cancelled when it is known of each whether it has started, or after RECALL_PATIENCE."""

    start: Count
    stop: Count
    unstarted_only: bool


class Retry(Numbered, frozen=True):
    """Open those of these jobs again that ended without success. Answered by Retried, when the sink has recorded that.
    `asked` is new for each call: said twice, it opens once."""

    asked: Id
    batch: Id
    start: Count
    stop: Count


class Forget(Message, frozen=True):
    """The client has read this batch to its end and nobody else will: delete it."""

    batch: Id


class TrimOutput(Message, frozen=True):
    """What the jobs of this batch wrote was shown: of each stream of each job about `bound` bytes, head and tail, and
    what its note has, are enough from now on. Also from the ventilator to the sink."""

    batch: Id
    bound: Count


class Delete(AboutBatch, frozen=True):
    """Delete this batch with all that is recorded of it; what of it is open is cancelled. Answered by Done when it is
    gone."""


class Pause(Numbered, frozen=True):
    """No job of this batch, or with an empty `batch` of the whole pipeline, is to start any more; what runs goes on.
    With `resumes` jobs start again. Answered by Done when that is durable. A release before 0.3 does not know it."""

    batch: Annotated[bytes, msgspec.Meta(max_length=16)]
    resumes: bool = False


class SetBatch(AboutBatch, frozen=True):
    """This batch has that priority from now on, and that limit, of its own; None: it stays. Answered by Done when that
    is durable. A release before 0.3 does not know it."""

    priority: Annotated[int, msgspec.Meta(ge=-WHOLE_END, lt=WHOLE_END)] | None = None
    limit: Positive | None = None


class Alive(Message, frozen=True):
    """The client still reads these transient batches. It need not say so to keep them, as long as its connection is up
    (see Knock)."""

    batches: Annotated[tuple[Id, ...], Many]


class AskGone(Numbered, frozen=True):
    """Which of these batches, all of them accepted once, are not here any more? Answered by Gone. A client asks so of
    all batches that it waits for, every 20 s and at each new connection: then nobody waits for what never comes."""

    batches: Annotated[tuple[Id, ...], Many]
    parts: bool = False
    """Whether the asker takes Parts from the ventilator, from now on."""


class DrainWorker(Numbered, frozen=True):
    """Let the worker with this name (or hex id) finish what runs, hand back the rest and leave. Answered by Done."""

    worker: Label


class AskPipeline(Numbered, frozen=True):
    """A client asks how the pipeline stands; answered by PipelineInfo."""

    parts: bool = False


class AskWhy(AboutBatch, frozen=True):
    """Why does this job not run? Answered by Why."""

    index: Count


class AskStack(AboutBatch, frozen=True):
    """Where is this job, which runs? Answered by Stack."""

    index: Count


class AskEvents(Numbered, frozen=True):
    """What has happened behind the event `after`, at most `limit` of it. Answered by Events."""

    after: Count
    limit: Count
    parts: bool = False


class AskBatches(Numbered, frozen=True):
    """The newest `limit` batches that fit `match`: an id, a unique beginning or end of it, a name, ``last`` or ``""``
    (all). Answered by BatchesInfo."""

    match: Label
    limit: Count
    parts: bool = False


class AskDigests(AboutBatch, frozen=True):
    """The digests of the batch's jobs from `start` on, as they were submitted. Answered by Digests."""

    start: Count
    parts: bool = False


class AskJobs(Numbered, frozen=True):
    """Where those of the jobs [start, stop) of the batch are that have not ended; with an empty `batch`, the running
    jobs of all batches. At most `limit` lines. Answered by JobsInfo."""

    batch: Annotated[bytes, msgspec.Meta(max_length=16)]
    start: Count
    stop: Count
    limit: Count
    parts: bool = False


class AskArguments(AboutBatch, frozen=True):
    """What the jobs [start, stop) of the batch were given, ended ones too, as far as that is kept; of chunks with more
    than `each` bytes for a job only how many. Answered by Arguments."""

    start: Count
    stop: Count
    each: Count
    code: bool = True  # the function, too
    parts: bool = False


class AskFiltered(Numbered, frozen=True):
    """Which batches may have jobs that fit `where`, a line of job/filters.py: the newest first, from the job `index` of
    `batch` on. Which of their jobs that have not ended do: at most `limit` lines. Answered by Filtered."""

    where: Text
    batch: Id
    index: Count
    limit: Count
    parts: bool = False


AsksMuch = AskEvents | AskPipeline | AskBatches | AskDigests | AskJobs | AskArguments | AskGone | AskFiltered
"""Questions whose answers grow with what there is in the pipeline."""
ClientToVentilator = (
    Submit
    | Part
    | TrimOutput
    | Cancel
    | Retry
    | Forget
    | Delete
    | Alive
    | AskGone
    | DrainWorker
    | AskPipeline
    | AskBatches
    | AskDigests
    | AskWhy
    | AskStack
    | AskEvents
    | AskJobs
    | AskArguments
    | AskFiltered
    | PartsTaken
    | BackUp
    | Pause
    | SetBatch
    | AskMetrics
)


# ------------------------------------------------------------------------------------------ ventilator -> client


class Accepted(Numbered, frozen=True):
    """The Submit of this number is durable."""


class Refused(Numbered, frozen=True):
    """The request of this number changed nothing; `kind` is the name of an error class, `text` one line for people."""

    kind: Label
    text: Text


class Known(AboutBatch, frozen=True):
    """The Submit of this number changed nothing: it opens a call that was accepted before, under the same word, as
    this batch; `closed`: all of it."""

    closed: bool


class Notice(Message, frozen=True):
    """Unasked, to the client that submitted this batch: what it waits for, one line for people."""

    batch: Id
    text: Text


class Knock(Message, frozen=True):
    """Unasked, to a client that was silent: it says nothing and is not answered. Only who is connected can be sent it,
    and a connection is kept up (by the heartbeats of ZeroMQ's own thread) also while the program under it is busy."""


class GoneLine(Record, frozen=True):
    """A batch that is not here any more; `kind` is the name of an error class, `text` one line for people."""

    batch: Id
    kind: Label
    text: Text


class Gone(Numbered, frozen=True):
    """Answers the AskGone of this number: nothing more will come of these of its batches."""

    batches: tuple[GoneLine, ...]


class Cancelled(Numbered, frozen=True):
    """So many jobs were cancelled and had not started; running ones, if meant, are being ended."""

    jobs: Count


class Retried(Numbered, frozen=True):
    """So many jobs were opened again."""

    jobs: Count


class Done(Numbered, frozen=True):
    """The request of this number was carried out."""


class WorkerLine(Record, frozen=True):
    """One connected worker, in a PipelineInfo."""

    id: Id
    name: Label
    host: Label
    pid: Count
    slots: Count
    jobs: Count
    """held now, by the ventilator's ledger"""
    done: Count
    """completed since it joined"""
    draining: bool
    python: Label
    tags: Tags = ()
    version: Label = ""
    users: Tags = ()
    broken: Text = ""
    running: Count | None = None
    """of the jobs held"""
    clock_ahead: float = 0.0
    """seconds that its wall clock was ahead of the ventilator's when it joined"""
    paused: Text = ""
    """why it is given nothing of some batches for a while"""


class PipelineInfo(Numbered, frozen=True):
    """How the pipeline stands."""

    life: Count
    version: Label
    python: Label
    queued: Count
    leased: Count
    batches: Count
    """with open jobs"""
    sink_present: bool
    malformed: Count
    workers: tuple[WorkerLine, ...]
    reopened: Count = 0
    """jobs opened again in this life because the sink had lost their outcomes"""
    lost: Count = 0
    """of these jobs no arguments were kept: dead"""
    security: Label = ""  # keys, user (only its own reaches it), private (its machine) or insecure
    wall_time: Instant = 0.0
    running: Count | None = None
    """of the jobs given out, as far as is known; None: nobody has counted"""
    trouble: Text = ""
    """What keeps jobs from being taken in, run or recorded, for people"""
    damage: Text = ""
    """What was found damaged on the disks of the stations, for people"""
    pipeline: Pipeline = b""
    growth: tuple[Text, ...] = ()
    """what grows until it is trouble, for people"""
    paused: Text = ""
    """By whom and since when no job of any batch starts, for people"""


class BatchLine(Record, frozen=True):
    """One batch. `total` is None until it is closed; `counts` are jobs by final state."""

    batch: Id
    spec: BatchSpec
    accepted: Count
    total: Count | None
    counts: dict[str, int]
    leased: Count
    created_time: Instant
    function: bytes = b""
    """Its digest."""
    waits: Text = ""
    """What keeps all of it from being run, for people"""
    running: Count | None = None
    """Of those given out."""
    claim: bytes = b""
    """The token of a Claim; empty: the asker may take none of its outcomes from other readers, or there are no keys."""


class BatchesInfo(Numbered, frozen=True):
    """The batches asked for, newest first."""

    batches: tuple[BatchLine, ...]


class EventLine(Record, frozen=True):
    """What has happened: numbers have no gap. `time` is wall clock, `batch` is empty if it is not of one."""

    number: Count
    time: Instant
    event: Label
    batch: bytes
    fields: dict[str, str | int | float]


class Events(Numbered, frozen=True):
    """Answers the AskEvents of this number; `last` is the number of the newest one, 0: nothing has happened."""

    last: Count
    events: tuple[EventLine, ...]


class Digests(Numbered, frozen=True):
    """DIGEST_BYTES for each of some consecutive jobs, from the one asked for on; empty: there are no more."""

    digests: bytes


class Why(Numbered, frozen=True):
    """What the job waits for or who has it, for people; empty: it has ended, the sink knows how."""

    reason: Text


class Stack(Numbered, frozen=True):
    """Where the job is, for people: stacks of its threads, and its processes. Or `reason`: why that is not known."""

    text: Text
    reason: Text = ""


class JobLine(BatchSpan, frozen=True):
    """Jobs that have not ended, all in one place. Their `state` is one of those or, of what will not run any more, the
    final one that is about to be recorded; `worker` has them since `seconds`, and they run there or wait."""

    state: JobState
    stamp: Stamp
    running: bool = False
    worker: Label = ""
    host: Label = ""
    seconds: Seconds = 0.0
    in_slot: tuple[Count, Seconds] | None = None
    """which one, and for how long it runs there, where that is known"""
    unsure: bool = False
    """Some of them may have ended: the ventilator has not read of them since it started, the sink knows"""


class JobsInfo(Numbered, frozen=True):
    """Answers the AskJobs of this number, in the order of the jobs. `next`: there is more, ask again from there."""

    lines: tuple[JobLine, ...]
    next: Count | None = None


class GivenChunk(Record, frozen=True):
    """The chunk [first, first + count) of a batch; owns `size` bytes, its payload, or none where that is too much to be
    looked at: it has `whole`."""

    first: Count
    count: Count
    size: Count
    whole: Count


class Arguments(Numbered, frozen=True):
    """Answers the AskArguments of this number. The payload has the `function` bytes of the batch's function (0: too
    many, or not asked for) and the chunks that have its jobs from the first one on: as many as go into one answer. What
    is missing of [start, stop) in front of `next`, or without it to the end, is not kept any more."""

    function: Count
    chunks: tuple[GivenChunk, ...]
    next: Count | None = None


class FilteredBatch(Record, frozen=True):
    """A batch whose jobs [start, stop) may fit a filter, and those of them that have not ended and do."""

    line: BatchLine
    start: Count
    stop: Count
    open: tuple[JobLine, ...]


class Filtered(Numbered, frozen=True):
    """Answers the AskFiltered of this number. `next`: there may be more, ask again from that batch and job on."""

    batches: tuple[FilteredBatch, ...]
    next: tuple[Id, Count] | None = None


VentilatorToClient = (
    Accepted
    | PartsTaken
    | Refused
    | Known
    | Notice
    | Knock
    | Gone
    | Cancelled
    | Retried
    | Done
    | PipelineInfo
    | BatchesInfo
    | Digests
    | Events
    | Why
    | Stack
    | JobsInfo
    | Arguments
    | Filtered
    | Part
    | BackUpState
    | Metrics
)


def no_such_batch(number: int, batch: bytes) -> Refused:
    """Refuses what was asked, under this number, of a batch that is not here."""
    return Refused(number, "NoSuchBatch", f"no batch {batch.hex()}")
