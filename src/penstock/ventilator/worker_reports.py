"""Workers come, say what they hold, fall silent, come back: presence and the comparison of inventories.

Promises:

1. One routine compares a report with what is believed, whoever says it and why: it adopts, queues again what is
   missing, and answers Drop or Closed.
2. A dealt lease is whose token is shown, where there are keys: what others say of it changes nothing, unless nobody has
   shown the token for a while.
3. A line that cannot be is not believed (inventory_checks.py), and its worker drops what it says it holds there.
4. Whoever speaks and is not known is asked for a hello; a connection that drops has a grace to come back.
"""

from __future__ import annotations

from penstock.job.spans import SpanSet
from penstock.station.contract import Answer
from penstock.ventilator.contract import SendFunction, Subscribed, Unsubscribed
from penstock.ventilator.dispatch import Dispatcher
from penstock.ventilator.inventory_checks import is_claimed, objection
from penstock.ventilator.jobs_model import Place
from penstock.ventilator.known_worker import Worker
from penstock.ventilator.leases import LeaseRecord
from penstock.ventilator.ledger import Ledger
from penstock.ventilator.other_versions import OtherVersions
from penstock.ventilator.reads import LoadChunk
from penstock.ventilator.worker_loss import WorkerLoss
from penstock.ventilator.worker_names import WorkerNames
from penstock.wire.bounds import BEATS_PER_SECOND, PACE_MAX, is_to_be_logged
from penstock.wire.desk_messages import Done, DrainWorker, Refused
from penstock.wire.messages import (
    Beat,
    Closed,
    Drain,
    Drop,
    HandedBack,
    Heartbeat,
    Hello,
    Left,
    NeedFunction,
    Took,
    Welcome,
)
from penstock.wire.records import Held, LeaseSpan, RecordedSpan

LISTED_MAX = 20
"""Workers in an error: it is a line."""
ID_DIGITS = 6
"""Of an id, from which on it is taken for one."""
FREE = (Place.QUEUED, Place.DELAYED, Place.UNCONFIRMED, Place.ALONE)
"""Places from which a job can be adopted: nobody else has it."""


