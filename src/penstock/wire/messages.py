"""The protocol: every message there is, one closed union per arrow of the picture.

::

              desk  base+0 ROUTER            report base+1 PULL           jobs    base+2 PUSH
    client ----------------> ventilator <---------------- worker, sink    control base+4 XPUB
       ^                         |  jobs: whole rounds, round robin; control: by name
       | results base+5 ROUTER   v
       +------------------------ sink <--------------------- worker
                                       outcomes base+3 PULL

**Frames.** A message is one ZeroMQ frame: ``PNS`` + one version byte, the header's length in bytes (4 bytes, little
endian), the header, the payload. The header is msgpack: an array whose first element is the name of the message and
whose others are its fields in the order given here, those of its base classes first. Records are arrays of their
fields, too; those at the end that have a default may be left out. Ids, digests and chains are msgpack bin, names and
texts str. The payload is what the records of the header say, one after the other: each record with a ``size`` (bytes)
owns the next `size` bytes. Ventilator, sink and the worker's agent never look inside a payload. On control the frame
begins with the topic, the receiver's 16-byte id. (One frame, because a peer that dies between two frames of a message
can take its neighbour with it: libzmq asserts, fq.cpp.)

How a worker speaks, what travels in parts, and what is in the bytes is in the page of the guide: `penstock guide
protocol`.

**Bounds.** A frame is at most MAX_FRAME_BYTES, a msgpack nesting at most what the struct has; numbers are
0 <= n < 2**63. What does not decode, a message of several frames included, is counted, logged escaped and dropped; a
client's request is then answered by a Refused if its number can be read, and its message of another version by one
whose prefix tells the client the version of the station. ZeroMQ gives a message of several frames away as a whole, and
holds what it has of it without a bound: against a peer that never ends one there is only a limit of the process.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from penstock.job.spec import BatchSpec, Instant, JobState, Label, Seconds, Stamp, Tags
from penstock.keys.roles import Role

MAX_FRAME_BYTES = 256 << 20
"""A frame larger than this closes the connection. One result or argument is the largest thing there is."""
MAX_RECORDS = 100_000
"""Records in one message: far above what a turn collects, far below what would stall a loop."""
INLINE_FUNCTION_BYTES = 16 << 10
"""A function up to this size travels with each Jobs message; a larger one is asked for, once per worker."""
DIGEST_BYTES = 16
"""Of what one job is given: two jobs of 2**64 are alike by chance."""
PART_BYTES = 1 << 20
"""Large functions are sent in pieces of this size, so that heartbeats fit between them also where a worker takes no
Parts."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Id = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Text = Annotated[str, msgspec.Meta(max_length=65_536)]
SHOWN_BYTES = 1 << 20
"""Of arguments in one answer, and of a function: what is larger nobody reads."""
Pipeline = Annotated[bytes, msgspec.Meta(max_length=16)]
"""Which one a station is of: 16 bytes, made once; empty: an older release, which does not say."""
Many: msgspec.Meta = msgspec.Meta(max_length=MAX_RECORDS)
SpanList = Annotated[tuple[tuple[Count, Count], ...], Many]
UNPAIRED = bytes(16)
"""The pipeline of a sink whose file no ventilator's knows yet; of a release that knows no pipelines it is empty."""
OPENS = ("pickle", "msgpack", "command")
"""What a worker of penstock runs (Hello)."""
Cursor = tuple[Count, Count]
"""In what a Fetch reads: first index and number in the log of the last record that came."""


