"""Workers come, say what they hold, fall silent, come back: presence and the comparison of inventories.

Promises:

1. One routine compares a report with what is believed, whoever says it and why: it adopts, queues again what is
   missing, and answers Drop or Closed.
2. A job is queued again after the loss of its worker only when all that the sink had recorded by then is applied.
3. A dealt lease that nobody reported is queued again once every worker of its round has been heard since.
4. The ventilator's own pause expires nobody.
"""

from __future__ import annotations

from penstock.config import FUSE, RECONNECT_GRACE
from penstock.core.actions import LoadChunk, SendFunction
from penstock.core.backlog import Part, Place
from penstock.core.books import Books
from penstock.core.dispatch import Dispatcher
from penstock.core.inputs import Subscribed, Unsubscribed
from penstock.core.lease import COUNTER_BITS, Given
from penstock.core.roster import Worker
from penstock.core.spans import SpanSet
from penstock.job import JobState
from penstock.messages import (
    BatchSpan,
    Beat,
    Closed,
    Drop,
    Greeting,
    HandedBack,
    Heartbeat,
    Held,
    Hello,
    LeaseSpan,
    Left,
    NeedFunction,
    Took,
    Welcome,
)

FREE = (Place.QUEUED, Place.DELAYED, Place.LIMBO)
"""Places from which a job can be adopted: nobody else has it."""


