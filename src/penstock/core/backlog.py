"""What the ventilator still has to have done: batches, their chunks, and the parts of chunks.

Promises:

1. One place per job: the parts of a chunk partition its open jobs, and each part is in exactly one place.
2. Every change of place goes through `Backlog.move`, so the counts are right.
3. Memory holds a window of each batch's open chunks; the rest lies in the queue file.
4. What can be given out takes turns.
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter

from penstock.core.actions import EndedPart, OpenPart
from penstock.core.inputs import StoredBatch, StoredChunk
from penstock.core.lanes import Groups, Lanes
from penstock.core.part import Part, Place
from penstock.core.spans import SpanSet
from penstock.core.turns import ANY, Terms, Turns, terms_of
from penstock.job import UNSUCCESSFUL, BatchSpec, JobState, Stamp

WINDOW_CHUNKS = 4096
"""Chunks of one batch in memory before the rest stays on disk: some 2 MB, and minutes of work in most cases."""
REFILL_CHUNKS = 1024
"""Chunks read from disk at once; read again when fewer than a quarter of that are queued in memory."""
MEAN_WEIGHT = 0.2
"""Of the newest outcome in the running mean of a job's duration."""


class Chunk:
    """A chunk with open jobs; `ended` are those that ended without success."""

    __slots__ = ("batch", "count", "ended", "first", "parts", "size")

    def __init__(self, batch: Batch, first: int, count: int, size: int) -> None:
        self.batch = batch
        self.first = first
        self.count = count
        self.size = size
        self.parts: list[Part] = []
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
        merged: list[tuple[int, int, tuple[Stamp, bool, bool]]] = []
        for part in self.parts:
            start, marks = part.start, (part.stamp, part.given, part.recalled)
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

    def __init__(self, stored: StoredBatch, lanes: Lanes | None) -> None:
        self.id = stored.batch
        self.spec: BatchSpec = stored.spec
        self.function = stored.function
        self.function_size = stored.function_size
        self.created_time = stored.created_time
        self.accepted = stored.accepted
        self.total = stored.total
        self.counts = dict(stored.counts)
        self.cancelled = SpanSet(stored.cancelled)
        self.generation = stored.generation
        """Grows with each retry that opens jobs again."""
        self.asked = dict(stored.asked)
        """The latest of these retries, and how many jobs each opened."""
        self.on_disk = stored.open_from is not None
        """There may be open chunks from `loaded_to` on that are not in memory."""
        self.loaded_to = stored.open_from or 0
        self.loading = False
        self.chunks: dict[int, Chunk] = {}
        self.firsts: list[int] = []
        self.queue: list[tuple[int, int, Part]] = []
        self.ended_time = stored.ended_time
        """When it was first seen to have ended, by the wall clock."""
        self.leased = 0
        self.lanes = lanes
        """What its limit counts; None: it has none."""
        self.uncertain = stored.open_from is not None
        """After a restart: what of it is out is not known yet."""
        self.terms = terms_of(self.spec)
        self.in_turn = False
        self.offered = 0
        """No worker that has not changed after this change owes it anything (needs.py)."""
        self.turn = 0
        self.opening = 0
        """Jobs that are opened again as soon as the sink has recorded it."""
        self.mean: float | None = None
        """Seconds one job takes, a running mean; None: nothing is known yet."""
        self.held = False
        """Its time has not come: what is queued is delayed."""
        self.doom = ""
        """Why what has not started never will."""
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
    def is_full(self) -> bool:
        """Whether as many leases are out as its limit allows, or may be."""
        return self.lanes is not None and self.lanes.is_full

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
        mean = elapsed / jobs
        self.mean = mean if self.mean is None else self.mean + MEAN_WEIGHT * (mean - self.mean)