class Record(msgspec.Struct, frozen=True, array_like=True):
    """Part of a message."""


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What travels as a header."""


class Numbered(Message, frozen=True):
    """What is answered under its number, or answers under that: the first field."""

    number: Count


class AboutBatch(Numbered, frozen=True):
    """What is asked or answered of one batch: behind the number its id."""

    batch: Id


class ByWorker(Message, frozen=True):
    """What a worker says, under its id: the first field."""

    worker: Id


class BySink(Message, frozen=True):
    """What the sink says, under its id: the first field."""

    sink: Id


# ---------------------------------------------------------------------------------------------- shared records


class BatchHead(Record, frozen=True):
    """What a worker must know of a batch; owns `inline` bytes of the payload (0 or `size`)."""

    batch: Id
    spec: BatchSpec
    function: Id
    size: Count
    inline: Count


class Lease(Record, frozen=True):
    """A span given out under a number that is never used twice; owns `size` bytes: the payload of its whole chunk.

    The chunk holds the jobs [first, first + count) of the batch, the lease is for [start, stop).
    """

    number: Count
    batch: Id
    first: Count
    count: Count
    start: Count
    stop: Count
    stamp: Stamp
    size: Count
    token: bytes = b""  # handed back with the outcomes; empty where there are no keys
    elsewhere: bool = False
    """Others may run it: what cannot be started is handed back, and is no outcome."""


class LeaseSpan(Record, frozen=True):
    """Part of a lease."""

    lease: Count
    start: Count
    stop: Count


class BatchSpan(Record, frozen=True):
    """Part of a batch."""

    batch: Id
    start: Count
    stop: Count


class RecordedSpan(BatchSpan, frozen=True):
    """Part of a batch, up to the tries of this stamp: a later one may be under way or finished, and not recorded."""

    stamp: Stamp


class Held(Record, frozen=True):
    """One line of a worker's inventory: the spans of a lease by what became of them. What is missing is not held.
    `token`: the lease's."""

    lease: Count
    batch: Id
    stamp: Stamp
    unstarted: SpanList
    running: SpanList
    finished: SpanList
    token: bytes = b""


class Note(Record, frozen=True):
    """What is worth saying of an outcome beside its value. Absent where jobs simply succeeded and were silent."""

    cause: Text = ""
    """In plain words, one line."""
    traceback: Text = ""
    # whole, or head and tail with "\n[... N bytes cut ...]\n" between them
    stdout: bytes = b""
    stderr: bytes = b""
    returncode: int | None = None
    pid: Count | None = None
    """Of the process that died under the job, and how that ended: its exit code, or minus the signal's number."""
    exitcode: int | None = None
    stdout_size: Count = 0
    """What the job wrote to it, in bytes, if the note does not have all of it: what is kept of that beside the note is
    asked for by FetchOutput."""
    stderr_size: Count = 0


class OutcomeHead(BatchSpan, frozen=True):
    """What the jobs [start, stop) of a batch came to, all alike; owns `size` bytes: one serialized list of values.

    ``final`` says that there will be no further attempt. ``started_time`` is wall clock, ``elapsed`` seconds for all
    the jobs together. `offset` is the place of `start` in the list of values.
    """

    state: JobState
    final: bool
    stamp: Stamp
    lease: Count
    slot: Count
    started_time: Instant
    elapsed: Seconds
    size: Count
    crashed: bool = False
    note: Note | None = None
    offset: Count = 0
    worker: Label = ""


class Print(Record, frozen=True):
    """What a running job wrote to stdout, or stderr, from the byte `position` of its output on: that of a run begins at
    0, and so does what the note of its outcome has; owns `size` bytes."""

    batch: Id
    index: Count
    lease: Count
    stamp: Stamp
    is_error: bool
    position: Count
    size: Count


class Completion(Record, frozen=True):
    """A line of the sink's log: no bytes of users in it. `chain` hashes all lines up to this one."""

    seq: Count
    batch: Id
    start: Count
    stop: Count
    state: JobState
    final: bool
    stamp: Stamp
    crashed: bool
    lease: Count
    worker: bytes
    elapsed: Seconds
    chain: bytes


# ------------------------------------------------------------------------------------------------ large messages


class Part(Message, frozen=True):
    """The payload is the next `size` bytes of a stream from `position` on, and `left` more are missing of the frame
    that they belong to; when these are there it is taken as if it had come whole. `worker`: whose stream it is, where
    receivers cannot see that."""

    stream: Count
    position: Count
    left: Count
    size: Count
    worker: Annotated[bytes, msgspec.Meta(max_length=16)] = b""


class PartsTaken(Message, frozen=True):
    """Of the stream with this number all up to `position` has arrived. It says nothing of what became of it. `worker`:
    who says so, to the ventilator."""

    stream: Count
    position: Count
    worker: Annotated[bytes, msgspec.Meta(max_length=16)] = b""


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


AsksMuch = AskPipeline | AskBatches | AskDigests | AskJobs | AskArguments | AskGone
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
    | AskJobs
    | AskArguments
    | PartsTaken
    | BackUp
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
    | Why
    | Stack
    | JobsInfo
    | Arguments
    | Part
    | BackUpState
)


# ------------------------------------------------------------------------------------- worker, sink -> ventilator


