"""The worker's decisions.

Promises:

1. It starts nothing while it considers itself lost, nor, between a hello and its welcome, what that hello did not list.
2. What it reports is exact: every job it was given and has not given back, dropped or seen closed is in the inventory.
3. An outcome is sent until it is closed: at once, at every new connection to the sink, and after a while without.
4. What it hands back it has not started and never will.
5. A slot that dies costs the job that ran in it one crash, and its neighbours nothing.

A turn is any number of `handle`, then one `tick`.
"""

from __future__ import annotations

from typing import assert_never

from penstock.config import HEARTBEAT_INTERVAL, LEASE_TIME, RESEND
from penstock.core.actions import Actions, Deliver, FreeLease, Leave, Log, Report
from penstock.core.feed import CANCEL_PATIENCE, Feed, Piece
from penstock.core.held import Bytes, HeldLease, Holdings, Kept
from penstock.core.inputs import (
    FunctionReady,
    JobsConnected,
    PieceCut,
    PieceDone,
    Ran,
    SinkConnected,
    SlotDied,
    SlotReady,
    Stop,
)
from penstock.job import JobState
from penstock.messages import (
    Beat,
    CancelSpan,
    Closed,
    Drain,
    Drop,
    FunctionPart,
    Greeting,
    HandBack,
    HandedBack,
    Heartbeat,
    Hello,
    Jobs,
    LeaseSpan,
    Left,
    NeedFunction,
    Note,
    OutcomeHead,
    Took,
    VentilatorToWorker,
    Welcome,
    split,
)

LOOK_AHEAD = 2
"""Leases per slot that a worker wants when it knows nothing of how long they take."""
LOOK_AHEAD_SECONDS = 0.1
"""Of work per slot that a worker wants where jobs are short: many times the way to the ventilator and back."""
TOOK_DELAY = 0.002
"""Seconds: what has run by then is not reported as taken; its outcome says as much."""
WINDOW_MAX = 1024
"""Leases a worker never wants more of: each is some bytes in every inventory."""
KEPT_BYTES_MAX = 256 << 20
"""Outcomes not closed, in bytes, from which on a worker starts nothing: the sink is slow or away."""
RECORDS_PER_MESSAGE = 1_000
"""Outcomes in one message to the sink."""
BYTES_PER_MESSAGE = 8 << 20
"""Of values in one message to the sink, if it is more than one outcome."""
LEAVE_PATIENCE = 2.0
"""Seconds that a worker told twice to stop still waits for its outcomes to be closed."""
WEIGHT = 0.3
"""Of the newest lease in the running mean of a lease's duration."""

WorkerInput = (
    VentilatorToWorker
    | JobsConnected
    | SinkConnected
    | SlotReady
    | PieceDone
    | PieceCut
    | SlotDied
    | FunctionReady
    | Stop
)


