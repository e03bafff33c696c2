"""The sink's log is not the one that was applied: its file lost its end, or is another's. The ledger are made to agree.

Promises:

1. The sink is believed: the sink restates all that is recorded, and every job is compared with it.
2. A job without a recorded outcome is open again, unless its arguments are no longer kept, or it must not be started
   twice: then it is dead, and says why.
3. What a retry had opened, and the log no longer says so, is opened again; if it may have been started by then and must
   not be twice, it is dead as soon as it is open.
4. Whatever interrupts it, it begins anew: the applied position moves only at the end.
"""

from __future__ import annotations

from penstock.job.spans import SpanSet
from penstock.job.spec import UNSUCCESSFUL, JobState, Stamp
from penstock.station.recorded_jobs import Recorded
from penstock.ventilator.contract import OpenPart, SaveChunk, StoredChunk
from penstock.ventilator.intake import Intake
from penstock.ventilator.jobs_model import Batch, Chunk, Part, Place
from penstock.ventilator.ledger import Ledger
from penstock.ventilator.reads import KeptLoaded, LoadNextKept, NextKeptLoaded
from penstock.ventilator.sink_log import LOST_RETRY
from penstock.wire.bounds import RESEND
from penstock.wire.messages import Restate, Restated
from penstock.wire.records import Completion

LOST = "its outcome was lost with the end of the results file, and "
NOT_KEPT = LOST + "its arguments are no longer kept"
DAMAGED = "damaged on disk: its arguments, and what had become of it"


class Restatement:
    """What the sink says of one batch."""

    def __init__(self) -> None:
        self.recorded: Recorded = Recorded()
        self.states: dict[JobState, SpanSet] = {}
        self.crashed: SpanSet = SpanSet()

    def take(self, line: Completion) -> None:
        """One line of the log."""
        self.recorded.take(line)
        for jobs in self.states.values():
            jobs.remove(line.start, line.stop)
        self.crashed.remove(line.start, line.stop)
        if line.final:
            self.states.setdefault(line.state, SpanSet()).add(line.start, line.stop)
        elif line.crashed:
            self.crashed.add(line.start, line.stop)

    def next_stamp(self, index: int, stamp: Stamp) -> Stamp:
        """After an attempt that was not final."""
        return stamp.after_crash() if index in self.crashed else stamp.after_failure()