class Hello(ByWorker, frozen=True):
    """A worker says who it is and all that it holds. Answered by Welcome."""

    life: Count
    connection: Count
    number: Count
    name: Label
    host: Label
    pid: Count
    slots: Count
    window: Count
    held: Annotated[tuple[Held, ...], Many]
    python: Label
    tags: Tags = ()
    version: Label = ""
    """of penstock; empty: it is something else"""
    users: Tags = ()
    """Whom jobs may run as: those with a `user` come to workers that name it here."""
    opens: Tags = OPENS
    """What it can run, by what has to be opened for it: calls whose function and arguments are ``pickle`` or
    ``msgpack``, and ``command``. It is given nothing else."""
    broken: Text = ""
    """Why it can run nothing at present, for people; its `window` is 0 then."""
    parts: bool = False
    """Whether it takes Parts over control."""
    wall_time: Instant = 0.0
    """Of the worker's clock when it said so; 0: it did not."""
    is_apart: bool = False
    """Whether a Welcome has given it another name; it goes on saying the first one here."""


class InSlot(Record, frozen=True):
    """What a slot runs: a job of a lease, or some of those from `index` on, since so many seconds."""

    slot: Count
    lease: Count
    index: Count
    seconds: Seconds


class Heartbeat(ByWorker, frozen=True):
    """A sign of life and the exact inventory, or how it differs from that of the Hello or Heartbeat `since`. `number`
    grows; `window` is how many leases the worker wants at once. `slots` are those that run something: only people ask
    for it."""

    number: Count
    window: Count
    held: Annotated[tuple[Held, ...], Many]
    broken: Text = ""
    slots: Annotated[tuple[InSlot, ...], Many] = ()
    leaving: bool = False
    """It takes no more, and ends when what runs has ended: if it is gone before, that is no crash."""
    since: Count = 0
    """0: `held` is all of it."""
    gone: Annotated[tuple[Count, ...], Many] = ()
    """Leases of which something was held then, and nothing is any more."""


class Took(ByWorker, frozen=True):
    """A worker reports that these leases have arrived; `tokens` are theirs."""

    leases: Annotated[tuple[Count, ...], Many]
    window: Count
    tokens: Annotated[tuple[bytes, ...], Many] = ()


class HandedBack(ByWorker, frozen=True):
    """The worker has not started these spans and never will; answers the request of this number (0: none). `unable`: it
    has tried, and this is why nothing of them can be started there. `tokens` are those of the leases."""

    number: Count
    spans: Annotated[tuple[LeaseSpan, ...], Many]
    unable: Text = ""
    tokens: Annotated[tuple[bytes, ...], Many] = ()


class StackTaken(ByWorker, frozen=True):
    """Answers the TakeStack of this number; empty: the job does not run there now."""

    number: Count
    text: Text


class NeedFunction(ByWorker, frozen=True):
    """The worker lacks this function."""

    function: Id


class Left(ByWorker, frozen=True):
    """The worker is gone for good and holds nothing."""


class SinkHead(BySink, frozen=True):
    """The sink's sign of life: its boot (new at each start), the end of its log, the echo of the last SinkBeat.
    `trouble`: why it records nothing more at present, for people. `damages`: so much was found damaged in its file."""

    boot: Count
    seq: Count
    chain: bytes
    echo: Count
    trouble: Text = ""
    damages: Count = 0
    pipeline: Pipeline = b""
    accepts_older: bool = False
    """Whether somebody has said that the files may be older than what the other station knows of them."""
    parts: bool = False
    """Whether it takes Parts from workers."""
    growth: Annotated[tuple[Text, ...], Many] = ()
    """What of its files grows until it is trouble, for people."""
    version: Label = ""
    """of penstock; empty: a release before 0.3"""


class Completions(BySink, frozen=True):
    """Lines of the sink's log, in order, without a gap."""

    boot: Count
    records: Annotated[tuple[Completion, ...], Many]


class Diverged(BySink, frozen=True):
    """The sink's log has no line with this seq and chain: it lost its tail, or another ventilator's store is here. The
    ventilator answers with Restate, and makes its ledger agree. `damaged`: lines were found damaged on its disk since
    that one, and are taken out."""

    boot: Count
    seq: Count
    damaged: bool = False


class LiveTaken(BySink, frozen=True):
    """Passes the number of a Prints on, or of an Output (`is_kept`), for its worker."""

    worker: Id
    number: Count
    is_kept: bool = False


class VentilatorRefused(BySink, frozen=True):
    """The ventilator's file is older than what this sink knows of it: one line for people, with what to do."""

    boot: Count
    text: Text


