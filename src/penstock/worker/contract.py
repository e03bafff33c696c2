"""What happens to a worker's core, and what it wants done (station/contract.py has what all stations share)."""

from __future__ import annotations

from penstock.job.spans import Span
from penstock.job.spec import JobState
from penstock.job.spooled_output import Segments, Spooled
from penstock.slot.protocol import Ran
from penstock.station.contract import Action, Bytes, Input, Renew, Report
from penstock.wire.messages import VentilatorToWorker
from penstock.wire.records import BatchHead, Lease, Note, OutcomeHead, Print

# -------------------------------------------------------------------------------------------------------------- inputs


class SlotEvent(Input, frozen=True):
    """Something happened in or to the slot of this number."""

    slot: int


class JobPrinted(SlotEvent, frozen=True):
    """The job of a piece wrote this to stdout and to stderr: from which byte of its output on, and what."""

    piece: int
    streams: tuple[tuple[int, bytes], ...]


class JobsConnected(Input, frozen=True):
    """The job connection has shaken hands."""


class SinkConnected(Input, frozen=True):
    """A connection to the sink has shaken hands."""


class SlotReady(SlotEvent, frozen=True):
    """The slot's process waits for pieces."""


class SlotRetires(SlotEvent, frozen=True):
    """The slot's process is used up, and ends when it has said all; SlotReady says when another one is there. `cause`:
    what a job has done to it, if that is why."""

    cause: str


class SlotUnfit(SlotEvent, frozen=True):
    """No process can be started for the slot, for this reason; it is tried again, and SlotReady says when it works."""

    cause: str


class PieceDone(SlotEvent, frozen=True):
    """A slot finished a piece, or what the cut left of it; the spans of `ran` are in order from where it started, or
    from where it was when it was said last that it `goes_on`."""

    piece: int
    ran: tuple[Ran, ...]
    payload: Bytes
    goes_on: bool = False


class PieceCut(SlotEvent, frozen=True):
    """Answers Cut: the slot will not start the piece's jobs from `stop` on."""

    piece: int
    stop: int


class SlotDied(SlotEvent, frozen=True):
    """The slot's process is gone, with the piece it ran (None: it was idle). `index` is the job it was in, if one; what
    came of the piece's earlier jobs was said before. `state` says why: dead (crash), timed_out, cancelled."""

    piece: int | None
    index: int | None
    state: JobState
    cause: str
    started_time: float
    elapsed: float
    note: Note | None = None
    spooled: Spooled | None = None
    left: int = 0
    """A process that it leaves behind and nobody here may end; 0: none."""


class FunctionReady(Input, frozen=True):
    """All parts of a function are here: so many bytes."""

    function: bytes
    size: int


class PartsArriving(Input, frozen=True):
    """Something large comes from the ventilator, in parts."""


class PartsUnderWay(Input, frozen=True):
    """Something is on its way, in parts: to the sink, or else to the ventilator."""

    to_sink: bool = True


class StackSeen(Input, frozen=True):
    """Answers LookAtStack: where that job is, for people."""

    number: int
    text: str


class Stop(Input, frozen=True):
    """SIGTERM: once is drain, twice is now."""


WorkerInput = (
    VentilatorToWorker
    | JobPrinted
    | JobsConnected
    | SinkConnected
    | SlotReady
    | SlotRetires
    | SlotUnfit
    | PieceDone
    | PieceCut
    | SlotDied
    | FunctionReady
    | PartsArriving
    | PartsUnderWay
    | StackSeen
    | Stop
)
"""What a worker's core takes in."""

# ------------------------------------------------------------------------------------------------------------- effects


class Deliver(Action, frozen=True):
    """To the sink: outcomes with their values, and the tokens of their leases."""

    records: tuple[OutcomeHead, ...]
    bodies: tuple[Bytes, ...]
    tokens: tuple[bytes, ...] = ()


class DeliverLiveOutput(Action, frozen=True):
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


class SlotOrder(Action, frozen=True):
    """Something a slot is to do about the piece of this number."""

    slot: int
    piece: int


class Run(SlotOrder, frozen=True):
    """Give a slot the jobs [start, stop) of a lease as the piece of this number (from 1, never used twice), to be run
    `block` at a time at the speed of C; 1 is no block. More than SAVED_AS_ONE (slot/process.py) are as one for cuts and
    deaths. `head`: of the lease's batch."""

    lease: Lease
    head: BatchHead
    start: int
    stop: int
    block: int = 1


class Cut(SlotOrder, frozen=True):
    """Let the slot stop this piece after the job that runs; comes back as PieceCut."""


class EndSlot(SlotOrder, frozen=True):
    """End the slot's process tree, if it runs one of these spans of jobs of this piece: SIGTERM, TERM_GRACE, SIGKILL;
    comes back as SlotDied with this state and cause."""

    spans: tuple[Span, ...]
    state: JobState
    cause: str


class FreeLease(Action, frozen=True):
    """The lease's payload is no longer needed."""

    lease: int


class FreeFunction(Action, frozen=True):
    """A function is no longer needed."""

    function: bytes


class LookAtStack(Action, frozen=True):
    """See where this job is, without stopping it; comes back as StackSeen."""

    number: int
    batch: bytes
    index: int


class Leave(Action, frozen=True):
    """The process ends: all is done and said, but for the outcomes of so many jobs that nobody has taken."""

    undelivered: int = 0


class Touch(Action, frozen=True):
    """Until then slots may start what they were given; they look at it themselves, for the agent may be stopped."""

    until: float


WorkerEffect = (
    Deliver
    | DeliverLiveOutput
    | DeliverOutput
    | FreeOutput
    | Run
    | Cut
    | EndSlot
    | FreeLease
    | FreeFunction
    | LookAtStack
    | Leave
    | Touch
    | Report
    | Renew
)
"""All that its process does for it; the loop writes what is a Log, and there is no store."""
