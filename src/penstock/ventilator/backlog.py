"""What the ventilator still has to have done: batches, their chunks, and the parts of chunks.

Promises:

1. One place per job: the parts of a chunk partition its open jobs, and each part is in exactly one place.
2. Every change of place goes through `Backlog.move`, so the counts are right.
3. Memory holds a window of each batch's open chunks; the rest lies in the queue file.
4. What can be given out takes turns (FairQueue).
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_right, insort
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping

from penstock.job.spans import SpanSet
from penstock.job.spec import BatchSpec
from penstock.ventilator.contract import StoredBatch, StoredChunk
from penstock.ventilator.jobs_model import ANY, MOVES, Batch, Chunk, Part, Place, Terms, terms_of
from penstock.ventilator.open_leases import LimitGroups, OpenLeases

WINDOW_CHUNKS = 4096
"""Chunks of one batch in memory before the rest stays on disk: some 2 MB, and minutes of work in most cases."""
REFILL_CHUNKS = 1024
"""Chunks read from disk at once; read again when fewer than a quarter of that are queued in memory."""


class FairQueue:
    """The batches that can be given out, by priority and terms.

    1. Larger priority first; batches of one priority take turns, whatever terms each has.
    2. A batch whose terms nobody here fulfils, or whose limit is reached, holds up no other batch.
    3. Of batches that share a limit none is in turn while it is reached. Otherwise, where some of one priority and
       terms wait for it, one of these is: to let one go on costs the same, however many there are.
    """

    def __init__(self) -> None:
        self._queues: dict[int, dict[Terms, OrderedDict[Batch, None]]] = {}
        self._serial = itertools.count()

    def join(self, batch: Batch) -> None:
        """It has something to give out; behind the others, unless it is among them already, or waits for its limit."""
        if batch.in_turn or (batch.open_leases is not None and batch.open_leases.is_aside(batch)):
            return
        if batch.open_leases is not None and batch.open_leases.is_full:
            batch.open_leases.set_aside(batch)
        else:
            self._append(batch)

    def _append(self, batch: Batch) -> None:
        batch.turn = next(self._serial)
        batch.in_turn = True
        self._queues.setdefault(batch.spec.priority, {}).setdefault(batch.terms, OrderedDict())[batch] = None
        if batch.open_leases is not None:
            batch.open_leases.in_turn[batch] = None

    def _remove(self, batch: Batch) -> None:
        batch.in_turn = False
        del self._queues[batch.spec.priority][batch.terms][batch]
        if batch.open_leases is not None:
            del batch.open_leases.in_turn[batch]

    def _rejoin(self, batch: Batch) -> None:
        """Something of it is about to be given out: behind the others, of all or of those that wait for its limit."""
        if batch.open_leases is not None and batch.open_leases.is_last:
            batch.open_leases.set_aside(batch)
        else:
            self._append(batch)

    def leave(self, batch: Batch) -> None:
        """It is being forgotten."""
        if batch.in_turn:
            self._remove(batch)
        elif batch.open_leases is not None and batch.open_leases.is_aside(batch):
            batch.open_leases.take_out(batch)
        self.go_on(batch.open_leases)

    def rest(self, open_leases: OpenLeases[Batch] | None) -> None:
        """A lease more is out: if the limit is reached now, those who share it wait."""
        if open_leases is not None and open_leases.in_turn and open_leases.is_full:
            for batch in reversed(list(open_leases.in_turn)):
                self._remove(batch)
                open_leases.set_aside(batch, first=True)

    def go_on(self, open_leases: OpenLeases[Batch] | None) -> None:
        """A lease less may be out, or somebody who shares the limit has left his turn: those whose turn it is among
        them go on."""
        if open_leases is not None and not open_leases.is_full:
            for batch in open_leases.first_ones():
                open_leases.take_out(batch)
                self._append(batch)

    def next(self, fits: Callable[[Terms], bool]) -> Part | None:
        """The part whose turn it is among those that fit; it must be given out now, or it is lost from the queue."""
        for priority in sorted(self._queues, reverse=True):
            queues = self._queues[priority]
            while heads := [next(iter(queue)) for terms, queue in queues.items() if queue and fits(terms)]:
                if (part := self.take(min(heads, key=_turn_of))) is not None:
                    return part
            if not any(queues.values()):
                del self._queues[priority]
        return None

    def waiting(self, most: int) -> list[Batch]:
        """The batches whose turn comes next, at most so many."""
        found: list[Batch] = []
        for priority in sorted(self._queues, reverse=True):
            queues = self._queues[priority].values()
            found += itertools.islice(heapq.merge(*queues, key=_turn_of), most - len(found))
        return found

    def take(self, batch: Batch) -> Part | None:
        """The part of this batch that is next, as `next` has it."""
        self._remove(batch)
        part = batch.pop()
        if part is not None:
            self._rejoin(batch)
        else:
            self.go_on(batch.open_leases)
        return part

    def particular(self) -> Iterator[Terms]:
        """The terms, other than none, under which something waits that could be given out."""
        return (terms for queues in self._queues.values() for terms, queue in queues.items() if queue and terms != ANY)


def _turn_of(batch: Batch) -> int:
    return batch.turn


class Backlog:
    """All batches, and whose turn it is."""

    def __init__(self, stored: Iterable[StoredBatch] = ()) -> None:
        self._groups = LimitGroups[Batch]()
        self.batches: dict[bytes, Batch] = {one.batch: self._new(one) for one in stored}
        self._on_disk = {key: batch for key, batch in self.batches.items() if batch.on_disk}
        self.queued_parts: int = 0
        self.free_parts: int = 0
        """Those among them that whoever has time may run."""
        self.fair_queue: FairQueue = FairQueue()

    def _new(self, stored: StoredBatch) -> Batch:
        return Batch(stored, self._groups.join(stored.spec, uncertain=stored.open_from is not None))

    def owner(self, batch: bytes) -> str | None:
        """The key that submitted a batch; None: no such batch."""
        found = self.batches.get(batch)
        return None if found is None else found.spec.owner

    def add_batch(self, stored: StoredBatch) -> Batch:
        """Take in a new batch."""
        batch = self.batches[stored.batch] = self._new(stored)
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

    def set_terms(self, batch: Batch, terms: Terms) -> None:
        """Others may run it from now on."""
        queued = sum(part.place is Place.QUEUED for chunk in batch.chunks.values() for part in chunk.parts)
        waits = batch.in_turn or (batch.open_leases is not None and batch.open_leases.is_aside(batch))
        self.fair_queue.leave(batch)
        self._count(batch, -queued)
        batch.terms, batch.offered = terms, 0
        self._count(batch, queued)
        if waits:
            self.fair_queue.join(batch)

    def set_spec(self, batch: Batch, spec: BatchSpec, width: int) -> None:
        """It has another priority or limit from now on; so many of its jobs can run at once of those that are out."""
        queued = sum(part.place is Place.QUEUED for part in batch.parts())
        self.fair_queue.leave(batch)
        self._count(batch, -queued)
        if (spec.limit, spec.limit_group) != (batch.spec.limit, batch.spec.limit_group):
            if (before := batch.open_leases) is not None:
                before.out -= width
                self._groups.leave(batch.spec)
                self.fair_queue.go_on(before)
            batch.open_leases = self._groups.join(spec, uncertain=batch.uncertain)
            if batch.open_leases is not None:
                batch.open_leases.out += width
        batch.spec, batch.offered = spec, 0
        terms = terms_of(spec)._replace(avoid=batch.terms.avoid)
        batch.terms = ANY if terms == ANY else terms
        self._count(batch, queued)
        if queued:
            self.fair_queue.join(batch)

    def remove_batch(self, batch: Batch) -> None:
        """Forget a batch without leases."""
        for chunk in batch.chunks.values():
            for part in chunk.parts:
                if part.place is Place.QUEUED:
                    self._count(batch, -1)
        self.fair_queue.leave(batch)
        self._groups.leave(batch.spec)
        batch.queue.clear()
        batch.chunks.clear()
        batch.firsts.clear()
        self._on_disk.pop(batch.id, None)
        del self.batches[batch.id]

    def add_chunk(self, batch: Batch, chunk: StoredChunk) -> Chunk:
        """Take a chunk into memory; its parts are to be moved to where they belong."""
        new = Chunk(batch, chunk.first, chunk.count, chunk.size)
        batch.chunks[new.first] = new
        insort(batch.firsts, new.first)
        for stored in chunk.parts:
            part = Part(new, stored.start, stored.stop, stored.stamp, given=stored.given)
            part.recalled, part.exposed = stored.recalled, stored.exposed
            new.parts.append(part)
        for ended in chunk.ended:
            new.ended.setdefault(ended.state, SpanSet()).add(ended.start, ended.stop)
        return new

    @staticmethod
    def add_part(part: Part) -> None:
        """Jobs of a chunk that are open again; they are to be moved to where they belong."""
        insort(part.chunk.parts, part)

    def drop_chunk(self, chunk: Chunk) -> None:
        """A chunk without open jobs leaves the memory."""
        del chunk.batch.chunks[chunk.first]
        at = bisect_right(chunk.batch.firsts, chunk.first) - 1
        del chunk.batch.firsts[at]

    def move(self, part: Part, place: Place, lease: int = 0) -> None:
        """Change a part's place, as MOVES allows."""
        assert place in MOVES[part.place], f"{part.place.value} to {place.value}"
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
            self.fair_queue.join(batch)
        elif place is Place.LEASED:
            batch.leased += part.jobs
        elif place is Place.OPENING:
            batch.opening += part.jobs

    def remove(self, part: Part) -> None:
        """The part's jobs have their outcome."""
        self.move(part, Place.ENDED)
        part.chunk.parts.remove(part)

    def carve(self, chunk: Chunk, start: int, stop: int) -> list[Part]:
        """As Chunk.carve; counts what it cuts."""
        before = len(chunk.batch.queue)
        inside = chunk.carve(start, stop)
        self._count(chunk.batch, len(chunk.batch.queue) - before)
        return inside

    def next(self, fits: Callable[[Terms], bool], open_leases: int = 1) -> Part | None:
        """The part whose turn it is among those that fit, cut if its batch has a limit so that `open_leases` of its
        leases can be filled; it must be given out now, or it is lost from the queue."""
        return self._for_open_leases(self.fair_queue.next(fits), open_leases)

    def take(self, batch: Batch, open_leases: int = 1) -> Part | None:
        """As `next`, of this batch."""
        return self._for_open_leases(self.fair_queue.take(batch), open_leases)

    def _for_open_leases(self, part: Part | None, open_leases: int) -> Part | None:
        if part is not None and (limited := part.chunk.batch.open_leases) is not None:
            shares = min(open_leases, limited.free) // (len(part.chunk.batch.queue) + 1)
            if shares > 1:
                self.carve(part.chunk, part.start, part.start - (-part.jobs // shares))
        return part

    def hungry_batches(self) -> Iterator[Batch]:
        """Batches with more on disk and little left in memory."""
        for batch in self._on_disk.values():
            wanted = not batch.held or batch.loaded_to in batch.cancelled
            if wanted and not batch.loading and len(batch.queue) < REFILL_CHUNKS // 4:
                yield batch

    def check(self, open_leases: Mapping[bytes, int]) -> Counter[int]:
        """The invariants; AssertionError if one does not hold. `open_leases`: leases of each batch. Returns the jobs of
        each lease."""
        charged: Counter[int] = Counter()
        places: Counter[Place] = Counter()
        out: Counter[OpenLeases[Batch]] = Counter()
        for batch in self.batches.values():
            if batch.open_leases is not None:
                out[batch.open_leases] += open_leases[batch.id]
            assert batch.firsts == sorted(batch.chunks), "the index of chunks is the chunks"
            jobs: Counter[Place] = Counter()
            for chunk in batch.chunks.values():
                assert chunk.parts, "a chunk in memory has open jobs"
                at = chunk.first
                for part in chunk.parts:
                    assert at <= part.start < part.stop <= chunk.first + chunk.count, "parts do not overlap"
                    at = part.stop
                    places[part.place] += 1
                    assert part.place not in {Place.LOADED, Place.ENDED}, "a part that is open is somewhere"
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
