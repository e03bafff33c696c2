"""Open jobs, for the ventilator: batches, their chunks, and the parts of chunks that are in one place.

One place per job: the parts of a chunk partition its open jobs, and each part is in exactly one place. MOVES is the
only table of moves, and Backlog.move the only way to move.
"""

from __future__ import annotations

import enum
import heapq
import itertools
import math
from bisect import bisect_right, insort
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from penstock.job.running_mean import running_mean
from penstock.job.spans import SpanSet
from penstock.job.spec import UNSUCCESSFUL, BatchSpec, JobState, Stamp
from penstock.ventilator.contract import EndedPart, OpenPart, StoredBatch
from penstock.ventilator.open_leases import OpenLeases
from penstock.wire.records import Note, OutcomeHead

NEVER_DUE = math.inf
"""The instant of a delayed part whose batch may not begin yet."""

FIRST = Stamp()
MEAN_WEIGHT = 0.2
"""Of the newest outcome in the running mean of a job's duration."""


class Place(enum.Enum):
    """Where a job is, for the ventilator. MOVES says from where to where."""

    LOADED = "loaded"
    """Read from the store, or made anew: it is moved on before the turn ends."""
    QUEUED = "queued"
    """Waits for a worker."""
    DELAYED = "delayed"
    """Waits for an instant, or until its batch may begin."""
    ALONE = "alone"
    """Waits for a worker that runs nothing else: it may have taken workers along."""
    UNCONFIRMED = "unconfirmed"
    """Was given out before a restart, or to a worker that is lost: waits until all that the sink has is known."""
    LEASED = "leased"
    """With a worker, under a lease."""
    OPENING = "opening"
    """Opened again by a user's retry, which is on its way through the sink."""
    VERDICT = "verdict"
    """The ventilator's own verdict is on its way through the sink."""
    ENDED = "ended"
    """Its final outcome is recorded."""


WAITING = frozenset({Place.QUEUED, Place.DELAYED, Place.ALONE, Place.UNCONFIRMED})
"""Places of jobs that nobody has, as far as is known."""
AGAIN = frozenset({Place.QUEUED, Place.DELAYED, Place.ALONE, Place.VERDICT})
"""Where a job goes that nobody has any more: it is given out now, later or alone, or it never is."""
MOVES: dict[Place, frozenset[Place]] = {
    Place.LOADED: AGAIN | {Place.UNCONFIRMED, Place.OPENING},
    **{place: AGAIN | {Place.LEASED, Place.OPENING, Place.ENDED} for place in WAITING},
    Place.LEASED: AGAIN | {Place.UNCONFIRMED, Place.OPENING, Place.ENDED},
    Place.OPENING: AGAIN | {Place.OPENING, Place.ENDED},
    Place.VERDICT: frozenset({Place.OPENING, Place.ENDED}),
    Place.ENDED: frozenset(),
}
"""Every move that there is. What is decided is never given out; only what is loaded or was leased is unconfirmed."""


@dataclass(slots=True, eq=False)
class UnstartedCancel:
    """A client's request to cancel what has not started, until it is known of each job."""

    until: float
    open: int = 0
    """Jobs of which it is not known whether they have started."""
    jobs: int = 0
    """Jobs that were cancelled."""


