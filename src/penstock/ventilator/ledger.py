"""The ventilator's ledger: all that its decisions are made from, and the few moves that every decision is made of.

A part changes its place here and nowhere else, and leases, credit and counts follow. What changed is noted in the turn
(turn.py), which saves it.
"""

from __future__ import annotations

import heapq
import random
from collections import deque

from penstock.job.spans import SpanSet
from penstock.job.spec import FAILURES, BatchSpec, JobState, Stamp
from penstock.station.lease_tokens import NO_TOKENS, LeaseTokens
from penstock.ventilator.backlog import Backlog
from penstock.ventilator.clock_steps import ClockSteps
from penstock.ventilator.contract import SaveRetried, SaveSpec, SaveTotal, StoredBatch, StoredChunk
from penstock.ventilator.hand_back_requests import HandBackRequests
from penstock.ventilator.jobs_model import NEVER_DUE, Batch, Chunk, Part, Place
from penstock.ventilator.known_worker import Worker
from penstock.ventilator.leases import Leases
from penstock.ventilator.metrics import JobMetrics
from penstock.ventilator.sink_beats import SinkBeats
from penstock.ventilator.turn import Turn
from penstock.wire.messages import CancelSpan, Greeting
from penstock.wire.records import BatchSpan

RETRIES_KEPT = 16
"""Latest retries of a batch that are recognised when they are asked again: resends end within seconds."""
AT_SINK = (Place.VERDICT, Place.OPENING)
"""Places of jobs of which the sink is to be told until its completion comes back."""

OUTCOME_TIME = 0.25
"""Seconds in which the outcome of a job that has ended reaches the sink, several times over: the rest of its piece, or
0.05 s if that lasts (worker/slot_host.py), the wait for its neighbours, a commit."""


