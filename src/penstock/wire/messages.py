"""The protocol: every message there is, one closed union per arrow of the picture. Those of the desk are in
`wire/desk_messages.py`, and what several have in common is in `wire/records.py`.

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

from penstock.job.error_pattern import KEY_BYTES
from penstock.job.spec import Instant, Label, Seconds, Tags
from penstock.keys.roles import Role
from penstock.wire.desk_messages import Arguments, AskMetrics, BackUp, BackUpState, Metrics, Refused, Submit, TrimOutput
from penstock.wire.filter_messages import FetchedEnded, FetchedFiltered, FetchEnded, FetchFiltered
from penstock.wire.records import (
    MAX_RECORDS,
    OPENS,
    AboutBatch,
    BatchHead,
    BatchSpan,
    BySink,
    Bytes,
    ByWorker,
    Completion,
    Count,
    Cursor,
    Held,
    Id,
    Lease,
    LeaseSpan,
    Many,
    Message,
    Numbered,
    OutcomeHead,
    Part,
    PartsTaken,
    Pipeline,
    Print,
    Record,
    RecordedSpan,
    Text,
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


GroupCursor = tuple[Count, Annotated[bytes, msgspec.Meta(max_length=KEY_BYTES)]]
"""Behind which group of failed jobs: the number that the sink has for its batch, and its key."""


class AskFailures(Numbered, frozen=True):
    """How do the failed jobs of a batch, or of all (empty), group by their error, behind the group `after`? Answered by
    Failures."""

    batch: Annotated[bytes, msgspec.Meta(max_length=16)] = b""
    after: GroupCursor = (0, b"")


AsksSink = Fetch | FetchFiltered | FetchEnded | FetchOutput | AskFailures
"""Questions, which wait for their turn."""
ClientToSink = Follow | Credit | Unfollow | Claim | AsksSink | PartsTaken | BackUp | AskMetrics


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


class ErrorGroup(Record, frozen=True):
    """Jobs of a batch whose newest outcome is a failure with the error of this key. `examples` are some of them,
    `workers` some that ran them, of those opened again meanwhile, too; 0: that time is not known."""

    batch: Id
    key: bytes
    pattern: str
    jobs: Count
    first_time: Instant
    last_time: Instant
    workers: tuple[Label, ...]
    examples: tuple[Count, ...]


class Failures(Numbered, frozen=True):
    """Answers the AskFailures of this number; `cursor`: there are more, ask again from there. `incomplete`: not all
    that failed, or was opened again, is counted yet."""

    groups: Annotated[tuple[ErrorGroup, ...], Many]
    cursor: GroupCursor | None = None
    incomplete: bool = False


class SinkUp(Message, frozen=True):
    """The first answer to Follow after the sink started or the client (re)connected: `boot` is new at each start."""

    boot: Count


SinkToClient = (
    Rows
    | Live
    | Fetched
    | FetchedFiltered
    | FetchedEnded
    | FetchedOutput
    | Failures
    | Claimed
    | SinkUp
    | Refused
    | Part
    | BackUpState
    | Metrics
)


# ---------------------------------------------------------------------------------------------- sizes and costs


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