@dataclass(slots=True, eq=False)
class Part:
    """Jobs [start, stop) of a chunk: in one place, with one stamp, under at most one lease."""

    chunk: Chunk
    start: int
    stop: int
    stamp: Stamp
    place: Place = Place.LOADED
    lease: int = 0
    given: bool = field(default=False, kw_only=True)
    crashed: bool = False
    """Ran when its worker was lost: counts as a crash once it is given out again."""
    exposed: bool = False
    """May be with a worker that is not heard of, which may have started it and bring it to its end."""
    suspect: bool = False
    """May have taken a worker along."""
    lost: str = ""
    """The worker that was lost with it last."""
    due_at: float = 0.0
    """DELAYED: until this instant, or NEVER_DUE. VERDICT: not said before this instant."""
    barrier: int = 0
    """UNCONFIRMED: until the sink has echoed the beat of this number."""
    verdict: tuple[JobState, str] | None = None
    """VERDICT: the final state and its cause."""
    recalled: bool = False
    """Not to be started any more: cancelled as soon as nobody runs it."""
    recalls: tuple[UnstartedCancel, ...] = ()
    """Requests that wait to know whether it has started."""

    @property
    def jobs(self) -> int:
        """How many jobs the part has."""
        return self.stop - self.start

    @property
    def is_to_be_alone(self) -> bool:
        """Whether it is a suspect that would be dead with the next worker."""
        stamp = self.stamp.after_crash() if self.crashed else self.stamp
        return self.suspect and self.chunk.batch.spec.is_last_crash(stamp)

    @property
    def fresh(self) -> bool:
        """Whether its jobs have never started, as far as is known."""
        return self.stamp == FIRST and not self.crashed

    @property
    def is_untouched(self) -> bool:
        """Whether nobody can have started its jobs, also not in an earlier try."""
        return self.fresh and not self.exposed

    def answer_recalls(self, *, cancelled: bool) -> None:
        """It is known by now whether its jobs are cancelled; that counts of those that never started."""
        for cancel_request in self.recalls:
            cancel_request.open -= self.jobs
            cancel_request.jobs += self.jobs if cancelled and self.is_untouched else 0
        self.recalls = ()

    def verdict_head(self) -> OutcomeHead:
        """The outcome that the ventilator hands in for what awaits its verdict, or is opened again."""
        state, cause = self.verdict or (JobState.QUEUED, "opened again")
        return OutcomeHead(
            batch=self.chunk.batch.id,
            start=self.start,
            stop=self.stop,
            state=state,
            final=self.place is Place.VERDICT,
            stamp=self.stamp,
            lease=0,
            slot=0,
            started_time=0.0,
            elapsed=0.0,
            size=0,
            note=Note(cause=cause),
        )

    def cut(self, at: int) -> Part:
        """Keep what is before `at`; returns the rest, which is alike in everything."""
        rest = Part(self.chunk, at, self.stop, self.stamp, given=self.given)
        rest.place, rest.lease, rest.due_at, rest.barrier = self.place, self.lease, self.due_at, self.barrier
        rest.verdict, rest.crashed = self.verdict, self.crashed
        rest.recalled, rest.recalls = self.recalled, self.recalls
        rest.suspect, rest.lost, rest.exposed = self.suspect, self.lost, self.exposed
        self.stop = at
        return rest

    def __lt__(self, other: Part) -> bool:
        return self.start < other.start


class Chunk:
    """A chunk with open jobs; `ended` are those that ended without success, and it has waited `since`."""

    __slots__ = ("batch", "count", "ended", "first", "parts", "since", "size")

    def __init__(self, batch: Batch, first: int, count: int, size: int) -> None:
        self.batch: Batch = batch
        self.first: int = first
        self.count: int = count
        self.size: int = size
        self.parts: list[Part] = []
        self.since = 0.0
        self.ended: dict[JobState, SpanSet] = {}

    def carve(self, start: int, stop: int) -> list[Part]:
        """The parts in [start, stop), cut so that none reaches beyond."""
        inside: list[Part] = []
        fresh: list[Part] = []
        if start >= stop:
            return inside
        for part in itertools.islice(self.parts, bisect_right(self.parts, start, key=attrgetter("stop")), None):
            if part.start >= stop:
                break
            for at in (start, stop):
                if part.start < at < part.stop:
                    right = part.cut(at)
                    fresh.append(right)
                    if at == start:
                        part = right  # noqa: PLW2901 - go on with what is inside
            inside.append(part)
        for part in fresh:
            insort(self.parts, part)
            if part.place is Place.QUEUED:
                self.batch.push(part)
        return inside

    def open_parts(self) -> tuple[OpenPart, ...]:
        """What is open, neighbours of one stamp together: the form in which it is stored."""
        merged: list[tuple[int, int, tuple[Stamp, bool, bool, bool]]] = []
        for part in self.parts:
            start, marks = part.start, (part.stamp, part.given, part.recalled, part.exposed)
            if merged and merged[-1][1:] == (start, marks):
                start = merged.pop()[0]
            merged.append((start, part.stop, marks))
        return tuple(OpenPart(start, stop, *marks) for start, stop, marks in merged)

    def end(self, part: Part, state: JobState) -> None:
        """Remember what a retry could open again."""
        if state in UNSUCCESSFUL:
            self.ended.setdefault(state, SpanSet()).add(part.start, part.stop)

    def ended_parts(self) -> tuple[EndedPart, ...]:
        """Jobs that ended without success: the form in which they are stored."""
        return tuple(EndedPart(start, stop, state) for state, jobs in self.ended.items() for start, stop in jobs)