class WorkerReports:
    """Keeps the ledger in step with what workers say."""

    def __init__(self, ledger: Ledger, dispatcher: Dispatcher, other_versions: OtherVersions) -> None:
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._other_versions = other_versions
        self._names = WorkerNames(ledger.workers)
        self._connections = 0
        self.disbelieved: int = 0
        """Lines of inventories that could not be."""
        self.sink_takes_parts = False
        """As the workers are told,"""
        self.sink_records = False
        """who are told this too."""
        self.loss: WorkerLoss = WorkerLoss(ledger, self.greet)
        self.claims: dict[tuple[bytes, int], tuple[Worker, Held, int, bool]] = {}
        """Spans (worker, held, stop, finished) of chunks that are not in memory yet, by (batch, start)."""

    # ------------------------------------------------------------------------------------ connections

    def on_subscribed(self, event: Subscribed) -> None:
        """A new control connection is greeted; what it is, it will say."""
        worker = self._ledger.workers.setdefault(event.topic, Worker(event.topic, self._ledger.changed))
        worker.connections += 1
        worker.gone_at = None
        worker.change()
        self.greet(worker)

    def greet(self, worker: Worker) -> None:
        """Ask for a hello over the newest connection."""
        self._connections += 1
        worker.connection = self._connections
        self._ledger.turn.tell(worker.id, self._ledger.greeting(self._connections))

    def on_unsubscribed(self, event: Unsubscribed, now: float) -> None:
        """A control connection dropped; the last one starts the grace."""
        worker = self._ledger.workers.get(event.topic)
        if worker is None:
            return
        worker.connections = max(0, worker.connections - 1)
        worker.change()
        if worker.connections == 0:
            worker.gone_at = now
            if worker.hello is None:
                del self._ledger.workers[worker.id]

    # ------------------------------------------------------------------------------------ reports

    def on_hello(self, hello: Hello, now: float) -> None:
        """Void unless it is new and answers the newest greeting of this life."""
        worker = self._ledger.workers.get(hello.worker)
        if worker is None or (hello.life, hello.connection) != (self._ledger.life, worker.connection):
            return
        if hello.number <= worker.number:
            return
        batches = self._ledger.backlog.batches
        if not self._ledger.is_confirmed and any(held.batch not in batches for held in hello.held):
            return  # this file may be an older one than it knows: it says hello again, when the sink has answered
        joined = worker.hello is None
        worker.asked_name, hello = hello.name, self._names.named(worker, hello)
        worker.hello = hello
        worker.number = hello.number
        worker.window = hello.window
        worker.broken = hello.broken
        if hello.wall_time:
            worker.clock_ahead = hello.wall_time - now - self._ledger.wall_clock.offset
        worker.heard_at = now
        worker.change()
        floor = self._ledger.leases.next_number
        self._ledger.leases.uncharge(worker)
        worker.take_inventory(hello)
        drop = self._compare(worker, now, exact=True)
        given = "" if hello.name == worker.asked_name else hello.name
        self._ledger.turn.tell(worker.id, Welcome(hello.number, floor, tuple(drop), self.sink_takes_parts, given))
        if joined:
            self._ledger.turn.log("worker_joined", worker=hello.name, host=hello.host, pid=hello.pid, slots=hello.slots)
            if given:
                self._ledger.turn.log("name_taken", name=worker.asked_name, called=given, host=hello.host)
            self._other_versions.on_worker(hello)

    def on_heartbeat(self, beat: Heartbeat, now: float) -> None:
        """Answered at once; an older one than the newest is ignored."""
        worker = self._known(beat.worker, now)
        if worker is None or beat.number <= worker.number:
            return
        worker.number = beat.number
        worker.window = beat.window
        if worker.broken != beat.broken and worker.hello is not None:
            if beat.broken:
                self._ledger.turn.log("worker_broken", worker=worker.hello.name, reason=beat.broken)
            else:
                self._ledger.turn.log("worker_healed", worker=worker.hello.name)
        worker.broken = beat.broken
        worker.draining |= beat.leaving
        worker.in_slots = {(one.lease, one.index): (one.slot, now - one.seconds) for one in beat.slots}
        if worker.take_inventory(beat):
            self.greet(worker)  # the hello that answers it has all of it
            return
        drop = self._compare(worker, now, exact=False)
        if drop:
            self._ledger.turn.tell(worker.id, Drop(tuple(drop)))
        wanted = len(self._ledger.workers) / (BEATS_PER_SECOND * self._ledger.heartbeat_interval)
        worker.pace = max(worker.pace, min(wanted, PACE_MAX))  # it may have heard of a longer lease time: that holds
        self._ledger.turn.tell(worker.id, Beat(beat.number, worker.pace, self.sink_takes_parts, self.sink_records))

    def echo(self, beat: Heartbeat) -> Beat | None:
        """Says that it is heard, and nothing of what it holds: that is compared when it beats again. None: its worker
        is not known, or is given up."""
        worker = self._ledger.workers.get(beat.worker)
        if worker is None or worker.hello is None:
            return None
        return Beat(beat.number, worker.pace, self.sink_takes_parts)

    def on_took(self, took: Took, now: float) -> None:
        """These leases are where they should be."""
        worker = self._known(took.worker, now)
        if worker is None:
            return
        worker.window = took.window
        is_shown = self._ledger.lease_tokens.shown(took.tokens)
        for number in took.leases:
            lease = self._ledger.leases.records.get(number)
            if lease is None or lease.worker is not None or is_shown(number):
                self._ledger.leases.reached(number, worker)
            else:
                lease.claimant = lease.claimant or worker

    def on_handed_back(self, back: HandedBack, now: float) -> None:
        """What was not started is queued again."""
        worker = self._known(back.worker, now)
        if worker is None:
            return
        jobs = 0
        is_shown = self._ledger.lease_tokens.shown(back.tokens)
        for span in back.spans:
            lease = self._ledger.leases.records.get(span.lease)
            if lease is None or not (lease.worker is worker or (lease.worker is None and is_shown(span.lease))):
                continue
            if back.unable:
                self._dispatcher.start_failures.add(worker, lease.chunk.batch, back.unable, now)
            self._ledger.leases.attribute(lease, worker)
            self._ledger.leases.take(lease, worker)
            for part in self._ledger.backlog.carve(lease.chunk, span.start, span.stop):
                if part.lease == span.lease:
                    jobs += part.jobs
                    part.given = False
                    self._ledger.queue(part)
        if not back.unable:
            self._dispatcher.handed_back(worker, back.number, jobs, now)

    def on_need_function(self, need: NeedFunction, now: float) -> None:
        """Large functions go once to each worker that lacks them."""
        wanted = any(batch.function == need.function for batch in self._ledger.backlog.batches.values())
        if self._known(need.worker, now) is not None and wanted:
            self._ledger.turn.say(SendFunction(need.worker, need.function))

    def on_drain(self, client: bytes, drain: DrainWorker) -> None:
        """Pass it on to the worker of that name, id or host, if there is one."""
        found = self._named(drain.worker)
        if len(found) == 1:
            (worker,) = found
            worker.draining = True
            worker.change()
            self._ledger.turn.tell(worker.id, Drain())
            self._ledger.turn.say(Answer(client, Done(drain.number)))
            return
        text = f"no worker named {drain.worker} is connected: `penstock workers` lists them"
        if found:
            ids = [f"{one.id.hex()} ({one.hello.name} on {one.hello.host})" for one in found if one.hello is not None]
            listed = ", ".join([*ids[:LISTED_MAX], *(["..."] if len(ids) > LISTED_MAX else [])])
            text = f"{drain.worker} fits {len(ids)} workers: say which by its id, {listed}"
        self._ledger.turn.say(Answer(client, Refused(drain.number, "NoSuchWorker", text)))

    def _named(self, text: str) -> list[Worker]:
        """All workers of this name; if there is none, those whose id begins so; else those on this host."""
        known = [(worker, worker.hello) for worker in self._ledger.workers.values() if worker.hello is not None]
        named = [worker for worker, hello in known if hello.name == text]
        if not named and len(text) >= ID_DIGITS:
            named = [worker for worker, _ in known if worker.id.hex().startswith(text.lower())]
        return named or [worker for worker, hello in known if hello.host == text]

    def on_left(self, left: Left) -> None:
        """It holds nothing: whatever the ledger still say of it is queued again."""
        worker = self._ledger.workers.get(left.worker)
        if worker is not None and worker.hello is not None:
            self._ledger.turn.log("worker_left", worker=worker.hello.name, jobs=worker.done)
            self.loss.lose(worker, left=True)

    def _known(self, worker_id: bytes, now: float) -> Worker | None:
        """The worker, if it said hello; an unknown one is asked for that."""
        worker = self._ledger.workers.get(worker_id)
        if worker is None or worker.hello is None:
            if worker is not None:
                self.greet(worker)
            return None
        worker.heard_at = now
        worker.change()
        return worker

    # ------------------------------------------------------------------------------------ inventories

    def _compare(self, worker: Worker, now: float, *, exact: bool) -> list[LeaseSpan]:
        """Make the ledger agree with what the worker says it holds; returns what it must drop.

        `exact`: it comes with a hello, so that what was sent before and is not listed is void.
        """
        drop: list[LeaseSpan] = []
        believed: list[Held] = []
        for held in worker.inventory.values():
            if is_claimed(self._ledger, worker, held):
                continue
            if why := objection(self._ledger, worker, held):
                self._disbelieve(worker, held, why)
                drop += [LeaseSpan(held.lease, *span) for span in (*held.unstarted, *held.running)]
            else:
                believed.append(held)
        listed = {held.lease: held for held in believed}
        for number in list(worker.leases):
            lease = self._ledger.leases.records[number]
            if lease.taken or exact:
                self._miss(lease, listed.get(number))
        worker.running = [(held.batch, span) for held in believed for span in held.running]
        worker.finished = [(held.batch, span) for held in believed for span in held.finished]
        closed: list[RecordedSpan] = []
        for held in believed:
            for start, stop in (*held.unstarted, *held.running):
                drop += self._claim(worker, held, start, stop, now, finished=False)
            for start, stop in held.finished:
                closed += self._finished(worker, held, start, stop, now)
        if closed:
            self._ledger.turn.tell(worker.id, Closed(tuple(closed)))
        return drop

    def _disbelieve(self, worker: Worker, held: Held, why: str) -> None:
        """It goes on running none of it: what it says of it counts for nothing."""
        self.disbelieved += 1
        if is_to_be_logged(self.disbelieved) and worker.hello is not None:
            self._ledger.turn.log(
                "inventory_refused", worker=worker.hello.name, lease=held.lease, reason=why, count=self.disbelieved
            )

    def _miss(self, lease: LeaseRecord, held: Held | None) -> None:
        """Jobs that the ledger have under the lease and the worker does not: it never started them, queue them
        again."""
        there = SpanSet((*held.unstarted, *held.running, *held.finished)) if held is not None else SpanSet()
        for part in lease.parts:
            for start, stop in there.gaps(part.start, part.stop):
                for lost in self._ledger.backlog.carve(lease.chunk, start, stop):
                    if lost.lease == lease.number:
                        lost.given = False
                        self._ledger.queue(lost)

    def _claim(
        self, worker: Worker, held: Held, start: int, stop: int, now: float, *, finished: bool
    ) -> list[LeaseSpan]:
        """A worker holds a span: it is its own, or is adopted, or must be dropped."""
        batch = self._ledger.backlog.batches.get(held.batch)
        if batch is None:
            return [LeaseSpan(held.lease, start, stop)]
        chunk, record = batch.chunk_at(start), self._ledger.leases.records.get(held.lease)
        if chunk is not None and record is not None and record.chunk is not chunk:
            return [LeaseSpan(held.lease, start, stop)]  # a lease is of one chunk
        if chunk is None:
            if not batch.on_file(start):
                return [LeaseSpan(held.lease, start, stop)]
            self.claims[batch.id, start] = (worker, held, stop, finished)
            self._ledger.turn.say(LoadChunk(batch.id, start))
            return []
        kept = SpanSet()
        for part in self._ledger.backlog.carve(chunk, start, stop):
            if part.place is Place.LEASED and part.lease == held.lease:
                lease = self._ledger.leases.adopt(held.lease, chunk, worker, now)
                kept.add(part.start, part.stop)
            elif part.place in FREE and part.stamp == held.stamp:
                lease = self._ledger.leases.adopt(held.lease, chunk, worker, now)
                part.crashed = False
                self._ledger.lease(part, lease.number)
                self._ledger.leases.grow(lease, part.jobs)
                kept.add(part.start, part.stop)
            elif finished and part.place is Place.LEASED:
                kept.add(part.start, part.stop)  # somebody else has it now; the sink decides whose counts
        return [LeaseSpan(held.lease, *gap) for gap in kept.gaps(start, stop)]

    def _finished(self, worker: Worker, held: Held, start: int, stop: int, now: float) -> list[RecordedSpan]:
        """A worker holds an outcome: what of it is recorded is closed, the rest is its own."""
        closed = self._claim(worker, held, start, stop, now, finished=True)
        return [RecordedSpan(held.batch, span.start, span.stop, held.stamp) for span in closed]

    def hear_claims(self, absent: set[tuple[bytes, int]], now: float) -> None:
        """Chunks came into memory: decide the claims on them; one on an `absent` (batch, index) is void."""
        claims, self.claims = self.claims, {}
        for (batch, start), (worker, held, stop, finished) in claims.items():
            if self._ledger.workers.get(worker.id) is not worker:
                continue
            if (batch, start) in absent:
                drop = [LeaseSpan(held.lease, start, stop)]
            else:
                drop = self._claim(worker, held, start, stop, now, finished=finished)
            if drop and finished:
                self._ledger.turn.tell(
                    worker.id, Closed(tuple(RecordedSpan(batch, s.start, s.stop, held.stamp) for s in drop))
                )
            elif drop:
                self._ledger.turn.tell(worker.id, Drop(tuple(drop)))
