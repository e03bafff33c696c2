"""What happens to the cores, beside the messages of the protocol: connections, slots, what was read from a store."""

from __future__ import annotations

import msgspec

from penstock.job.spec import BatchSpec, Instant, JobState, Seconds, Stamp
from penstock.job.spooled_output import Spooled
from penstock.keys.roles import EVERYONE, Peer
from penstock.station.contract import EndedPart, OpenPart
from penstock.wire.messages import Completion, Count, Note, OutcomeHead, Print, VentilatorToWorker

Bytes = bytes | memoryview


class Input(msgspec.Struct, frozen=True, gc=False):
    """Something that happened."""


# ---------------------------------------------------------------------------------------------- ventilator


class FromClient(Input, frozen=True):
    """A message on the desk; `wall_time` dates the batches in it, `sender` is whose key brought it."""

    client: bytes
    message: object
    payload: Bytes = b""
    wall_time: float = 0.0
    sender: Peer = EVERYONE


class ClientSought(Input, frozen=True):
    """Answers SeekClient: whether that connection is up."""

    client: bytes
    found: bool


class WallClock(Input, frozen=True):
    """What the wall clock says at the beginning of a turn: the only clock that knows the instants of users."""

    time: float


class Subscribed(Input, frozen=True):
    """A control connection came up: a worker or the sink subscribed to its own id."""

    topic: bytes


class Unsubscribed(Input, frozen=True):
    """A control connection is gone."""

    topic: bytes


class JobConnections(Input, frozen=True):
    """How many job connections have shaken hands (socket monitor)."""

    count: int


class StoredChunk(msgspec.Struct, frozen=True):
    """A chunk as the queue file has it: its open jobs and those that ended without success; `size` is its payload's
    length in bytes."""

    first: int
    count: int
    size: int
    parts: tuple[OpenPart, ...]
    ended: tuple[EndedPart, ...] = ()


class ChunksLoaded(Input, frozen=True):
    """Answers LoadChunks, in order of `first`; fewer than `limit` means that there are no more."""

    batch: bytes
    limit: int
    chunks: tuple[StoredChunk, ...]


class ChunkLoaded(Input, frozen=True):
    """Answers LoadChunk; None: that index has no open job."""

    batch: bytes
    index: int
    chunk: StoredChunk | None


class KeptLoaded(Input, frozen=True):
    """Answers LoadKept: in order; a chunk without parts is finished, and one that is not here is not kept."""

    batch: bytes
    start: int
    stop: int
    chunks: tuple[StoredChunk, ...]


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


# ---------------------------------------------------------------------------------------------- worker


class JobPrinted(Input, frozen=True):
    """The job of a piece wrote this to stdout and to stderr: from which byte of its output on, and what."""

    slot: int
    piece: int
    streams: tuple[tuple[int, bytes], ...]


class JobsConnected(Input, frozen=True):
    """The job connection has shaken hands."""


class SinkConnected(Input, frozen=True):
    """A connection to the sink has shaken hands."""


class SlotReady(Input, frozen=True):
    """The slot's process waits for pieces."""

    slot: int


class SlotUnfit(Input, frozen=True):
    """No process can be started for the slot, for this reason; it is tried again, and SlotReady says when it works."""

    slot: int
    cause: str


class Ran(msgspec.Struct, frozen=True, array_like=True):
    """What the jobs [start, stop) of a piece came to, all alike; owns `size` bytes of the piece's payload: one
    serialized list of values. `started_time` is wall clock; `elapsed` seconds for all of them together. Of an output
    that is `spooled` the note has head and tail."""

    start: int
    stop: int
    state: JobState
    started_time: Instant
    elapsed: Seconds
    size: Count
    note: Note | None = None
    spooled: Spooled | None = None
    lost: tuple[int, int] = (0, 0)
    """Bytes of stdout and of stderr that the worker's disk had no room for."""

    def output(self) -> Spooled:
        """What the jobs wrote, wherever that is."""
        if self.spooled is not None or self.note is None:
            return self.spooled or ((), ())
        return (self.note.stdout,), (self.note.stderr,)