class WorkerCore:
    """`hello` has who this worker is; its other fields are filled in for each hello."""

    def __init__(
        self,
        hello: Hello,
        now: float,
        *,
        lease_time: float = LEASE_TIME,
        heartbeat_interval: float = HEARTBEAT_INTERVAL,
    ) -> None:
        self._me = hello
        self._lease_time = lease_time
        self._interval = heartbeat_interval
        self.holdings = Holdings()
        self.feed = Feed(hello.slots, self.holdings)
        self._functions: set[bytes] = set()
        self._asked: dict[bytes, float] = {}
        self._greeting: Greeting | None = None
        self._jobs_connected = False
        self._joined = False
        self._lost = True
        self._number = 0
        self._hello_number = 0
        self._sent: dict[int, float] = {}
        """When each hello or heartbeat that was not echoed yet was sent, by number."""
        self._alive_at = now
        """When the newest echoed one was sent: the worker was alive for the ventilator then."""
        self._beat_at = now
        self._floor = 0
        """Leases below it are void when they come: the newest welcome said so."""
        self._arrivals: list[HeldLease] = []
        """What came before the welcome."""
        self._took: list[int] = []
        self._took_at: float | None = None
        """When they are to be reported."""
        self._told_window = 0
        self._outbox: list[Kept] = []
        self._looked_at = now
        self._lease_seconds: float | None = None
        self._draining = False
        self._leave_at: float | None = None
        self._left = False
        self._actions: Actions = []

    # ------------------------------------------------------------------------------------------ contract

    def handle(self, event: WorkerInput, now: float) -> Actions:
        """Take in what happened."""
        match event:
            case PieceDone():
                self._on_piece_done(event)
            case Jobs():
                self._on_jobs(event)
            case Closed():
                self._on_closed(event)
            case Beat():
                self._on_echo(event.echo)
            case Greeting():
                self._greeting = event
                self._joined = False
                self._say_hello(now)
            case Welcome():
                self._on_welcome(event, now)
            case HandBack():
                self._on_hand_back(event)
            case CancelSpan():
                for span in event.spans:
                    for held in self.holdings.of_batch(span.batch, span.start, span.stop):
                        self._drop(held, span.start, span.stop, now)
            case Drop():
                self._on_drop(event.spans, now)
            case SlotReady():
                self.feed.slot_ready(event.slot)
            case SlotDied():
                self._on_slot_died(event)
            case PieceCut():
                self._on_piece_cut(event)
            case FunctionReady():
                self._functions.add(event.function)
                self._asked.pop(event.function, None)
                self.holdings.function_ready(event.function)
            case JobsConnected():
                self._jobs_connected = True
                if not self._joined:
                    self._say_hello(now)
            case SinkConnected():
                self._send_again()
            case Drain():
                self._drain()
            case Stop():
                self._on_stop(now)
            case FunctionPart():
                pass  # put together outside; FunctionReady follows the last one
            case _:
                assert_never(event)
        return self._take()

    def tick(self, now: float) -> Actions:
        """Close the turn: start what can be started, send what piled up, say what is due."""
        if not self._lost and now - self._alive_at > self._lease_time / 2:
            self._joined, self._lost = False, True
            self._say(Log("lost_touch", {"seconds": round(now - self._alive_at, 1)}))
        if not self._lost and self.holdings.kept_bytes < KEPT_BYTES_MAX:
            self._actions += self.feed.fill(self._functions, now)
        self._actions += self.feed.relieve(now)
        self._report_took(now)
        if now >= self._beat_at + self._interval:
            self._beat(now)
        self._deliver(now)
        self._leave_if_done(now)
        return self._take()

    def next_wakeup(self) -> float | None:
        """When `tick` has something to do even if nothing happens."""
        due = [self._beat_at + self._interval]
        if self._took_at is not None:
            due.append(self._took_at)
        relief = self.feed.next_wakeup()
        if relief is not None:
            due.append(relief)
        return min(due)

    def check(self) -> None:
        """The invariants; AssertionError if one does not hold."""
        kept_bytes = 0
        for held in self.holdings.leases.values():
            assert not held.empty, "a held lease holds something"
            for a, b in (("unstarted", "running"), ("running", "finished"), ("unstarted", "finished")):
                for start, stop in getattr(held, a):
                    assert not getattr(held, b).overlap(start, stop), f"{a} and {b} have nothing in common"
            for kept in held.kept:
                assert kept.left, "what is closed is not kept"
                for start, stop in kept.left:
                    assert not held.finished.gaps(start, stop), "an outcome that is kept is of a finished job"
                kept_bytes += len(kept.body)
        assert kept_bytes == self.holdings.kept_bytes, "the bytes kept are counted right"

    @property
    def window(self) -> int:
        """How many leases this worker wants at once."""
        if self._draining or self.holdings.kept_bytes >= KEPT_BYTES_MAX:
            return 0
        least = LOOK_AHEAD * self._me.slots
        if not self._lease_seconds:
            return least
        return min(WINDOW_MAX, max(least, int(LOOK_AHEAD_SECONDS * self._me.slots / self._lease_seconds)))

    # ------------------------------------------------------------------------------------ to the ventilator

    def _say(self, action: Report | Log | Leave | FreeLease | Deliver) -> None:
        self._actions.append(action)

    def _take(self) -> Actions:
        actions, self._actions = self._actions, []
        return actions

    def _next_number(self, now: float) -> int:
        self._number += 1
        self._sent[self._number] = now
        self._beat_at = now
        for number in [number for number, at in self._sent.items() if now - at > self._lease_time]:
            del self._sent[number]
        return self._number

    def _say_hello(self, now: float) -> None:
        """To the newest greeting, once the job connection is up: until then rounds would miss this worker."""
        if self._greeting is None or not self._jobs_connected or self._left:
            return
        me, greeting = self._me, self._greeting
        held = tuple(held.line() for held in self.holdings.leases.values())
        number = self._next_number(now)
        self._hello_number = number
        self._say(
            Report(
                Hello(
                    me.worker,
                    greeting.life,
                    greeting.connection,
                    number,
                    me.name,
                    me.host,
                    me.pid,
                    me.slots,
                    self.window,
                    held,
                    me.python,
                )
            )
        )

    def _beat(self, now: float) -> None:
        self._beat_at = now
        if not self._joined:
            self._say_hello(now)
            return
        held = tuple(held.line() for held in self.holdings.leases.values())
        self._told_window = self.window
        self._say(Report(Heartbeat(self._me.worker, self._next_number(now), self.window, held)))
        for function, asked_at in self._asked.items():
            if now >= asked_at + RESEND:
                self._need(function, now)

    def _on_echo(self, number: int) -> None:
        sent_at = self._sent.pop(number, None)
        if sent_at is not None:
            self._alive_at = max(self._alive_at, sent_at)

    def _on_welcome(self, welcome: Welcome, now: float) -> None:
        if self._joined or welcome.number != self._hello_number:
            return
        self._on_echo(welcome.number)
        if now - self._alive_at > self._lease_time / 2:
            return  # late: that hello is no sign of life any more
        self._joined, self._lost = True, False
        self._on_drop(welcome.drop, now)
        self._floor = welcome.floor
        arrivals, self._arrivals = self._arrivals, []
        for held in arrivals:
            self._hold(held)

    # ------------------------------------------------------------------------------------ jobs come

    def _on_jobs(self, jobs: Jobs) -> None:
        heads = {head.batch: head for head in jobs.batches}
        self._functions.update(head.function for head in jobs.batches if head.inline == head.size)
        for lease in jobs.leases:
            if lease.batch not in heads:
                continue
            held = HeldLease(lease, heads[lease.batch])
            if self._joined:
                self._hold(held)
            else:
                self._arrivals.append(held)

    def _hold(self, held: HeldLease) -> None:
        if held.lease.number in self.holdings.leases:
            return
        if held.lease.number < self._floor:
            self._say(FreeLease(held.lease.number))
            return
        self.holdings.add(held)
        if self._draining:
            self._hand_back_all(0)
            return
        self._took.append(held.lease.number)
        if held.function not in self._functions and held.function not in self._asked:
            self._need(held.function, self._beat_at)

    def _report_took(self, now: float) -> None:
        if self._took and self._took_at is None:
            self._took_at = now + TOOK_DELAY
        if self._took_at is None or now < self._took_at:
            return
        numbers = tuple(number for number in self._took if number in self.holdings.leases)
        if numbers or self.window != self._told_window:
            self._told_window = self.window
            self._say(Report(Took(self._me.worker, numbers, self.window)))
        self._took, self._took_at = [], None

    def _need(self, function: bytes, now: float) -> None:
        self._asked[function] = now
        self._say(Report(NeedFunction(self._me.worker, function)))

    # ------------------------------------------------------------------------------------ jobs go

    def _on_hand_back(self, request: HandBack) -> None:
        """From the newest leases, last jobs first."""
        wanted = request.jobs
        spans: list[LeaseSpan] = []
        for held in self.holdings.newest_unstarted():
            taken = held.unstarted.take_last(wanted)
            spans += [LeaseSpan(held.lease.number, start, stop) for start, stop in taken]
            wanted -= sum(stop - start for start, stop in taken)
            self._drop_if_empty(held)
            if wanted <= 0:
                break
        self._say(Report(HandedBack(self._me.worker, request.number, tuple(spans))))

    def _hand_back_all(self, number: int) -> None:
        spans: list[LeaseSpan] = []
        for held in self.holdings.newest_unstarted():
            spans += [LeaseSpan(held.lease.number, start, stop) for start, stop in held.unstarted]
            for start, stop in held.unstarted:
                held.unstarted.remove(start, stop)
            self._drop_if_empty(held)
        if spans:
            self._say(Report(HandedBack(self._me.worker, number, tuple(spans))))

    def _on_drop(self, spans: tuple[LeaseSpan, ...], now: float) -> None:
        for span in spans:
            held = self.holdings.leases.get(span.lease)
            if held is not None:
                self._drop(held, span.start, span.stop, now)

    def _drop(self, held: HeldLease, start: int, stop: int, now: float) -> None:
        held.unstarted.remove(start, stop)
        for low, high in held.running.overlap(start, stop):
            held.dropped.add(low, high)
        self.feed.end(held, start, stop, now + CANCEL_PATIENCE)
        self._drop_if_empty(held)

    def _drop_if_empty(self, held: HeldLease) -> None:
        if held.empty and held.lease.number in self.holdings.leases:
            self.holdings.remove(held)
            self._say(FreeLease(held.lease.number))

    def _on_closed(self, closed: Closed) -> None:
        for span in closed.spans:
            for number in self.holdings.close(span.batch, span.start, span.stop):
                self._say(FreeLease(number))

    # ------------------------------------------------------------------------------------ jobs run

    def _on_piece_done(self, event: PieceDone) -> None:
        piece = self.feed.find(event.slot, event.piece)
        if piece is None:
            return
        bodies = split(event.payload, [ran.size for ran in event.ran])
        done, elapsed = piece.start, 0.0
        for ran, body in zip(event.ran, bodies, strict=True):
            self._finish(piece.held, event.slot, ran, body)
            done, elapsed = ran.stop, elapsed + ran.elapsed
        self.feed.remove(event.slot, piece)
        if done > piece.start:
            self.feed.observe(piece.held.function, done - piece.start, elapsed)
        self._unstart(piece.held, done, piece.stop)

    def _finish(self, held: HeldLease, slot: int, ran: Ran, body: Bytes, *, crashed: bool = False) -> None:
        stamp, spec = held.lease.stamp, held.spec
        final = True
        if crashed:
            final = spec.is_last_crash(stamp)
        elif ran.state is JobState.FAILED:
            final = spec.is_last_attempt(stamp)
        head = OutcomeHead(
            batch=held.lease.batch,
            start=ran.start,
            stop=ran.stop,
            state=ran.state,
            final=final,
            stamp=stamp,
            lease=held.lease.number,
            slot=slot,
            started_time=ran.started_time,
            elapsed=ran.elapsed,
            size=len(body),
            crashed=crashed,
            note=ran.note,
        )
        self._outbox.append(self.holdings.keep(held, head, body))
        if not held.unstarted and not held.running:
            known = self._lease_seconds
            self._lease_seconds = held.elapsed if known is None else known + WEIGHT * (held.elapsed - known)

    def _unstart(self, held: HeldLease, start: int, stop: int) -> None:
        self.holdings.unstart(held, start, stop)
        if self._draining:
            self._hand_back_all(0)

    def _on_piece_cut(self, event: PieceCut) -> None:
        piece = self.feed.find(event.slot, event.piece)
        if piece is None or event.stop >= piece.stop:
            return
        stop, piece.stop = piece.stop, event.stop
        self._unstart(piece.held, event.stop, stop)
        if piece.start >= piece.stop:
            self.feed.remove(event.slot, piece)

    def _on_slot_died(self, event: SlotDied) -> None:
        for piece in self.feed.slot_gone(event.slot):
            if piece.number == event.piece:
                self._bury(event, piece)
            self._unstart(piece.held, piece.start, piece.stop)
            self._drop_if_empty(piece.held)

    def _bury(self, event: SlotDied, piece: Piece) -> None:
        """The job in which a slot ended gets its outcome; who else was in the piece runs again."""
        index = event.index
        if index is None and piece.stop - piece.start == 1:
            index = piece.start
        if index is None:
            piece.held.careful = True
            return
        if event.state is JobState.CANCELLED:
            if self._leave_at is not None:
                piece.held.running.remove(index, index + 1)  # it has started: not to be handed back
            return
        note = event.note or Note(cause=event.cause)
        ran = Ran(index, index + 1, event.state, event.started_time, event.elapsed, 0, note)
        self._finish(piece.held, event.slot, ran, b"", crashed=event.state is JobState.DEAD)

    # ------------------------------------------------------------------------------------ outcomes

    def _send_again(self) -> None:
        waiting = {id(kept) for kept in self._outbox}
        for held in self.holdings.leases.values():
            self._outbox += [kept for kept in held.kept if id(kept) not in waiting]

    def _deliver(self, now: float) -> None:
        if now >= self._looked_at + RESEND / 2:
            self._looked_at = now
            self._find_unclosed(now)
        batch: list[Kept] = []
        size = 0
        for kept in self._outbox:
            if batch and (len(batch) >= RECORDS_PER_MESSAGE or size + len(kept.body) > BYTES_PER_MESSAGE):
                self._post(batch, now)
                batch, size = [], 0
            batch.append(kept)
            size += len(kept.body)
        if batch:
            self._post(batch, now)
        self._outbox = []

    def _find_unclosed(self, now: float) -> None:
        for held in self.holdings.leases.values():
            for kept in held.kept:
                if kept.sent_at is not None and now >= kept.sent_at + RESEND:
                    kept.sent_at = None
                    self._outbox.append(kept)

    def _post(self, batch: list[Kept], now: float) -> None:
        for kept in batch:
            kept.sent_at = now
        self._say(Deliver(tuple(kept.head for kept in batch), tuple(kept.body for kept in batch)))

    # ------------------------------------------------------------------------------------ leaving

    def _drain(self) -> None:
        self._draining = True
        self._hand_back_all(0)

    def _on_stop(self, now: float) -> None:
        if not self._draining:
            self._drain()
            return
        self._leave_at = now + LEAVE_PATIENCE
        for held in self.holdings.leases.values():
            self.feed.end(held, held.lease.start, held.lease.stop, now)

    def _leave_if_done(self, now: float) -> None:
        if self._left or not self._draining:
            return
        done = not self.holdings.leases and not self.feed.busy
        if done or (self._leave_at is not None and now >= self._leave_at):
            self._left = True
            self._say(Report(Left(self._me.worker)))
            self._say(Leave())
