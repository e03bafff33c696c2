"""What messages are made of: types of fields, the records that several have, and messages of several arrows.

The protocol is in `wire/messages.py`, and on the page of the guide that `penstock guide protocol` prints.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from penstock.job.error_pattern import PATTERN_CHARS, pattern_of
from penstock.job.spec import FAILURES, BatchSpec, Instant, JobState, Label, Seconds, Stamp

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

Bytes = bytes | memoryview
"""A payload or a part of it."""
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
    pattern: Annotated[str, msgspec.Meta(max_length=PATTERN_CHARS)] = ""
    """What the error of a call has in common with those that are alike, where its place in the code is known; empty:
    the cause, and what a command wrote, must do (job/error_pattern.py)."""


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

    @property
    def is_failure(self) -> bool:
        """Whether its jobs failed for good: then they are grouped by their error."""
        return self.final and self.state in FAILURES

    @property
    def pattern(self) -> str:
        """What the error of a failure has in common with those that are alike, whichever release its worker has."""
        note = self.note
        if note is None:
            return str(self.state)
        return note.pattern or pattern_of(note.cause, stderr=b"" if note.returncode is None else note.stderr)


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