class Backlog:
    """All batches, and whose turn it is."""

    def __init__(self, stored: Iterable[StoredBatch] = ()) -> None:
        self._groups = Groups()
        self.batches = {one.batch: Batch(one, self._groups.join(one)) for one in stored}
        self._on_disk = {key: batch for key, batch in self.batches.items() if batch.on_disk}
        self.queued_parts = 0
        self.free_parts = 0
        """Those among them that whoever has time may run."""
        self.turns = Turns()

    def owner(self, batch: bytes) -> str | None:
        """The key that submitted a batch; None: no such batch."""
        found = self.batches.get(batch)
        return None if found is None else found.spec.owner

    def add_batch(self, stored: StoredBatch) -> Batch:
        """A new batch."""
        batch = self.batches[stored.batch] = Batch(stored, self._groups.join(stored))
        if batch.on_disk:
            self._on_disk[batch.id] = batch
        return batch

    def leave_on_disk(self, batch: Batch) -> None:
        """What of it comes from now on stays there until it is asked for."""
        batch.on_disk = True
        self._on_disk[batch.id] = batch

    def has_all(self, batch: Batch) -> None:
        """All that is open of it is in memory."""
        batch.on_disk = False
        self._on_disk.pop(batch.id, None)

    def _count(self, batch: Batch, parts: int) -> None:
        self.queued_parts += parts
        if batch.terms is ANY:
            self.free_parts += parts

    def remove_batch(self, batch: Batch) -> None:
        """Forget a batch without leases."""
        for chunk in batch.chunks.values():
            for part in chunk.parts:
                if part.place is Place.QUEUED:
                    self._count(batch, -1)
        self.turns.leave(batch)
        self._groups.leave(batch.spec)
        batch.queue.clear()
        batch.chunks.clear()
        batch.firsts.clear()
        self._on_disk.pop(batch.id, None)
        del self.batches[batch.id]

    def add_chunk(self, batch: Batch, chunk: StoredChunk, place: Place) -> Chunk:
        """Take a chunk into memory, all of it in one place."""
        new = Chunk(batch, chunk.first, chunk.count, chunk.size)
        batch.chunks[new.first] = new
        insort(batch.firsts, new.first)
        for stored in chunk.parts:
            part = Part(new, stored.start, stored.stop, stored.stamp, Place.DELAYED, given=stored.given)
            part.recalled = stored.recalled
            new.parts.append(part)
            self.move(part, place)
        for ended in chunk.ended:
            new.ended.setdefault(ended.state, SpanSet()).add(ended.start, ended.stop)
        return new

    def add_part(self, part: Part, place: Place) -> None:
        """Jobs of a chunk that are open again."""
        insort(part.chunk.parts, part)
        self.move(part, place)

    def drop_chunk(self, chunk: Chunk) -> None:
        """A chunk without open jobs leaves the memory."""
        del chunk.batch.chunks[chunk.first]
        at = bisect_right(chunk.batch.firsts, chunk.first) - 1
        del chunk.batch.firsts[at]

    def move(self, part: Part, place: Place, lease: int = 0) -> None:
        """Change a part's place."""
        batch = part.chunk.batch
        if part.place is Place.QUEUED:
            self._count(batch, -1)
        elif part.place is Place.LEASED:
            batch.leased -= part.jobs
        elif part.place is Place.OPENING:
            batch.opening -= part.jobs
        part.place = place
        part.lease = lease
        if place is Place.QUEUED:
            self._count(batch, 1)
            batch.push(part)
            self.turns.join(batch)
        elif place is Place.LEASED:
            batch.leased += part.jobs
        elif place is Place.OPENING:
            batch.opening += part.jobs

    def remove(self, part: Part) -> None:
        """The part's jobs have their outcome."""
        self.move(part, Place.VERDICT)
        part.chunk.parts.remove(part)

    def carve(self, chunk: Chunk, start: int, stop: int) -> list[Part]:
        """As Chunk.carve; counts what it cuts."""
        before = len(chunk.batch.queue)
        inside = chunk.carve(start, stop)
        self._count(chunk.batch, len(chunk.batch.queue) - before)
        return inside

    def next(self, fits: Callable[[Terms], bool], lanes: int = 1) -> Part | None:
        """The part whose turn it is among those that fit, cut if its batch has a limit so that `lanes` of its leases
        can be filled; it must be given out now, or it is lost from the queue."""
        part = self.turns.next(fits)
        if part is not None:
            self._fill_lanes(part, lanes)
        return part

    def take(self, batch: Batch, lanes: int = 1) -> Part | None:
        """As `next`, of this batch."""
        part = self.turns.take(batch)
        if part is not None:
            self._fill_lanes(part, lanes)
        return part

    def _fill_lanes(self, part: Part, lanes: int) -> None:
        batch = part.chunk.batch
        shares = 0 if batch.lanes is None else min(lanes, batch.lanes.free) // (len(batch.queue) + 1)
        if shares > 1:
            self.carve(part.chunk, part.start, part.start - (-part.jobs // shares))

    def hungry_batches(self) -> Iterator[Batch]:
        """Batches with more on disk and little left in memory."""
        for batch in self._on_disk.values():
            wanted = not batch.held or batch.loaded_to in batch.cancelled
            if wanted and not batch.loading and len(batch.queue) < REFILL_CHUNKS // 4:
                yield batch

    def check(self, lanes: Mapping[bytes, int]) -> Counter[int]:
        """The invariants; AssertionError if one does not hold. `lanes`: leases of each batch. Returns the jobs of each
        lease."""
        charged: Counter[int] = Counter()
        places: Counter[Place] = Counter()
        out: Counter[Lanes] = Counter()
        for batch in self.batches.values():
            if batch.lanes is not None:
                out[batch.lanes] += lanes[batch.id]
            assert batch.firsts == sorted(batch.chunks), "the index of chunks is the chunks"
            jobs: Counter[Place] = Counter()
            for chunk in batch.chunks.values():
                assert chunk.parts, "a chunk in memory has open jobs"
                at = chunk.first
                for part in chunk.parts:
                    assert at <= part.start < part.stop <= chunk.first + chunk.count, "parts do not overlap"
                    at = part.stop
                    places[part.place] += 1
                    jobs[part.place] += part.jobs
                    assert (part.lease != 0) == (part.place is Place.LEASED), "leased means under a lease"
                    if part.lease:
                        charged[part.lease] += part.jobs
            assert jobs[Place.LEASED] == batch.leased, "the count of leased jobs is right"
            assert jobs[Place.OPENING] == batch.opening, "the count of jobs that are being opened again is right"
        assert places[Place.QUEUED] == self.queued_parts, "the count of queued parts is right"
        for shared, count in out.items():
            shared.check(count)
        return charged