class PieceDone(Input, frozen=True):
    """A slot finished a piece, or what the cut left of it; the spans of `ran` are in order from where it started."""

    slot: int
    piece: int
    ran: tuple[Ran, ...]
    payload: Bytes


class PieceCut(Input, frozen=True):
    """Answers Cut: the slot will not start the piece's jobs from `stop` on."""

    slot: int
    piece: int
    stop: int


class SlotDied(Input, frozen=True):
    """The slot's process is gone, with the piece it ran (None: it was idle). `index` is the job it was in, if one;
    results of the piece's earlier jobs are lost with it. `state` says why: dead (crash), timed_out, cancelled."""

    slot: int
    piece: int | None
    index: int | None
    state: JobState
    cause: str
    started_time: float
    elapsed: float
    note: Note | None = None
    spooled: Spooled | None = None


class FunctionReady(Input, frozen=True):
    """All parts of a function are here."""

    function: bytes


class Stop(Input, frozen=True):
    """SIGTERM: once is drain, twice is now."""


WorkerInput = (
    VentilatorToWorker
    | JobPrinted
    | JobsConnected
    | SinkConnected
    | SlotReady
    | SlotUnfit
    | PieceDone
    | PieceCut
    | SlotDied
    | FunctionReady
    | Stop
)
"""What a worker's core takes in."""


# ---------------------------------------------------------------------------------------------- sink


class RecordedLine(msgspec.Struct, frozen=True):
    """A line of the log, as far as it matters for what is recorded."""

    start: int
    stop: int
    stamp: Stamp
    final: bool


class StoredRecord(msgspec.Struct, frozen=True):
    """What the results file has of a batch: its checkpoint - jobs with a final outcome, which of them are of a later
    generation than 0 (start, stop, generation), other attempts (start, stop, stamp) -, the lines after it in their
    order, and the number of the last one."""

    batch: bytes
    spans: tuple[tuple[int, int], ...]
    generations: tuple[tuple[int, int, int], ...]
    attempts: tuple[tuple[int, int, Stamp], ...]
    tail: tuple[RecordedLine, ...]
    last: int


class OutcomesArrived(Input, frozen=True):
    """Outcomes with their values (a worker's; the ventilator's verdicts have none), and the tokens of their leases."""

    worker: bytes
    name: str
    records: tuple[OutcomeHead, ...]
    bodies: tuple[Bytes, ...]
    tokens: tuple[bytes, ...] = ()


class PrintsArrived(Input, frozen=True):
    """What running jobs of a worker's wrote, the tokens of their leases, and the number it wants to hear again."""

    worker: bytes
    name: str
    records: tuple[Print, ...]
    bodies: tuple[Bytes, ...]
    tokens: tuple[bytes, ...] = ()
    number: int = 0


class OutputArrived(Input, frozen=True):
    """Parts of what jobs of a worker's have written, the tokens of their leases, and the number it wants to hear when
    they are recorded."""

    worker: bytes
    name: str
    records: tuple[Print, ...]
    bodies: tuple[Bytes, ...]
    tokens: tuple[bytes, ...]
    number: int


class RowsRead(Input, frozen=True):
    """Answers ReadRows: the rows behind the position asked for, in order; `position` is the place after the last."""

    client: bytes
    batch: bytes
    records: tuple[OutcomeHead, ...]
    payload: Bytes
    position: int
    more: bool


class LinesRead(Input, frozen=True):
    """Answers ReadLines: what is still here of the lines behind `after` up to `position`, and the end of the log."""

    after: int
    position: int
    seq: int
    chain: bytes
    records: tuple[Completion, ...]


class LogRead(Input, frozen=True):
    """Answers ReadLog; `chain` is that of the line at `after` (None: no such line, or later ones are deleted)."""

    after: int
    chain: bytes | None
    records: tuple[Completion, ...]
    more: bool