class Batch:
    """A batch, with those of its open chunks that are in memory."""

    def __init__(self, stored: StoredBatch, open_leases: OpenLeases[Batch] | None) -> None:
        self.id: bytes = stored.batch
        self.spec: BatchSpec = stored.spec
        self.function: bytes = stored.function
        self.function_size: int = stored.function_size
        self.created_time: float = stored.created_time
        self.accepted: int = stored.accepted
        self.inherited: int = stored.accepted
        """So many jobs are of a former life, which may have given them to workers that are not heard of now."""
        self.total: int | None = stored.total
        self.counts: dict[str, int] = dict(stored.counts)
        self.cancelled: SpanSet = SpanSet(stored.cancelled)
        self.generation: int = stored.generation
        """Grows with each retry that opens jobs again."""
        self.asked: dict[bytes, int] = dict(stored.asked)
        """The latest of these retries, and how many jobs each opened."""
        self.on_disk: bool = stored.open_from is not None
        """There may be open chunks from `loaded_to` on that are not in memory."""
        self.loaded_to: int = stored.open_from or 0
        self.loading = False
        self.chunks: dict[int, Chunk] = {}
        self.firsts: list[int] = []
        self.queue: list[tuple[int, int, Part]] = []
        self.is_dated: bool = stored.ended_time is not None
        """Whether the queue file says when it ended: then it need not be here."""
        self.ended_at: float | None = None
        """When it ended, by the core's clock, if it stays here all the same."""
        self.leased = 0
        self.open_leases = open_leases
        """What its limit counts; None: it has none."""
        self.uncertain: bool = stored.open_from is not None
        """After a restart: what of it is out is not known yet."""
        self.terms: Terms = terms_of(self.spec)
        self.in_turn = False
        self.offered = 0
        """No worker that has not changed after this change owes it anything (worker_demand.py)."""
        self.turn = 0
        self.opening = 0
        """Jobs that are opened again as soon as the sink has recorded it."""
        self.mean: float | None = None
        """Seconds one job takes, a running mean; None: nothing is known yet."""
        self.early = False
        """Its time has not come."""
        self.held = False
        """Its time has not come, or it is paused: what is queued is delayed."""
        self.cancel_reason = ""
        """Why what has not started never will."""
        self.damaged: str = stored.damaged
        """Why nothing of it can be started any more."""
        self.started: bool = stored.started
        """Whether it was said that its first job was given to a worker."""
        self.gone: tuple[str, str] | None = None
        """It is being deleted: the error and the words for whoever waits for it."""
        self._serial = itertools.count()

    @property
    def done(self) -> int:
        """Jobs with a final outcome."""
        return sum(self.counts.values())

    @property
    def ended(self) -> bool:
        """Closed, and every job has its outcome."""
        return self.total is not None and self.done >= self.total

    @property
    def is_complete(self) -> bool:
        """Whether every job has ended or is open here; asked when all that is open of it is in memory."""
        return self.done + sum(part.jobs for chunk in self.chunks.values() for part in chunk.parts) == self.accepted

    @property
    def is_full(self) -> bool:
        """Whether as many leases are out as its limit allows, or may be."""
        return self.open_leases is not None and self.open_leases.is_full

    def push(self, part: Part) -> None:
        """Into the queue, by index."""
        heapq.heappush(self.queue, (part.start, next(self._serial), part))

    def pop(self) -> Part | None:
        """The queued part with the lowest index; it stays QUEUED until moved."""
        while self.queue:
            start, _, part = heapq.heappop(self.queue)
            if part.place is Place.QUEUED and part.start == start and part.jobs:
                return part
        return None

    def parts(self) -> list[Part]:
        """All that is open of it and in memory."""
        return [part for chunk in self.chunks.values() for part in chunk.parts]

    def chunk_at(self, index: int) -> Chunk | None:
        """The chunk in memory that has this index."""
        at = bisect_right(self.firsts, index) - 1
        if at < 0:
            return None
        chunk = self.chunks[self.firsts[at]]
        return chunk if index < chunk.first + chunk.count else None

    def on_file(self, index: int) -> bool:
        """Whether the index may be open without being in memory."""
        return self.on_disk and self.loaded_to <= index < self.accepted

    def observe(self, jobs: int, elapsed: float) -> None:
        """Take in how long some jobs took."""
        self.mean = running_mean(self.mean, elapsed / jobs, MEAN_WEIGHT)


class Terms(NamedTuple):
    """What a batch asks of those who run it."""

    worker: str = ""
    """The name of a worker or a host."""
    needs: tuple[str, ...] = ()
    """Tags that the worker has, all of them."""
    limited: bool = False
    """Whether only so many of its jobs may run at once."""
    user: str = ""
    """Whom its jobs run as: the worker must allow that."""
    opens: str = "pickle"
    """What the worker must be able to open."""
    at_most_once: bool = False
    """Whether no job of it may start twice. It is given to a worker by name, never in a round, so that nobody else can
    say that it has the lease and hand it back."""
    avoid: frozenset[bytes] = frozenset()
    """Workers that could not start its jobs, for a while (start_failures.py)."""


ANY = Terms()
"""No terms: whoever has time may run it, if it opens pickles; most batches are of this kind."""


def is_any(terms: Terms) -> bool:
    """Whether there are none."""
    return terms is ANY


def terms_of(spec: BatchSpec) -> Terms:
    """The terms of a batch; ANY itself if there are none."""
    is_once = spec.max_crashes == 1
    terms = Terms(spec.worker, spec.needs, spec.limit is not None, spec.user, spec.opens, is_once)
    return ANY if terms == ANY else terms