class PartsPassed(BySink, frozen=True):
    """Passes a PartsTaken of the sink on to this worker."""

    worker: Id
    stream: Count
    position: Count


class Forgotten(BySink, frozen=True):
    """Answers ForgetBatch: nothing of this batch is recorded any more."""

    batch: Id


class Restated(BySink, frozen=True):
    """Answers Restate: the lines behind `after` up to `position`; (seq, chain) is the end of the log, and when
    `position` is there, this was all."""

    boot: Count
    after: Count
    position: Count
    seq: Count
    chain: bytes
    records: Annotated[tuple[Completion, ...], Many]


FromSink = SinkHead | Completions | Diverged | Restated | Forgotten | LiveTaken | PartsPassed | VentilatorRefused
FromWorker = Hello | Heartbeat | Took | HandedBack | StackTaken | NeedFunction | Left | Part | PartsTaken
ToVentilator = FromWorker | FromSink


# ---------------------------------------------------------------------------------- ventilator -> worker (and sink)


class Jobs(Message, frozen=True):
    """Leases, with the batches they need. Payload: the inline functions of `batches`, then a chunk for each lease."""

    batches: tuple[BatchHead, ...]
    leases: tuple[Lease, ...]


class Greeting(Message, frozen=True):
    """Sent to each new control connection: the ventilator's life and a number for the connection."""

    life: Count
    connection: Count
    lease_time: Seconds
    heartbeat_interval: Seconds
    pipeline: Pipeline = b""
    """Whose ventilator it is. Who holds leases of another one says nothing and waits."""
    parts: bool = False
    """Whether it takes Parts from workers, and Heartbeats that say what has changed."""


class Welcome(Numbered, frozen=True):
    """Answers the Hello of this number. Leases below `floor` that the Hello did not list are void."""

    floor: Count
    drop: tuple[LeaseSpan, ...]
    parts: bool = False
    """Whether the sink takes Parts."""
    name: Label = ""
    """What it is called from now on, since another worker has the name that it said; empty: that."""


class Beat(Message, frozen=True):
    """Answers a Heartbeat, by its number. From now on the interval of heartbeats and the lease time are `pace` times as
    long as the Greeting said: of many workers each is asked less often."""

    echo: Count
    pace: Seconds = 1.0
    parts: bool = False
    """Whether the sink takes Parts."""
    sink: bool = False
    """Whether the ventilator hears the sink, and that it records: who cannot deliver to it then is alone with that."""


class HandBack(Numbered, frozen=True):
    """Give back up to so many jobs that have not started, last ones first; if it names leases, of these only. Answered
    by HandedBack."""

    jobs: Count
    leases: Annotated[tuple[Count, ...], Many] = ()


class Recall(Numbered, frozen=True):
    """Give back what of these spans has not started. Answered by HandedBack."""

    spans: tuple[LeaseSpan, ...]


class CancelSpan(Message, frozen=True):
    """End these jobs, started or not, and say nothing of them: their outcome is recorded already."""

    spans: tuple[BatchSpan, ...]


class Drop(Message, frozen=True):
    """These spans are no longer this worker's: forget what has not started, end what runs; finished ones stay."""

    spans: tuple[LeaseSpan, ...]


class Closed(Message, frozen=True):
    """The outcomes of these spans are recorded."""

    spans: tuple[RecordedSpan, ...]


class FunctionPart(Message, frozen=True):
    """The payload is the `size` bytes from `offset` of a function of `total` bytes."""

    function: Id
    offset: Count
    total: Count
    size: Count


class LiveAck(Numbered, frozen=True):
    """The sink has taken in the Prints of this number, and those before it; or has recorded an Output (`is_kept`)."""

    is_kept: bool = False


class TakeStack(Numbered, frozen=True):
    """Say where this job is, if it runs. Answered by StackTaken."""

    batch: Id
    index: Count


class Drain(Message, frozen=True):
    """Hand back what has not started, finish what has, wait for Closed, leave."""


class Upgrade(Message, frozen=True):
    """Worker or sink, and ventilator, are of different versions: one line for people says which of them to upgrade. A
    short one: 0.2 knows no such message, and its log has the first 64 bytes of what it drops."""

    text: Text


VentilatorToWorker = (
    Jobs
    | Greeting
    | Welcome
    | Beat
    | HandBack
    | Recall
    | CancelSpan
    | Drop
    | Closed
    | FunctionPart
    | TakeStack
    | Drain
    | LiveAck
    | Part
    | PartsTaken
    | Upgrade
)


