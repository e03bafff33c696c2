"""The sink's log comes in: what is recorded leaves the queue, what failed goes back into it.

Promises:

1. Lines are applied strictly in order, once; on a gap the log is asked for from the last applied line.
2. A final outcome ends its jobs wherever they are; a recorded attempt queues them again under a newer stamp, if the
   stamp that holds is not newer already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from itertools import islice

from penstock.job.spec import JobState
from penstock.ventilator.jobs_model import Batch, Chunk, Part, Place
from penstock.ventilator.ledger import Ledger
from penstock.ventilator.other_versions import OtherVersions
from penstock.ventilator.pairing import Pairing
from penstock.ventilator.reads import LoadChunk
from penstock.wire.bounds import RESEND
from penstock.wire.messages import Closed, Completions, Diverged, Replay, Restated, SinkHead, VentilatorRefused
from penstock.wire.records import Completion, RecordedSpan

RETRY_DELAY_MAX = 3600.0
"""Seconds: a retry never waits longer, however often it doubled."""
LOST_RETRY = "its outcome was lost with the end of the results file, and it must not be started twice"
DOUBLINGS_MAX = 32
"""More are beyond any delay, and beyond a float in the end."""
LOAD_AHEAD = 256
"""Chunks read at once for lines whose jobs are on disk only: after a restart there are many."""
CLOSED_PER_MESSAGE = 1_000
"""Spans of which a worker is told at once: 33 kB."""
NO_CHAIN = b"none"
"""The chain of no line: whoever asks for the log behind a line that has it is told all of the log."""
JITTER = 0.25
"""A retry's delay varies by so much, that what failed together does not come back together."""


