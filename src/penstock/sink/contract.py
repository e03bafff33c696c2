"""What happens to the sink's core, and what it wants done (station/contract.py has what all stations share)."""

from __future__ import annotations

import msgspec

from penstock.job.filters import Filter
from penstock.job.spec import Stamp
from penstock.station.contract import (
    Action,
    Answer,
    AnswerFromStore,
    Bytes,
    CopyStore,
    DeleteBatch,
    Input,
    Refuse,
    Renew,
    Report,
    Save,
    SaveOfBatch,
)
from penstock.station.recorded_jobs import StoredRecord
from penstock.wire.filter_messages import FetchFiltered
from penstock.wire.messages import Delivery, GroupCursor
from penstock.wire.records import Completion, OutcomeHead, Print

# -------------------------------------------------------------------------------------------------------------- inputs


class FromWorker(Input, frozen=True):
    """A worker's message, with the bytes that each of its records owns."""

    message: Delivery
    bodies: tuple[Bytes, ...]


class Full(Input, frozen=True):
    """These clients have so much to read that they are sent nothing more; all others read."""

    clients: frozenset[bytes]


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


class RecordsLoaded(Input, frozen=True):
    """What is recorded of batches that the next inputs are about and that were not in memory, and the newest claim of
    each of their readers."""

    records: tuple[StoredRecord, ...]
    claims: tuple[SaveClaim, ...]


class LinesLost(Input, frozen=True):
    """Damaged lines were taken out of the log: its end, what is recorded now of the batches in memory, up to which line
    a log that knows of more is explained by that, and what was found, for people. Without `recorded` it was something
    else."""

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


class SaveRecorded(SaveOfBatch, frozen=True):
    """A checkpoint, at the last SaveRow before it: which jobs of the batch have a final outcome; as (start, stop,
    generation) which of these are of a later one than 0; and, as (start, stop, stamp), the newest stamps of attempts
    that were not final. Rows saved after it count too, when the store is read.
    """

    spans: tuple[tuple[int, int], ...]
    generations: tuple[tuple[int, int, int], ...]
    attempts: tuple[tuple[int, int, Stamp], ...]


class SaveClaim(SaveOfBatch, frozen=True):
    """The newest claim of a reader: the outcomes `start` to `stop` of the batch, in the order of recording, are its."""

    reader: bytes
    number: int
    start: int
    stop: int


class SaveOutput(Save, frozen=True):
    """A part of what a job wrote, to be kept beside its outcome."""

    head: Print
    body: Bytes


class SaveTrimmed(SaveOfBatch, frozen=True):
    """No more than `bound` bytes of either stream of each output of this batch need be kept any longer."""

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
    """Read recorded rows of a batch after a position, at most `limit` bytes (at least one), when the client has room
    for them; comes back as RowsRead."""

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


class ReadSpan(AnswerFromStore, frozen=True):
    """Answer a Fetch from the store."""

    start: int
    stop: int
    cursor: tuple[int, int]


class ReadFailures(AnswerFromStore, frozen=True):
    """Answer an AskFailures from the store."""

    after: GroupCursor


class ReadOutput(AnswerFromStore, frozen=True):
    """Answer a FetchOutput from the store."""

    index: int
    is_error: bool
    position: int


class ReadFiltered(Action, frozen=True):
    """Answer a FetchFiltered from the store, with what fits `wanted`."""

    client: bytes
    ask: FetchFiltered
    wanted: Filter


ReadFromStore = ReadOutput | ReadSpan | ReadFailures | ReadFiltered
"""What clients are answered out of the store."""
SinkEffect = CopyStore | Refuse | ReadRows | ReadLog | ReadLines | ReadFromStore | Answer | Report | Renew
"""All that its process does for it; the loop writes what is a Log."""