class SinkBeat(Numbered, frozen=True):
    """The ventilator's sign of life: `number` is echoed by the next SinkHead, `applied` is durable here, and so is that
    it was started `life` times and has accepted so many chunks. A sink that knows of more, of the same `pipeline`,
    answers VentilatorRefused."""

    applied: Count
    pipeline: Pipeline = b""
    life: Count = 0
    accepted: Count = 0
    accepts_older: bool = False


class Replay(Message, frozen=True):
    """Send the log from the line after `seq`, whose chain must be `chain`."""

    seq: Count
    chain: bytes


class SinkRefused(Message, frozen=True):
    """The sink's file is not of this pipeline, or is older than what the ventilator knows of it: one line for people,
    with what to do."""

    text: Text


class Restate(Message, frozen=True):
    """After Diverged: send what is recorded, from behind the line `after` on. Lines of deleted batches are missing."""

    after: Count


class Verdicts(Message, frozen=True):
    """Outcomes the ventilator decided: cancelled, dead. Recorded like a worker's, if none is yet. No payload.

    One that is `queued` and not final, at attempt 0 of a new generation, opens jobs again: what is recorded of them
    under an older generation is superseded, and what still arrives of it is late.
    """

    records: tuple[OutcomeHead, ...]


class ForgetBatch(Message, frozen=True):
    """Delete this batch's outcomes. Said until Forgotten answers."""

    batch: Id


class KeyLine(Record, frozen=True):
    """A key that is let in: its public half, and whose it is."""

    public: Label
    name: Label
    role: Role


class Keys(Message, frozen=True):
    """The ventilator's list of keys, where there are any: a sink on another host has an older one. At each connection
    of the sink's, and when it changes; to a sink that takes Parts in several messages, of which the first one `begins`
    a new list, and all but the last one have `more` behind them."""

    allowed: tuple[KeyLine, ...]
    revoked: tuple[Label, ...]
    begins: bool = True
    more: bool = False


VentilatorToSink = (
    Greeting | SinkBeat | Replay | Restate | Verdicts | ForgetBatch | TrimOutput | Keys | SinkRefused | Upgrade
)


# ---------------------------------------------------------------------------------------------- worker -> sink


class Outcomes(ByWorker, frozen=True):
    """What jobs came to. The payload has the values of the records; `tokens` are those of their leases."""

    name: Label
    records: Annotated[tuple[OutcomeHead, ...], Many]
    tokens: Annotated[tuple[bytes, ...], Many] = ()


class Prints(ByWorker, frozen=True):
    """What running jobs wrote; nothing of it is recorded. `tokens` are those of their leases. `number`: 0, or what a
    LiveAck shall say; it grows."""

    name: Label
    records: Annotated[tuple[Print, ...], msgspec.Meta(max_length=MAX_RECORDS)]
    tokens: Annotated[tuple[bytes, ...], msgspec.Meta(max_length=MAX_RECORDS)] = ()
    number: Count = 0


class Output(ByWorker, frozen=True):
    """Parts of what jobs wrote, to be kept beside the notes of their outcomes, which follow when all of it is recorded.
    `number` grows: a LiveAck says it then. Said twice, they are recorded once."""

    name: Label
    records: Annotated[tuple[Print, ...], msgspec.Meta(max_length=MAX_RECORDS)]
    tokens: Annotated[tuple[bytes, ...], msgspec.Meta(max_length=MAX_RECORDS)]
    number: Count


Delivery = Outcomes | Prints | Output
"""What a worker delivers, whole."""
WorkerToSink = Delivery | Part


# ---------------------------------------------------------------------------------------------- client <-> sink


class Follow(Message, frozen=True):
    """Send the batch's outcomes after position `after`, as they are recorded, until they cost `credit` bytes (see
    `credit_cost`; the last one may exceed it). Said again, it starts again: `number` tells old Rows from new ones.
    `live`: also send what running jobs write, as it comes, until that costs so many bytes; what is beyond is dropped.
    `parts`: from now on this client takes Parts.
    """

    batch: Id
    after: Count
    credit: Count
    number: Count = 0
    live: Count = 0
    parts: bool = False


class Credit(Message, frozen=True):
    """The client has taken in so many more bytes of this batch, and of what its running jobs write; 0 is a sign of
    life."""

    batch: Id
    bytes: Count
    live: Count = 0