class SinkLog:
    """Applies the sink's log."""

    def __init__(
        self, ledger: Ledger, pairing: Pairing, other_versions: OtherVersions, *, must_compare: bool = False
    ) -> None:
        self._pairing = pairing
        self._other_versions = other_versions
        self._ledger = ledger
        self.sink: bytes | None = None
        self.sink_heard_at: float = 0.0
        self._boot: int | None = None
        self.diverged: bool = False
        self.must_compare: bool = must_compare
        """Whether every job is to be compared with the log, whatever it is."""
        self.trouble: str = ""
        self.growth: tuple[str, ...] = ()
        """Why the sink records nothing more, by its own words."""
        self.damages: int = 0
        """What was found damaged in the sink's file."""
        self._asked_at: float | None = None
        self._waiting: deque[Completion] = deque()
        """Lines in order whose chunk is not in memory yet: it was asked for."""
        self._closed: dict[bytes, list[RecordedSpan]] = {}

    def is_present(self, now: float) -> bool:
        """Whether the sink was heard within a lease time."""
        return self.sink is not None and now - self.sink_heard_at < self._ledger.lease_time

    def on_head(self, head: SinkHead, now: float) -> bool:
        """The sink's sign of life; returns whether all that it had recorded is applied."""
        ledger = self._ledger
        if not self._pairing.admits(head):
            return False
        ledger.is_confirmed = ledger.is_confirmed or ledger.beats.is_of_this_life(head.echo)
        self.sink_heard_at, self.trouble, self.damages = now, head.trouble, head.damages
        self.growth = head.growth
        if head.sink != self.sink or head.boot != self._boot:
            ledger.turn.log("sink_joined", sink=head.sink.hex()[:8], seq=head.seq)
            self._other_versions.on_sink(head)
            self.sink, self._boot = head.sink, head.boot
            self.diverged, self._asked_at = False, None
            self._waiting.clear()
            self._ask(now)
            ledger.send_verdicts(head.sink, again=True)
            return False
        if self._waiting or self.diverged:
            return False
        if self.must_compare or (head.seq, head.chain) != (ledger.applied, ledger.chain):
            self._ask(now)
            return False
        return True

    def _ask(self, now: float) -> None:
        if self.sink is None or (self._asked_at is not None and now < self._asked_at + RESEND):
            return
        self._asked_at = now
        chain = NO_CHAIN if self.must_compare else self._ledger.chain
        self._ledger.turn.tell(self.sink, Replay(self._ledger.applied, chain))

    def is_of_sink(self, message: Completions | Diverged | Restated | VentilatorRefused) -> bool:
        """Whether it comes from the sink in its present life."""
        return message.sink == self.sink and message.boot == self._boot

    def on_diverged(self, message: Diverged) -> bool:
        """The sink's log is not the one that was applied; whether that is news."""
        if not self.is_of_sink(message) or self.diverged:
            return False
        if not self.must_compare and not self._pairing.admits_divergence(message):
            return False
        self.diverged = True
        self._waiting.clear()
        return True

    def compare(self, now: float) -> None:
        """Something is lost here: the log is asked for as by somebody who knows another one, and so it is restated; the
        lines that come meanwhile are in that."""
        self.must_compare = True
        self._waiting.clear()
        if not self.diverged:
            self._asked_at = None
            self._ask(now)

    def agree(self, seq: int, chain: bytes, now: float) -> None:
        """The ledger say what the sink's log says up to this line: go on from there."""
        self._ledger.mark_applied(seq, chain)
        self.diverged = self.must_compare = False
        self._asked_at = None
        self._ask(now)

    def on_completions(self, message: Completions, now: float) -> None:
        """Lines of the log; those from a former boot are void, and a sink that is not known is asked for its head."""
        ledger = self._ledger
        if not self.is_of_sink(message):
            ledger.turn.tell(message.sink, ledger.greeting(0))
            return
        if self.diverged or self.must_compare:
            return
        self.sink_heard_at = now
        expected = self._waiting[-1].seq + 1 if self._waiting else self._ledger.applied + 1
        for line in message.records:
            if line.seq < expected:
                continue
            if line.seq > expected:
                self._ask(now)
                break
            self._asked_at = None
            self._waiting.append(line)
            expected += 1
        self.advance(now)

    def advance(self, now: float, absent: Collection[tuple[bytes, int]] = ()) -> None:
        """Apply what waits, as far as its chunks are in memory; at `absent` (batch, index) nothing is open any more."""
        while self._waiting:
            line = self._waiting[0]
            if self._is_on_file(line) and (line.batch, line.start) not in absent:
                self._load_ahead()
                return
            batch = self._ledger.backlog.batches.get(line.batch)
            chunk = batch.chunk_at(line.start) if batch is not None else None
            if chunk is not None:
                self._apply(chunk, line, now)
            self._waiting.popleft()
            self._ledger.mark_applied(line.seq, line.chain)
            self._note(line, batch)

    def _is_on_file(self, line: Completion) -> bool:
        batch = self._ledger.backlog.batches.get(line.batch)
        return batch is not None and batch.chunk_at(line.start) is None and batch.on_file(line.start)

    def _load_ahead(self) -> None:
        """Ask for the chunks of the lines that wait; the answers come back as the next turn."""
        for line in islice(self._waiting, LOAD_AHEAD):
            if self._is_on_file(line):
                self._ledger.turn.say(LoadChunk(line.batch, line.start))

    def _note(self, line: Completion, batch: Batch | None) -> None:
        if not line.worker:
            return
        self._closed.setdefault(line.worker, []).append(RecordedSpan(line.batch, line.start, line.stop, line.stamp))
        worker = self._ledger.workers.get(line.worker)
        if worker is not None:
            worker.done += line.stop - line.start
        if batch is not None:
            batch.observe(line.stop - line.start, line.elapsed)

    def _apply(self, chunk: Chunk, line: Completion, now: float) -> None:
        self._ledger.leases.reached(line.lease, self._ledger.workers.get(line.worker))
        for part in self._ledger.backlog.carve(chunk, line.start, line.stop):
            if line.final:
                self._ledger.settle(part, line.state, call_off=part.lease != line.lease)
            elif part.place is not Place.VERDICT and line.stamp >= part.stamp:
                self._again(part, line, now)

    def _again(self, part: Part, line: Completion, now: float) -> None:
        """A recorded attempt without success: once more, after a growing, jittered delay if the job itself said no."""
        part.stamp = line.stamp.after_crash() if line.crashed else line.stamp.after_failure()
        has_run, part.given = part.given, False
        part.crashed = part.suspect = False
        self._ledger.turn.touch(part.chunk)
        if line.stamp.opens:
            self._opened(part, has_run=has_run)
            return
        if line.crashed:
            self._ledger.queue(part)
            return
        grown = part.chunk.batch.spec.retry_delay * 2 ** min(part.stamp.failures - 1, DOUBLINGS_MAX)
        jitter = 1 + JITTER * (2 * self._ledger.random.random() - 1)
        self._ledger.delay(part, now + min(grown, RETRY_DELAY_MAX) * jitter)

    def _opened(self, part: Part, *, has_run: bool) -> None:
        """A retry is recorded: to be given out, if nobody has cancelled it meanwhile. One that `has_run`, and whose
        outcome was lost, is not given out again (sink_log_repair.py)."""
        if has_run:
            self._ledger.decide(part, JobState.DEAD, LOST_RETRY)
            return
        self._ledger.queue(part)
        for start, stop in part.chunk.batch.cancelled.overlap(part.start, part.stop):
            for cancelled in self._ledger.backlog.carve(part.chunk, start, stop):
                if cancelled.place is not Place.VERDICT:
                    self._ledger.decide(cancelled, JobState.CANCELLED, "cancelled")

    def flush(self) -> None:
        """Tell the workers what is recorded and durably known here."""
        for worker, spans in self._closed.items():
            for at in range(0, len(spans) if worker in self._ledger.workers else 0, CLOSED_PER_MESSAGE):
                self._ledger.turn.tell(worker, Closed(tuple(spans[at : at + CLOSED_PER_MESSAGE])))
        self._closed = {}