class SinkLogRepair:
    """Between ledger and log."""

    def __init__(self, ledger: Ledger, intake: Intake) -> None:
        self._ledger = ledger
        self._intake = intake
        self._position = 0
        self._end: tuple[int, bytes] | None = None
        """Of the log; None: not all of it is restated yet."""
        self._asked_at: float | None = None
        self._restated: dict[bytes, Restatement] = {}
        self._compared = b""
        """The last batch that was compared, in the order of ids; the next one is being read."""
        self._next: NextKeptLoaded | None = None
        self._opened = self._dead = 0
        self._not_kept = NOT_KEPT
        """The cause of jobs of which nothing is here."""
        self.reopened: int = 0
        """Jobs opened again in this life."""
        self.lost: int = 0
        """Jobs that could not be."""

    def begin(self, applied: int, *, damaged: bool) -> None:
        """The logs have parted, or jobs are to be compared that were lost here (`damaged`)."""
        if damaged:
            self._ledger.turn.log("compares", applied=applied)
        else:
            self._ledger.turn.log("sink_diverged", applied=applied)
        self._not_kept = DAMAGED if damaged else NOT_KEPT
        self._position, self._end, self._asked_at = 0, None, None
        self._restated, self._compared, self._next = {}, b"", None
        self._opened = self._dead = 0

    def on_restated(self, message: Restated) -> None:
        """Take in the next lines of the sink's log."""
        if self._end is not None or message.after != self._position:
            return
        for line in message.records:
            self._restated.setdefault(line.batch, Restatement()).take(line)
        self._position, self._asked_at = message.position, None
        if message.position >= message.seq:
            self._end = (message.seq, message.chain)
            self._ledger.turn.say(LoadNextKept(self._compared))

    def on_next_kept(self, loaded: NextKeptLoaded) -> None:
        """What the file has of the batch that is to be compared next."""
        if self._end is not None and loaded.after == self._compared:
            self._next = loaded

    def go_on(self, sink: bytes | None, now: float) -> tuple[int, bytes] | None:
        """Ask for more lines, or compare what was read; the end of the log, when the ledger agree with it."""
        if self._end is None:
            if sink is not None and (self._asked_at is None or now >= self._asked_at + RESEND):
                self._asked_at = now
                self._ledger.turn.tell(sink, Restate(self._position))
            return None
        read, self._next = self._next, None
        if read is None:
            return None
        if (kept := read.kept) is not None:
            batch = self._ledger.backlog.batches.get(kept.batch)
            if batch is None or kept.stop >= batch.accepted:  # else it grew meanwhile
                self._compared = kept.batch
            if batch is not None and self._compared == kept.batch:
                self._compare(batch, kept)
            self._ledger.turn.say(LoadNextKept(self._compared))
            return None
        self.reopened += self._opened
        self.lost += self._dead
        end, self._end, self._restated = self._end, None, {}
        self._ledger.turn.log("sink_agreed", sink_seq=end[0], reopened=self._opened, dead=self._dead)
        return end

    # ------------------------------------------------------------------------------------------ one batch

    def _compare(self, batch: Batch, kept: KeptLoaded) -> None:
        said = self._restated.pop(batch.id, None) or Restatement()
        generation = batch.generation
        for stored in kept.chunks:
            if not self._agrees(batch, stored, said):
                self._intake.load(batch, stored)
                self._correct(batch.chunks[stored.first], said)
        there = SpanSet((chunk.first, chunk.first + chunk.count) for chunk in kept.chunks)
        for start, stop in there.gaps(0, batch.accepted):
            for gone in said.recorded.ended.gaps(start, stop):
                self._give_up(batch, *gone)
        if batch.generation != generation:
            self._ledger.save_generation(batch)
        self._ledger.recount(batch, said.states)

    @staticmethod
    def _agrees(batch: Batch, stored: StoredChunk, said: Restatement) -> bool:
        """Whether nothing is to be done for a chunk."""
        chunk = batch.chunks.get(stored.first)
        parts = stored.parts if chunk is None else chunk.open_parts()
        ended = stored.ended if chunk is None else chunk.ended_parts()
        first, stop = stored.first, stored.first + stored.count
        is_open = SpanSet((part.start, part.stop) for part in parts)
        if any(said.recorded.ended.overlap(*span) for span in is_open):
            return False
        if any(is_open.gaps(*span) for span in said.recorded.ended.gaps(first, stop)):
            return False
        if any(jobs.overlap(first, stop) for jobs in said.recorded.attempts.values()):
            return False
        return all(
            SpanSet((part.start, part.stop) for part in ended if part.state is state)
            == SpanSet(said.states.get(state, SpanSet()).overlap(first, stop))
            for state in UNSUCCESSFUL
        )

    def _correct(self, chunk: Chunk, said: Restatement) -> None:
        self._open_lost(chunk, said)
        self._renew_attempts(chunk, said)
        self._compare_states(chunk, said)
        self._settle(chunk, said)
        self._ledger.turn.touch(chunk)
        if not chunk.parts and chunk.first in chunk.batch.chunks:
            self._ledger.backlog.drop_chunk(chunk)

    def _open_lost(self, chunk: Chunk, said: Restatement) -> None:
        """What has ended here and not there."""
        is_open = SpanSet((part.start, part.stop) for part in chunk.parts)
        for span in said.recorded.ended.gaps(chunk.first, chunk.first + chunk.count):
            for start, stop in is_open.gaps(*span):
                for jobs in chunk.ended.values():
                    jobs.remove(start, stop)
                part = Part(chunk, start, stop, Stamp(chunk.batch.generation))
                self._ledger.backlog.add_part(part)
                if chunk.batch.spec.max_crashes == 1:
                    self._dead += part.jobs
                    self._ledger.decide(part, JobState.DEAD, LOST_RETRY)
                else:
                    self._opened += part.jobs
                    self._ledger.queue(part)

    def _renew_attempts(self, chunk: Chunk, said: Restatement) -> None:
        """What was tried there is tried anew here, under the stamp that follows."""
        for stamp, jobs in said.recorded.attempts.items():
            for span in jobs.overlap(chunk.first, chunk.first + chunk.count):
                for part in self._ledger.backlog.carve(chunk, *span):
                    if part.place is not Place.VERDICT and stamp >= part.stamp:
                        part.stamp = said.next_stamp(part.start, stamp)
                        part.given = part.crashed = False
                        self._ledger.queue(part)

    def _settle(self, chunk: Chunk, said: Restatement) -> None:
        """What has ended there and not here; what was opened again here goes through the sink once more."""
        stop = chunk.first + chunk.count
        for jobs in said.recorded.generations.values():
            for span in jobs.overlap(chunk.first, stop):
                self._ledger.backlog.carve(chunk, *span)
        for state, jobs in said.states.items():
            for span in jobs.overlap(chunk.first, stop):
                for part in self._ledger.backlog.carve(chunk, *span):
                    if part.stamp.generation > self._generation(said, part.start):
                        part.stamp = Stamp(part.stamp.generation, 0)
                        self._ledger.reopen(part)
                    else:
                        self._ledger.settle(part, state, call_off=True)

    @staticmethod
    def _generation(said: Restatement, index: int) -> int:
        return next((number for number, jobs in said.recorded.generations.items() if index in jobs), 0)

    def _compare_states(self, chunk: Chunk, said: Restatement) -> None:
        """What ended otherwise: it had been opened again and came to something else, which is lost."""
        is_open = SpanSet((part.start, part.stop) for part in chunk.parts)
        believed = {state: jobs.copy() for state, jobs in chunk.ended.items()}
        chunk.ended = {}
        for state in UNSUCCESSFUL & said.states.keys():
            for span in said.states[state].overlap(chunk.first, chunk.first + chunk.count):
                for start, stop in is_open.gaps(*span):
                    chunk.ended.setdefault(state, SpanSet()).add(start, stop)
                    unknown = SpanSet([(start, stop)])
                    for jobs in believed.values():
                        for known in jobs.overlap(start, stop):
                            unknown.remove(*known)
                    for gone in unknown:
                        chunk.batch.generation += 1
                        has_run = chunk.batch.spec.max_crashes == 1
                        self._dead += has_run * (gone[1] - gone[0])
                        self._opened += (not has_run) * (gone[1] - gone[0])
                        self._ledger.open_again(chunk, *gone, state, has_run=has_run)

    def _give_up(self, batch: Batch, start: int, stop: int) -> None:
        """Nothing is kept of these jobs, and nothing recorded."""
        self._dead += stop - start
        self._ledger.turn.say(SaveChunk(batch.id, start, stop - start, b""))
        parts = (OpenPart(start, stop, Stamp(batch.generation), given=True),)
        chunk = self._ledger.backlog.add_chunk(batch, StoredChunk(start, stop - start, 0, parts))
        self._ledger.turn.touch(chunk)
        for part in list(chunk.parts):
            self._ledger.decide(part, JobState.DEAD, batch.damaged or self._not_kept)
