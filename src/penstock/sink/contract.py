"""What happens to the sink's core, and what it wants done (station/contract.py has what all stations share)."""

from __future__ import annotations

import msgspec

from penstock.job.spec import Stamp
from penstock.station.contract import Action, Answer, Bytes, DeleteBatch, Input, Refuse, Renew, Report, Save
from penstock.station.recorded_jobs import StoredRecord
from penstock.wire.messages import Completion, OutcomeHead, Print

# -------------------------------------------------------------------------------------------------------------- inputs


class OutcomesArrived(Input, frozen=True):
    """Outcomes with their values (a worker's; the ventilator's verdicts have none), and the tokens of their leases."""

    worker: bytes
    name: str
    records: tuple[OutcomeHead, ...]
    bodies: tuple[Bytes, ...]
    tokens: tuple[bytes, ...] = ()


class LiveOutputArrived(Input, frozen=True):
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


class Known(msgspec.Struct, frozen=True):
    """What the results file knows of the ventilator (SaveKnown); `accepts_older`: somebody has said that files may be
    older than they were."""

    pipeline: bytes = b""
    life: int = 0
    accepted: int = 0
    accepts_older: bool = False


class LinesLost(Input, frozen=True):
    """Damaged lines were taken out of the log: its end, all that is recorded now, up to which line a log that knows of
    more is explained by that, and what was found, for people. Without `recorded` it was something else."""

    what: tuple[str, ...]
    head: tuple[int, bytes]
    damaged_to: int
    recorded: tuple[StoredRecord, ...] | None


# --------------------------------------------------------------------------------------------------- saves: results.db


class SaveRow(Save, frozen=True):
    """One line of the sink's log: what jobs [head.start, head.stop) came to, with their serialized values."""

    seq: int
    head: OutcomeHead
    worker: bytes
    chain: bytes
    body: Bytes


class SaveRecorded(Save, frozen=True):
    """A checkpoint, at the last SaveRow before it: which jobs of the batch have a final outcome; as (start, stop,
    generation) which of these are of a later one than 0; and, as (start, stop, stamp), the newest stamps of attempts
    that were not final. Rows saved after it count too, when the store is read.
    """

    batch: bytes
    spans: tuple[tuple[int, int], ...]
    generations: tuple[tuple[int, int, int], ...]
    attempts: tuple[tuple[int, int, Stamp], ...]


class SaveClaim(Save, frozen=True):
    """The newest claim of a reader: the outcomes `start` to `stop` of the batch, in the order of recording, are its."""

    batch: bytes
    reader: bytes
    number: int
    start: int
    stop: int


class SaveOutput(Save, frozen=True):
    """A part of what a job wrote, to be kept beside its outcome."""

    head: Print
    body: Bytes


class SaveTrimmed(Save, frozen=True):
    """No more than `bound` bytes of either stream of each output of this batch need be kept any longer."""

    batch: bytes
    bound: int


class SaveKnown(Save, frozen=True):
    """Which pipeline's ventilator was heard, how often it had been started, and what it had ever accepted by then."""

    pipeline: bytes
    life: int
    accepted: int


SinkSave = SaveKnown | SaveRow | SaveRecorded | SaveClaim | SaveOutput | SaveTrimmed | DeleteBatch
"""All that its store can be asked to commit."""

# ------------------------------------------------------------------------------------------- effects: after the commit


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


SinkEffect = Refuse | ReadRows | ReadLog | ReadLines | ReadSpan | ReadOutput | Answer | Report | Renew
"""All that its process does for it; the loop writes what is a Log."""
