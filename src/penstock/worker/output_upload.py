"""Large outputs of jobs on their way to the sink, part by part: their outcomes follow when all of it is recorded.

Promises:

1. An outcome leaves when the sink has said that every part of the job's output is on its disk.
2. What is sent and not said to be recorded is bounded; the rest stays in the spools.
3. At a new connection to the sink, and after RESEND seconds without a word of it, what is not known to be recorded is
   sent again: a part that comes twice is recorded once.
4. What is delivered, or wanted by nobody any more, is given back to the spools.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from penstock.job.output_limit import kept_spans
from penstock.job.spooled_output import Spooled, size_of
from penstock.station.contract import Actions
from penstock.wire.bounds import RESEND
from penstock.wire.records import Print
from penstock.worker.contract import DeliverOutput, FreeOutput
from penstock.worker.held_lease import KeptOutcome

PART_BYTES = 256 << 10
"""Of an output, in one part: a row of the results file."""
WINDOW_BYTES = 8 << 20
"""Sent and not said to be recorded: what the sink's disk takes while one word of it comes back."""
MESSAGE_BYTES = 1 << 20
"""Of parts in one message, which is recorded as one."""


class Upload:
    """The output of one job."""

    def __init__(self, kept: KeptOutcome, slot: int, output: Spooled, bound: int | None) -> None:
        """At most `bound` bytes of either stream are kept (None: all)."""
        self.kept = kept
        self.slot = slot
        self.output = output
        self.unrecorded = 0
        self._bound = bound

    def parts(self) -> Iterator[Part]:
        """All of them, in order."""
        for stream, segments in enumerate(self.output):
            for start, stop in kept_spans(sum(map(size_of, segments)), self._bound):
                for position in range(start, stop, PART_BYTES):
                    yield Part(self, stream, position, min(PART_BYTES, stop - position))


class Part(NamedTuple):
    """So many bytes of it from a position on."""

    upload: Upload
    stream: int
    position: int
    size: int

    def head(self) -> Print:
        """The outcome as it travels."""
        head = self.upload.kept.head
        return Print(head.batch, head.start, head.lease, head.stamp, bool(self.stream), self.position, self.size)


class Uploads:
    """The large outputs of one worker, on their way to the sink."""

    def __init__(self) -> None:
        self.waiting_bytes: int = 0
        """Of outcomes that wait here for their outputs."""
        self.due_at: float | None = None
        """When what is under way is sent again."""
        self._parts: deque[Part] = deque()
        self._sent: deque[tuple[int, Part]] = deque()
        """Under which number each is under way."""
        self._under_way = 0
        self._number = 0
        self._done: list[Upload] = []
        self._is_connected = False

    def add(self, kept: KeptOutcome, slot: int, output: Spooled, bound: int | None) -> None:
        """The outcome of a job that wrote this."""
        upload = Upload(kept, slot, output, bound)
        self.waiting_bytes += kept.size
        for part in upload.parts():
            self._parts.append(part)
            upload.unrecorded += 1

    def recorded(self, number: int) -> None:
        """The sink has recorded all up to here."""
        while self._sent and self._sent[0][0] <= number:
            _, part = self._sent.popleft()
            self._under_way -= part.size
            self._settle(part)
        if not self._sent:
            self.due_at = None

    def _settle(self, part: Part) -> None:
        upload = part.upload
        upload.unrecorded -= 1
        if not upload.unrecorded:
            self.waiting_bytes -= upload.kept.size
            self._done.append(upload)

    def under_way(self, now: float) -> None:
        """What was sent has not arrived."""
        if self.due_at is not None:
            self.due_at = now + RESEND

    def reconnected(self) -> None:
        """A new connection to the sink: what was on its way may be lost."""
        self._is_connected = True
        self._send_again()

    def _send_again(self) -> None:
        self._parts.extendleft(part for _, part in reversed(self._sent))
        self._sent.clear()
        self._under_way = 0
        self.due_at = None

    def take_done(self) -> tuple[list[KeptOutcome], Actions]:
        """Outcomes whose outputs are recorded, and what the spools can have back."""
        done, self._done = self._done, []
        freed: Actions = [FreeOutput(upload.slot, upload.output) for upload in done]
        return [upload.kept for upload in done if upload.kept.left], freed

    def deliver(self, now: float) -> Actions:
        """Send what there is room for."""
        if self.due_at is not None and now >= self.due_at:
            self._send_again()
        actions: Actions = []
        while self._is_connected and self._parts and self._under_way < WINDOW_BYTES:
            message: list[Part] = []
            size = 0
            while self._parts and size < MESSAGE_BYTES:
                part = self._parts.popleft()
                if not part.upload.kept.left:  # it was closed meanwhile: another try of the job was recorded
                    self._settle(part)
                    continue
                message.append(part)
                size += part.size
            if message:
                actions.append(self._message(message, size, now))
        return actions

    def _message(self, parts: list[Part], size: int, now: float) -> DeliverOutput:
        self._number += size
        self._under_way += size
        self._sent.extend((self._number, part) for part in parts)
        self.due_at = now + RESEND
        tokens = dict.fromkeys(part.upload.kept.token for part in parts if part.upload.kept.token)
        sources = tuple((part.upload.slot, part.upload.output[part.stream]) for part in parts)
        return DeliverOutput(tuple(part.head() for part in parts), sources, tuple(tokens), self._number)