class Presence:
    """Keeps the books in step with what workers say."""

    def __init__(self, books: Books, dispatcher: Dispatcher) -> None:
        self._books = books
        self._dispatcher = dispatcher
        self._connections = 0
        self.barrier = books.life << COUNTER_BITS
        """Number of the newest beat to the sink; the core counts it. Greater than that of any beat of a former life."""
        self.claims: dict[tuple[bytes, int], tuple[Worker, Held, int, bool]] = {}
        """Spans (worker, held, stop, finished) of chunks that are not in memory yet, by (batch, start)."""

    # ------------------------------------------------------------------------------------ connections

    def on_subscribed(self, event: Subscribed) -> None:
        """A new control connection is greeted; what it is, it will say."""
        worker = self._books.workers.setdefault(event.topic, Worker(event.topic))
        worker.connections += 1
        worker.gone_at = None
        self.greet(worker)

    def greet(self, worker: Worker) -> None:
        """Ask for a hello over the newest connection."""
        self._connections += 1
        worker.connection = self._connections
        books = self._books
        books.tell(worker.id, Greeting(books.life, self._connections, books.lease_time, books.heartbeat_interval))

    def on_unsubscribed(self, event: Unsubscribed, now: float) -> None:
        """A control connection dropped; the last one starts the grace."""
        worker = self._books.workers.get(event.topic)
        if worker is None:
            return
        worker.connections = max(0, worker.connections - 1)
        if worker.connections == 0:
            worker.gone_at = now
            if worker.hello is None:
                del self._books.workers[worker.id]

    # ------------------------------------------------------------------------------------ reports

    def on_hello(self, hello: Hello, now: float) -> None:
        """Void unless it is new and answers the newest greeting of this life."""
        worker = self._books.workers.get(hello.worker)
        if worker is None or (hello.life, hello.connection) != (self._books.life, worker.connection):
            return
        if hello.number <= worker.number:
            return
        joined = worker.hello is None
        worker.hello = hello
        worker.number = hello.number
        worker.window = hello.window
        worker.heard_at = now
        floor = self._books.leases.next_number
        self._books.leases.uncharge(worker)
        drop = self._compare(worker, hello.held, now, exact=True)
        self._books.tell(worker.id, Welcome(hello.number, floor, tuple(drop)))
        if joined:
            self._books.log("worker_joined", worker=hello.name, host=hello.host, pid=hello.pid, slots=hello.slots)

    def on_heartbeat(self, beat: Heartbeat, now: float) -> None:
        """Answered at once; an older one than the newest is ignored."""
        worker = self._known(beat.worker, now)
        if worker is None or beat.number <= worker.number:
            return
        worker.number = beat.number
        worker.window = beat.window
        drop = self._compare(worker, beat.held, now, exact=False)
        if drop:
            self._books.tell(worker.id, Drop(tuple(drop)))
        self._books.tell(worker.id, Beat(beat.number))

    def on_took(self, took: Took, now: float) -> None:
        """These leases are where they should be."""
        worker = self._known(took.worker, now)
        if worker is None:
            return
        worker.window = took.window
        for number in took.leases:
            self._books.leases.reached(number, worker)

    def on_handed_back(self, back: HandedBack, now: float) -> None:
        """What was not started is queued again."""
        worker = self._known(back.worker, now)
        if worker is None:
            return
        jobs = 0
        for span in back.spans:
            lease = self._books.leases.given.get(span.lease)
            if lease is None or lease.worker not in {None, worker}:
                continue
            self._books.leases.attribute(lease, worker)
            self._books.leases.take(lease, worker)
            for part in self._books.backlog.carve(lease.chunk, span.start, span.stop):
                if part.lease == span.lease:
                    jobs += part.jobs
                    part.given = False
                    self._books.queue(part)
        self._dispatcher.handed_back(worker, back.number, jobs, now)

    def on_need_function(self, need: NeedFunction, now: float) -> None:
        """Large functions go once to each worker that lacks them."""
        wanted = any(batch.function == need.function for batch in self._books.backlog.batches.values())
        if self._known(need.worker, now) is not None and wanted:
            self._books.say(SendFunction(need.worker, need.function))

    def on_left(self, left: Left) -> None:
        """It holds nothing: whatever the books still say of it is queued again."""
        worker = self._books.workers.get(left.worker)
        if worker is not None and worker.hello is not None:
            self._books.log("worker_left", worker=worker.hello.name, jobs=worker.done)
            self._lose(worker, left=True)

    def _known(self, worker_id: bytes, now: float) -> Worker | None:
        """The worker, if it said hello; an unknown one is asked for that."""
        worker = self._books.workers.get(worker_id)
        if worker is None or worker.hello is None:
            if worker is not None:
                self.greet(worker)
            return None
        worker.heard_at = now
        return worker

    # ------------------------------------------------------------------------------------ inventories

    def _compare(self, worker: Worker, inventory: tuple[Held, ...], now: float, *, exact: bool) -> list[LeaseSpan]:
        """Make the books agree with an inventory; returns what the worker must drop.

        `exact`: it comes with a hello, so that what was sent before and is not listed is void.
        """
        listed = {held.lease: held for held in inventory}
        for number in list(worker.leases):
            lease = self._books.leases.given[number]
            if lease.taken or exact:
                self._miss(lease, listed.get(number))
        worker.running = [(held.batch, span) for held in inventory for span in held.running]
        drop: list[LeaseSpan] = []
        closed: list[BatchSpan] = []
        for held in inventory:
            for start, stop in (*held.unstarted, *held.running):
                drop += self._claim(worker, held, start, stop, now, finished=False)
            for start, stop in held.finished:
                closed += self._finished(worker, held, start, stop, now)
        if closed:
            self._books.tell(worker.id, Closed(tuple(closed)))
        return drop

    def _miss(self, lease: Given, held: Held | None) -> None:
        """Jobs that the books have under the lease and the worker does not: it never started them, queue them again."""
        there = SpanSet((*held.unstarted, *held.running, *held.finished)) if held is not None else SpanSet()
        for part in list(lease.chunk.parts):
            if part.lease != lease.number:
                continue
            for start, stop in there.gaps(part.start, part.stop):
                for lost in self._books.backlog.carve(lease.chunk, start, stop):
                    if lost.lease == lease.number:
                        lost.given = False
                        self._books.queue(lost)

    def _requeue(self, part: Part) -> None:
        """Again, or never: what may have been started and must not be twice is dead."""
        spec = part.chunk.batch.spec
        if part.given or (part.crashed and spec.is_last_crash(part.stamp)):
            times = f"{part.stamp.crashes + 1} of at most {spec.max_crashes} times"
            self._books.decide(part, JobState.DEAD, f"its worker was lost while it ran or may have run, {times}")
        else:
            self._books.queue(part)

    def _claim(
        self, worker: Worker, held: Held, start: int, stop: int, now: float, *, finished: bool
    ) -> list[LeaseSpan]:
        """A worker holds a span: it is its own, or is adopted, or must be dropped."""
        batch = self._books.backlog.batches.get(held.batch)
        if batch is None:
            return [LeaseSpan(held.lease, start, stop)]
        chunk = batch.chunk_at(start)
        if chunk is None:
            if not batch.on_file(start):
                return [LeaseSpan(held.lease, start, stop)]
            self.claims[batch.id, start] = (worker, held, stop, finished)
            self._books.say(LoadChunk(batch.id, start))
            return []
        kept = SpanSet()
        for part in self._books.backlog.carve(chunk, start, stop):
            if part.place is Place.LEASED and part.lease == held.lease:
                lease = self._books.leases.adopt(held.lease, chunk, worker, now)
                kept.add(part.start, part.stop)
            elif part.place in FREE and part.stamp == held.stamp:
                lease = self._books.leases.adopt(held.lease, chunk, worker, now)
                part.crashed = False
                self._books.lease(part, lease.number)
                self._books.leases.grow(lease, part.jobs)
                kept.add(part.start, part.stop)
            elif finished and part.place is Place.LEASED:
                kept.add(part.start, part.stop)  # somebody else has it now; the sink decides whose counts
        return [LeaseSpan(held.lease, *gap) for gap in kept.gaps(start, stop)]

    def _finished(self, worker: Worker, held: Held, start: int, stop: int, now: float) -> list[BatchSpan]:
        """A worker holds an outcome: what of it is recorded is closed, the rest is its own."""
        closed = self._claim(worker, held, start, stop, now, finished=True)
        return [BatchSpan(held.batch, span.start, span.stop) for span in closed]

    def hear_claims(self, absent: set[tuple[bytes, int]], now: float) -> None:
        """Chunks came into memory: decide the claims on them; one on an `absent` (batch, index) is void."""
        claims, self.claims = self.claims, {}
        for (batch, start), (worker, held, stop, finished) in claims.items():
            if self._books.workers.get(worker.id) is not worker:
                continue
            if (batch, start) in absent:
                drop = [LeaseSpan(held.lease, start, stop)]
            else:
                drop = self._claim(worker, held, start, stop, now, finished=finished)
            if drop and finished:
                self._books.tell(worker.id, Closed(tuple(BatchSpan(batch, s.start, s.stop) for s in drop)))
            elif drop:
                self._books.tell(worker.id, Drop(tuple(drop)))

    # ------------------------------------------------------------------------------------ loss

    def tick(self, now: float) -> None:
        """Find who is lost, and which dealt leases are."""
        for worker in list(self._books.workers.values()):
            if worker.hello is None:
                continue
            gone = worker.gone_at is not None and now - worker.gone_at > RECONNECT_GRACE
            silent = now - worker.heard_at > self._books.lease_time
            if gone or silent:
                cause = "its connection dropped" if gone else "nothing was heard of it"
                self._books.log("worker_lost", worker=worker.hello.name, host=worker.hello.host, cause=cause)
                self._lose(worker)
        self._burn_fuses(now)

    def _lose(self, worker: Worker, *, left: bool = False) -> None:
        """Its leases wait in limbo for what the sink may have of them; what ran has crashed, unless it has `left`."""
        if not left:
            self._crash_running(worker)
            self._crash_front(worker)
        for lease in [self._books.leases.given[number] for number in worker.leases]:
            for part in [part for part in lease.chunk.parts if part.lease == lease.number]:
                self._books.hold(part, self.barrier + 1)
        self._books.leases.uncharge(worker)
        if worker.connections:
            fresh = self._books.workers[worker.id] = Worker(worker.id)
            fresh.connections = worker.connections
            self.greet(fresh)
        else:
            del self._books.workers[worker.id]

    def _crash_running(self, worker: Worker) -> None:
        for lease in [self._books.leases.given[number] for number in worker.leases]:
            for start, stop in [span for batch, span in worker.running if batch == lease.chunk.batch.id]:
                for part in self._books.backlog.carve(lease.chunk, start, stop):
                    part.crashed = part.crashed or part.lease == lease.number

    def _crash_front(self, worker: Worker) -> None:
        """The slots of which no inventory told ran what comes first: a job may take its worker along at once."""
        leases = [self._books.leases.given[number] for number in sorted(worker.leases)]
        parts = [(one, part) for one in leases for part in one.chunk.parts if part.lease == one.number]
        idle = worker.slots - sum(part.jobs for _, part in parts if part.crashed)
        begun = {lease.number for lease, part in parts if lease.serial and part.crashed}
        for lease, part in sorted(parts, key=lambda one: -one[0].chunk.batch.spec.priority):
            if idle > 0 and not part.crashed and lease.number not in begun:
                begun |= {lease.number} if lease.serial else set()
                stop = min(part.stop, part.start + (1 if lease.serial else idle))
                for first in self._books.backlog.carve(lease.chunk, part.start, stop):
                    first.crashed = True
                    idle -= first.jobs

    def release_limbo(self, echo: int) -> None:
        """All that the sink had by this beat is applied: what is still in limbo was not recorded."""
        chunks, self._books.limbo = self._books.limbo, {}
        for key, chunk in chunks.items():
            for part in list(chunk.parts):
                if part.place is Place.LIMBO and part.wait <= echo:
                    self._requeue(part)
            if any(part.place is Place.LIMBO for part in chunk.parts):
                self._books.limbo[key] = chunk

    def _burn_fuses(self, now: float) -> None:
        books = self._books
        for lease in list(books.leases.untaken.values()):
            if now - lease.given_at <= FUSE:
                break
            since = lease.given_at + books.heartbeat_interval
            if lease.round is not None:
                if any(books.workers[w].heard_at <= since for w in lease.round.waiting if w in books.workers):
                    continue
                books.leases.burn(lease.round, books.workers)
                lease.round = None
            elif lease.worker is not None and lease.worker.heard_at <= since:
                continue
            for part in [part for part in lease.chunk.parts if part.lease == lease.number]:
                books.queue(part)
            books.leases.shrink(lease.number, lease.jobs)
            books.leases.untaken.pop(lease.number, None)

    def forgive(self, pause: float, now: float) -> None:
        """This process stood still for so long: everybody's clocks start again."""
        for worker in self._books.workers.values():
            worker.heard_at = min(now, worker.heard_at + pause)
            if worker.gone_at is not None:
                worker.gone_at = min(now, worker.gone_at + pause)
        for lease in self._books.leases.untaken.values():
            lease.given_at = min(now, lease.given_at + pause)