class Unfollow(Message, frozen=True):
    """No more of this batch."""

    batch: Id


class Fetch(AboutBatch, frozen=True):
    """All that is recorded of some jobs: superseded outcomes, attempts that were not final and the openings too, in
    the order of their first indexes. Answered by Fetched, which names the `cursor` to go on from; (0, 0): from the
    beginning. `parts`: from now on this client takes Parts."""

    start: Count
    stop: Count
    cursor: Cursor = (0, 0)
    parts: bool = False


class Claim(AboutBatch, frozen=True):
    """Give this reader alone the next `jobs` outcomes of the batch in the order of recording that nobody was given, of
    the first `received` ones that it has. Answered by Claimed when that is durable; said again, it is given once: the
    numbers of a reader grow. `token`: of the batch's BatchLine, where there are keys."""

    reader: Id
    jobs: Count
    received: Count
    token: bytes = b""


class FetchOutput(AboutBatch, frozen=True):
    """What is kept beside its note of what a job wrote, from the byte `position` on: of the outcome that was recorded
    last. Answered by FetchedOutput."""

    index: Count
    is_error: bool
    position: Count


ClientToSink = Follow | Credit | Unfollow | Fetch | Claim | FetchOutput | PartsTaken | BackUp


class Rows(Message, frozen=True):
    """Recorded outcomes of a followed batch in the order of recording: all that were recorded behind position `after`
    up to `position`, so that a reader sees what is missing; under the Follow of this number.

    A record at attempt 0 opened its jobs again. A final outcome that was superseded before it was sent comes without
    its value and is not `final`; the opening that superseded it follows.
    """

    batch: Id
    position: Count
    records: tuple[OutcomeHead, ...]
    after: Count
    number: Count = 0


class Live(Message, frozen=True):
    """What running jobs of a followed batch wrote. Of a job that is run again it begins again, under a larger lease."""

    batch: Id
    records: tuple[Print, ...]


class Fetched(Numbered, frozen=True):
    """Answers the Fetch of this number; `cursor`: there is more, ask again from there."""

    records: tuple[OutcomeHead, ...]
    cursor: Cursor | None = None


class Claimed(Numbered, frozen=True):
    """Answers the Claim of this number: those behind the first `start`, up to the first `stop`, are the reader's; none
    if they are equal."""

    start: Count
    stop: Count


class FetchedOutput(Numbered, frozen=True):
    """Answers the FetchOutput of this number with `size` bytes from `position` on, which is behind the one asked for if
    what is between is not kept; with none: there is no more."""

    position: Count
    size: Count


class SinkUp(Message, frozen=True):
    """The first answer to Follow after the sink started or the client (re)connected: `boot` is new at each start."""

    boot: Count


SinkToClient = Rows | Live | Fetched | FetchedOutput | Claimed | SinkUp | Refused | Part | BackUpState


# ---------------------------------------------------------------------------------------------- sizes and costs


Bytes = bytes | memoryview


def payload_bytes(message: Message) -> int:
    """How long the payload of a message must be, by its records."""
    match message:
        case Submit():
            return sum(one.size for one in message.opens) + sum(one.size for one in message.chunks)
        case Outcomes() | Rows() | Fetched() | Prints() | Output() | Live():
            return sum(one.size for one in message.records)
        case Jobs():
            return sum(one.inline for one in message.batches) + sum(one.size for one in message.leases)
        case FunctionPart() | FetchedOutput() | Part():
            return message.size
        case Arguments():
            return message.function + sum(one.size for one in message.chunks)
        case _:
            return 0


def no_such_batch(number: int, batch: bytes) -> Refused:
    """Refuses what was asked, under this number, of a batch that is not here."""
    return Refused(number, "NoSuchBatch", f"no batch {batch.hex()}")


RECORD_BYTES = 128
"""What a record costs of a follower's credit beside its value: about its size in a header."""


def print_cost(record: Print) -> int:
    """What a Print costs of the credit for live output, in bytes: reckoned alike everywhere."""
    return RECORD_BYTES + record.size


def credit_cost(records: tuple[OutcomeHead, ...], payload: Bytes) -> int:
    """What these Rows cost of a follower's credit, in bytes: reckoned alike by the sink and the client."""
    notes = [record.note for record in records if record.note is not None]
    said = sum(len(note.cause) + len(note.traceback) + len(note.stdout) + len(note.stderr) for note in notes)
    return len(payload) + RECORD_BYTES * len(records) + said