class Ledger:
    """State of one life of the ventilator."""

    def __init__(
        self,
        life: int,
        stored: list[StoredBatch],
        applied: tuple[int, bytes],
        now: float,
        lease_time: float,
        heartbeat_interval: float,
        seed: int,
        lease_tokens: LeaseTokens = NO_TOKENS,
        pipeline: bytes = b"",
        accepted: int = 0,
        wall_offset: float = 0.0,
    ) -> None:
        self.life = life
        self.pipeline: bytes = pipeline
        self.accepted: int = accepted
        """Chunks that were ever accepted."""
        self.is_confirmed: bool = False
        """Whether the sink has answered in this life: it knows of nothing newer than this file."""
        self.lease_tokens = lease_tokens
        self.lease_time = lease_time
        self.heartbeat_interval = heartbeat_interval
        self.random: random.Random = random.Random(seed)
        self.wall_clock: ClockSteps = ClockSteps(wall_offset, life)
        self.backlog: Backlog = Backlog(stored)
        self.leases: Leases = Leases(life)
        self.beats: SinkBeats = SinkBeats(life, heartbeat_interval, now)
        self.workers: dict[bytes, Worker] = {}
        self.changed: dict[Worker, None] = {}
        """Workers that may be given more or less than before."""
        self.applied: int
        self.chain: bytes
        self.applied, self.chain = applied
        self.delayed: list[tuple[float, int, Chunk]] = []
        """Heap of (instant, serial, chunk): when some part of the chunk is to be queued."""
        self.unconfirmed: dict[tuple[bytes, int], Chunk] = {}
        """Chunks with unconfirmed parts."""
        self.alone: dict[tuple[bytes, int], Chunk] = {}
        """Chunks with suspects that are to be run alone."""
        self.judged: dict[tuple[bytes, int], Chunk] = {}
        """Chunks with parts that await their verdict."""
        self._called_off: dict[tuple[bytes, int], Chunk] = {}
        """Chunks with parts that were cancelled in this turn while a worker had them."""
        self._outcomes_awaited: deque[tuple[float, Chunk]] = deque()
        """Those of earlier turns, and until when their verdicts wait for outcomes that are on their way."""
        self.recalled_leases: dict[int, float | None] = {}
        """Leases with recalled parts of which it is asked whether they have started: when their worker was asked."""
        self.connections = 0
        self.metrics: JobMetrics = JobMetrics()
        self._serial = 0
        self.turn: Turn = Turn()
        """What this turn does."""
        self.hand_backs: HandBackRequests = HandBackRequests(self.turn)

    def greeting(self, connection: int) -> Greeting:
        """Who this is, to a new connection of this number."""
        return Greeting(self.life, connection, self.lease_time, self.heartbeat_interval, self.pipeline, parts=True)

    def _unlease(self, part: Part) -> None:
        if part.lease:
            self.leases.shrink(part.lease, part.jobs)
            part.lease = 0
            self.backlog.fair_queue.go_on(part.chunk.batch.open_leases)

    def take_in(
        self, batch: Batch, stored: StoredChunk, *, since: float | None = None, unconfirmed: bool = False
    ) -> Chunk:
        """A chunk comes into memory: to be given out, or unconfirmed until it is known who has it. It has waited
        `since`; None: it is not known, and may have since its batch was made."""
        chunk = self.backlog.add_chunk(batch, stored)
        chunk.since = batch.created_time - self.wall_clock.offset if since is None else since
        for part in list(chunk.parts):
            part.exposed = part.exposed or (chunk.first < batch.inherited and not unconfirmed)
            if part.stamp.opens:
                self.announce_opening(part)
            elif unconfirmed or part.given or part.recalled:
                self.hold(part, 0)
            else:
                self.queue(part)
        return chunk

    def queue(self, part: Part) -> None:
        """To be given out as soon as its batch may begin; or never, if it is recalled or that is too late."""
        batch = part.chunk.batch
        if part.recalled:
            self.cancel(part)
        elif batch.damaged:
            self.decide(part, JobState.DEAD, batch.damaged)
        elif batch.cancel_reason and part.fresh:
            self.cancel_unstarted(part)
        else:
            self._unlease(part)
            if batch.held:
                self.backlog.move(part, Place.DELAYED)
                part.due_at = NEVER_DUE
            elif part.is_to_be_alone:
                self.backlog.move(part, Place.ALONE)
                self.alone[batch.id, part.chunk.first] = part.chunk
            else:
                self.backlog.move(part, Place.QUEUED)

    def set_spec(self, batch: Batch, spec: BatchSpec) -> None:
        """The batch has another priority or limit from now on; what is out of it counts by that."""
        out = self.leases.of_batch(batch)
        for lease in out:
            if lease.worker is not None:
                lease.worker.reprioritize(batch.spec.priority, spec.priority)
        self.backlog.set_spec(batch, spec, sum(lease.width for lease in out))
        self.turn.say(SaveSpec(batch.id, spec))

    def hold_back(self, batch: Batch) -> None:
        """The batch may not go on: what of it waits to be given out is delayed until it may."""
        self.backlog.fair_queue.leave(batch)
        batch.queue.clear()
        batch.offered = 0
        for part in batch.parts():
            if part.place in {Place.QUEUED, Place.ALONE}:
                self.backlog.move(part, Place.DELAYED)
                part.due_at = NEVER_DUE

    def let_go_on(self, batch: Batch) -> None:
        """The batch may go on: what of it was delayed for that is given out."""
        for part in batch.parts():
            if part.place is Place.DELAYED and part.due_at == NEVER_DUE:
                self.queue(part)

    def cancel_unstarted(self, part: Part) -> None:
        """Its batch will not begin any more: nothing of it that has not started will."""
        if part.fresh:
            self.decide(part, JobState.CANCELLED, part.chunk.batch.cancel_reason)

    def delay(self, part: Part, until: float) -> None:
        """To be queued at an instant, or never if it is recalled."""
        if part.recalled:
            self.cancel(part)
            return
        self._unlease(part)
        self.backlog.move(part, Place.DELAYED)
        part.due_at = until
        self._serial += 1
        heapq.heappush(self.delayed, (until, self._serial, part.chunk))

    def queue_delayed(self, now: float) -> None:
        """Queue what has waited long enough."""
        while self.delayed and self.delayed[0][0] <= now:
            chunk = heapq.heappop(self.delayed)[2]
            for part in chunk.parts:
                if part.place is Place.DELAYED and part.due_at <= now:
                    self.queue(part)

    def hold(self, part: Part, barrier: int) -> None:
        """Unconfirmed until the sink has echoed that beat."""
        self._unlease(part)
        self.backlog.move(part, Place.UNCONFIRMED)
        part.barrier = barrier
        self.unconfirmed[part.chunk.batch.id, part.chunk.first] = part.chunk

    def lease(self, part: Part, number: int) -> None:
        """Under a lease that counts its jobs already."""
        self._unlease(part)
        batch = part.chunk.batch
        if not batch.started and not batch.spec.transient:
            batch.started = True
            self.turn.keep("started", batch.id, name=batch.spec.name)
        self.backlog.move(part, Place.LEASED, number)
        self.backlog.fair_queue.rest(part.chunk.batch.open_leases)
        if part.recalls:
            self.recalled_leases[number] = None
        if part.exposed:  # after a restart only its new worker may be heard of
            self.turn.touch(part.chunk)

    def start_again(self, part: Part) -> None:
        """It is given out: from now on the try that was lost counts, and what may not be started twice is marked."""
        if part.crashed:
            part.crashed = False
            part.stamp = part.stamp.after_crash()
            self.turn.touch(part.chunk)
        if part.chunk.batch.spec.max_crashes == 1 and not part.given:
            part.given = True
            self.turn.touch(part.chunk)

    def close(self, batch: Batch, total: int) -> None:
        """The batch has so many jobs, and takes in no more."""
        batch.total = total
        self.turn.touch_total(batch)
        self.turn.say(SaveTotal(batch.id, total))

    def settle(self, part: Part, state: JobState, *, call_off: bool = False) -> None:
        """The part's jobs have their final outcome; with `call_off` whoever holds them ends them."""
        batch, chunk = part.chunk.batch, part.chunk
        part.answer_recalls(cancelled=False)
        if call_off and part.lease:
            self.call_off(part)
        self._unlease(part)
        self.backlog.remove(part)
        chunk.end(part, state)
        if state in FAILURES and not batch.spec.transient and not any(batch.counts.get(one) for one in FAILURES):
            self.turn.keep("first_failure", batch.id, name=batch.spec.name, index=part.start, state=state)
        batch.counts[state] = batch.counts.get(state, 0) + part.jobs
        self.turn.touch_counts(batch)
        self.turn.touch(chunk)
        if not chunk.parts:
            self.backlog.drop_chunk(chunk)

    def cancel(self, part: Part, *, may_have_ended: bool = False) -> None:
        """Nobody is to run it: remembered, and a verdict."""
        self.mark_cancelled(part.chunk.batch, part.start, part.stop)
        self.decide(part, JobState.CANCELLED, "cancelled", may_have_ended=may_have_ended)

    def decide(self, part: Part, state: JobState, cause: str, *, may_have_ended: bool = False) -> None:
        """The ventilator's own verdict: on its way to the sink until its completion comes back. It is not said at once
        of a part that `may_have_ended`."""
        part.answer_recalls(cancelled=state is JobState.CANCELLED)
        key = part.chunk.batch.id, part.chunk.first
        part.due_at = 0.0
        if part.lease:
            self.call_off(part)
        if may_have_ended:
            part.due_at = NEVER_DUE
            self._called_off[key] = part.chunk
        self._unlease(part)
        self.backlog.move(part, Place.VERDICT)
        part.verdict = (state, cause)
        self.judged[key] = part.chunk
        if not part.due_at:
            self.turn.decide(part.verdict_head())

    @property
    def outcomes_awaited_until(self) -> float | None:
        """When `await_outcomes` has something to do."""
        if self._called_off:
            return 0.0
        return self._outcomes_awaited[0][0] if self._outcomes_awaited else None

    def await_outcomes(self, now: float) -> None:
        """Jobs that had ended before they were cancelled keep their outcomes: the verdict on what a worker has is said
        a moment later."""
        for chunk in self._called_off.values():
            self._outcomes_awaited.append((now + OUTCOME_TIME, chunk))
            for part in chunk.parts:
                if part.place is Place.VERDICT and part.due_at == NEVER_DUE:
                    part.due_at = now + OUTCOME_TIME
        self._called_off.clear()
        while self._outcomes_awaited and self._outcomes_awaited[0][0] <= now:
            for part in self._outcomes_awaited.popleft()[1].parts:
                if part.place is Place.VERDICT and 0 < part.due_at <= now:
                    part.due_at = 0.0
                    self.turn.decide(part.verdict_head())

    def open_again(self, chunk: Chunk, start: int, stop: int, state: JobState, *, has_run: bool = False) -> None:
        """Jobs that ended in this state have no outcome any more, when the sink has recorded that. `has_run`: they had
        been opened before, and must not be started once more."""
        batch = chunk.batch
        chunk.ended[state].remove(start, stop)
        batch.counts[state] = batch.counts.get(state, 0) - (stop - start)
        self.turn.touch_counts(batch)
        if batch.cancelled.remove(start, stop):
            self.turn.touch_cancelled(batch)
        part = Part(chunk, start, stop, Stamp(batch.generation, 0), given=has_run)
        self.backlog.add_part(part)
        self.announce_opening(part)
        self.turn.touch(chunk)

    def announce_opening(self, part: Part) -> None:
        """A part at the beginning of a generation: on its way to the sink until the completion comes back."""
        self.backlog.move(part, Place.OPENING)
        self.judged[part.chunk.batch.id, part.chunk.first] = part.chunk
        self.turn.decide(part.verdict_head())

    def reopen(self, part: Part) -> None:
        """A part whose opening the sink has forgotten."""
        if part.lease:
            self.call_off(part)
        self._unlease(part)
        self.announce_opening(part)
        self.turn.touch(part.chunk)

    def recount(self, batch: Batch, states: dict[JobState, SpanSet]) -> None:
        """Jobs by final state as the sink has them, but for those that are being opened again."""
        parts = [part for chunk in batch.chunks.values() for part in chunk.parts]
        batch.counts = {
            str(state): jobs.count - sum(b - a for part in parts for a, b in jobs.overlap(part.start, part.stop))
            for state, jobs in states.items()
        }
        self.turn.touch_counts(batch)

    def save_generation(self, batch: Batch) -> None:
        """The batch's generation has grown."""
        self.turn.say(SaveRetried(batch.id, batch.generation, tuple(batch.asked.items())))

    def mark_retried(self, batch: Batch, asked: bytes, jobs: int) -> None:
        """Remember what a retry came to, for when it is asked again."""
        batch.asked[asked] = jobs
        while len(batch.asked) > RETRIES_KEPT:
            del batch.asked[next(iter(batch.asked))]
        self.save_generation(batch)

    def call_off(self, part: Part) -> None:
        """End the part's jobs where they are held."""
        given = self.leases.records.get(part.lease)
        if given is not None and given.worker is not None:
            self.turn.tell(given.worker.id, CancelSpan((BatchSpan(part.chunk.batch.id, part.start, part.stop),)))

    def mark_cancelled(self, batch: Batch, start: int, stop: int) -> None:
        """Remember that these jobs are cancelled, also across a restart and where they are on disk only."""
        batch.cancelled.add(start, stop)
        self.turn.touch_cancelled(batch)

    def cancel_on_disk(self, batch: Batch, start: int, stop: int) -> int:
        """Those of these jobs that are not in memory are cancelled when they come there; returns how many at most."""
        if not batch.on_disk:
            return 0
        loaded = SpanSet((chunk.first, chunk.first + chunk.count) for chunk in batch.chunks.values())
        absent = loaded.gaps(max(start, batch.loaded_to), stop)
        for gap in absent:
            self.mark_cancelled(batch, *gap)
        here = sum(part.jobs for chunk in batch.chunks.values() for part in chunk.parts)
        return min(sum(high - low for low, high in absent), batch.accepted - batch.done - here)

    def mark_accepted(self) -> None:
        """One chunk more is accepted."""
        self.accepted += 1
        self.turn.mark_accepted(self.accepted)

    def mark_applied(self, seq: int, chain: bytes) -> None:
        """The sink's log is applied up to this line."""
        self.applied, self.chain = seq, chain
        self.turn.mark_applied(seq, chain)

    def send_verdicts(self, sink: bytes, *, again: bool) -> None:
        """Say the verdicts of this turn, or all that have no completion yet."""
        if not again:
            self.turn.send_verdicts(sink)
            return
        parts = [part for chunk in self.judged.values() for part in chunk.parts if part.place in AT_SINK]
        self.judged = {(part.chunk.batch.id, part.chunk.first): part.chunk for part in parts}
        due = (part for part in parts if part.place is not Place.VERDICT or not part.due_at)
        self.turn.send_verdicts(sink, (part.verdict_head() for part in due))
