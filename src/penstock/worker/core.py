"""The worker's decisions.

Promises:

1. It starts nothing while it considers itself lost, nor, between a hello and its welcome, what that hello did not list.
2. What it reports is exact: every job it was given and has not given back, dropped or seen closed is in the inventory.
3. An outcome is sent until it is closed: at once, at every new connection to the sink, and after a while without.
4. What it hands back it has not started and never will.

A turn is any number of `handle`, then one `tick`.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from penstock.station.contract import Actions, Log, Report
from penstock.station.control_silence import ControlSilence
from penstock.wire import messages, records
from penstock.wire.bounds import HEARTBEAT_INTERVAL, LEASE_TIME, RESEND
from penstock.worker import contract
from penstock.worker.fitness import Fitness
from penstock.worker.hand_back import HandBacks
from penstock.worker.held_lease import HeldLease
from penstock.worker.holdings import Holdings
from penstock.worker.inventory import Inventory
from penstock.worker.lease_receipts import Receipts
from penstock.worker.lifetime import Lifetime
from penstock.worker.membership import Membership
from penstock.worker.outbox import Outbox
from penstock.worker.slot_feed import CANCEL_PATIENCE, SlotFeed
from penstock.worker.slot_results import SlotResults

WINDOW = 1024
"""Leases a worker never wants more of: each is some bytes in every inventory."""
HELD_BYTES_MAX = 256 << 20
"""Of outcomes that are not closed, from which on a worker starts nothing: the sink is slow or away. Of these and of
arguments and functions together, from which on it wants no more than a lease for each slot."""
ALONE_LEASES = 6.0
"""Lease times without the ventilator after which a worker that drains, and runs nothing any more, leaves with what it
could not deliver: whoever gets these jobs runs them again."""


class WorkerCore:
    """`hello` has who this worker is; its other fields are filled in for each hello. `lifetime`: when it
    goes. `outlet`: the socket to the sink, in words."""

    def __init__(
        self,
        hello: messages.Hello,
        now: float,
        *,
        lease_time: float = LEASE_TIME,
        heartbeat_interval: float = HEARTBEAT_INTERVAL,
        lifetime: Lifetime | None = None,
        outlet: str = "",
    ) -> None:
        self._me = hello
        self._lease_time = lease_time
        self.holdings: Holdings = Holdings()
        self._inventory = Inventory(self.holdings)
        self.feed: SlotFeed = SlotFeed(hello.slots, self.holdings)
        self._fitness = Fitness(hello.slots, outlet)
        self._sink_is_heard = False
        """By the ventilator, which said so in its newest beat."""
        self._hand_backs = HandBacks(hello.worker, self.holdings, self.feed)
        self._membership = Membership(hello, now, lease_time, heartbeat_interval, self.feed.in_slots)
        self._outbox = Outbox(self.holdings, now)
        self._hearing = ControlSilence(lease_time)
        self._lifetime = lifetime or Lifetime(now)
        self._runs = SlotResults(self.holdings, self.feed, self._outbox)
        self._asked: dict[bytes, float] = {}
        """When each function that is not here yet was asked for."""
        self._floor = 0
        """Leases below it are void when they come: the newest welcome said so."""
        self._arrivals: list[HeldLease] = []
        """What came before the welcome."""
        self._receipts, self._told_window = Receipts(), 0
        self._draining = self._left = False
        self._pipeline = self._strange = b""
        """Whose leases it holds, if any; and of which other pipeline it was greeted since."""
        self._actions: Actions = []

    # ------------------------------------------------------------------------------------------ contract

    def handle(self, event: contract.WorkerInput, now: float) -> Actions:
        """Take in what happened."""
        self._hearing.hear(event, now)
        match event:
            case contract.PieceDone():
                self._came_back(self._runs.on_piece_done(event))
            case messages.Jobs():
                self._on_jobs(event, now)
            case messages.Closed():
                self._on_closed(event, now)
            case messages.Beat():
                self._on_beat(event)
            case messages.Greeting():
                self._on_greeting(event, now)
            case messages.Welcome():
                self._on_welcome(event, now)
            case messages.HandBack():
                self._actions += self._hand_backs.newest(event)
            case messages.Recall():
                self._actions += self._hand_backs.recall(event)
            case messages.CancelSpan():
                self._on_cancel(event, now)
            case messages.Drop():
                self._on_drop(event.spans, now)
            case contract.SlotReady() | contract.SlotRetires() | contract.SlotUnfit():
                self._on_slot(event, now)
            case contract.SlotDied():
                if event.left:
                    self._say(Log("not_ended", {"slot": event.slot, "pid": event.left}))
                self._came_back(*self._runs.on_slot_died(event))
            case contract.PieceCut():
                self._came_back(self._runs.on_piece_cut(event))
            case contract.FunctionReady():
                self.holdings.functions.arrived(event.function, event.size)
                self._asked.pop(event.function, None)
                self.holdings.function_ready(event.function)
            case contract.JobsConnected() | contract.SinkConnected():
                self._on_connected(event, now)
            case contract.JobPrinted():
                self._runs.on_printed(event)
            case messages.LiveAck(number, is_kept):
                self._outbox.taken(now)
                (self._outbox.uploads.recorded if is_kept else self._outbox.live_output.acknowledged)(number)
            case messages.Drain():
                self._drain("asked to", now)
            case contract.Stop():
                self._on_stop(now)
            case messages.TakeStack() | contract.StackSeen():
                self._on_stack(event)
            case contract.PartsArriving():
                self._asked = dict.fromkeys(self._asked, now)  # what was asked for comes, or what is before it
            case contract.PartsUnderWay(to_sink):
                (self._outbox.under_way if to_sink else self._membership.wait)(now)
            case records.PartsTaken():
                self._outbox.taken(now)
            case messages.FunctionPart() | records.Part() | messages.Upgrade():
                pass  # the process puts them together, and says so
            case _:
                assert_never(event)
        return self._take()

    def tick(self, now: float) -> Actions:
        """Close the turn: start what can be started, send what piled up, say what is due."""
        if self._membership.loses_touch(now):
            self._say(Log("lost_touch", {"seconds": round(self._membership.silence(now), 1)}))
        self._look_at_the_clock(now)
        self._look_at_outcomes(now)
        self._actions += self._membership.touch()
        if not self._membership.lost and self.holdings.kept_bytes < HELD_BYTES_MAX:
            self._actions += self.feed.fill(self.holdings.functions.here, now)
        self._actions += [*self.feed.relieve(now), *self._hearing.look(now)]
        if self._membership.joined and (self._fitness.broken or self.feed.is_stuck(now)):
            self._actions += self._hand_backs.everything()
        self._report_took(now)
        if now >= self._membership.beat_due_at:
            self._beat(now)
        self._actions += self._outbox.deliver(now)
        if not self._arrivals:
            self._actions += self.holdings.functions.forget()
        self._leave_if_done(now)
        return self._take()

    def next_wakeup(self) -> float | None:
        """When `tick` has something to do even if nothing happens."""
        lifetime = self._lifetime.next_wakeup(draining=self._draining)
        outbox = self._outbox.next_wakeup()
        due = (self._membership.beat_due_at, self._receipts.due_at, outbox, self.feed.next_wakeup(), lifetime)
        return min(instant for instant in due if instant is not None)

    def check(self) -> None:
        """The invariants; AssertionError if one does not hold."""
        self.holdings.check()

    @property
    def window(self) -> int:
        """How many leases this worker can have at once; how many it is given of them the ventilator decides."""
        holds_enough = self.holdings.held_bytes >= HELD_BYTES_MAX and len(self.holdings.leases) >= self._me.slots
        is_full = holds_enough or self.holdings.kept_bytes >= HELD_BYTES_MAX
        return 0 if self._draining or self._fitness.broken or is_full else WINDOW

    # ------------------------------------------------------------------------------------ to the ventilator

    def _say(self, action: Report | Log | contract.Leave | contract.FreeLease) -> None:
        self._actions.append(action)

    def _take(self) -> Actions:
        actions, self._actions = self._actions, []
        return actions

    def _say_hello(self, now: float) -> None:
        if self._membership.can_say_hello and not self._left:
            hello = self._membership.hello(self.window, now, self._fitness.broken)
            self._say(Report(replace(hello, held=self._inventory.whole(hello.number))))

    def _beat(self, now: float) -> None:
        self._membership.postpone(now)
        if not self._membership.joined:
            self._say_hello(now)
            return
        self._told_window = self.window
        beat = self._membership.heartbeat(self.window, now, self._fitness.broken)
        held, gone = self._inventory.since(beat.since, beat.number)
        self._say(Report(replace(beat, held=held, gone=gone, leaving=self._draining)))
        self._asked = {one: at for one, at in self._asked.items() if self.holdings.functions.is_used(one)}
        for function in [function for function, asked_at in self._asked.items() if now >= asked_at + RESEND]:
            self._need(function, now)

    def _on_beat(self, beat: messages.Beat) -> None:
        self._membership.echoed(beat.echo, beat.pace)
        self._sink_is_heard = beat.sink

    def _on_stack(self, event: messages.TakeStack | contract.StackSeen) -> None:
        match event:
            case messages.TakeStack(number, batch, index):
                self._actions.append(contract.LookAtStack(number, batch, index))
            case contract.StackSeen(number, text):
                self._say(Report(messages.StackTaken(self._me.worker, number, text)))

    def _on_greeting(self, greeting: messages.Greeting, now: float) -> None:
        """Who holds something of one pipeline says nothing to the ventilator of another: that would have it dropped."""
        is_strange = bool(self._pipeline and greeting.pipeline and greeting.pipeline != self._pipeline)
        if is_strange and self.holdings.leases:
            if self._strange != greeting.pipeline:
                self._strange = greeting.pipeline
                names = {"here": greeting.pipeline.hex()[:8], "held": self._pipeline.hex()[:8]}
                self._say(Log("other_pipeline", {**names, "leases": len(self.holdings.leases)}))
            return
        self._pipeline, self._strange = greeting.pipeline or self._pipeline, b""
        self._membership.greeted(greeting)
        self._say_hello(now)

    def _on_connected(self, event: contract.JobsConnected | contract.SinkConnected, now: float) -> None:
        if isinstance(event, contract.JobsConnected):
            self._membership.jobs_connected = True
        else:
            self._membership.sink_connected = True
            self._outbox.send_all_again()
        if not self._membership.joined:
            self._say_hello(now)

    def _on_welcome(self, welcome: messages.Welcome, now: float) -> None:
        if not self._membership.welcomed(welcome, now):
            return
        self._on_drop(welcome.drop, now)
        self._floor = welcome.floor
        arrivals, self._arrivals = self._arrivals, []
        for held in arrivals:
            self._hold(held, now)

    def _on_slot(self, event: contract.SlotReady | contract.SlotRetires | contract.SlotUnfit, now: float) -> None:
        match event:
            case contract.SlotReady(slot):
                self.feed.slot_ready(slot)
                self._note(self._fitness.ready(slot), now)
            case contract.SlotRetires(slot, cause):
                self.feed.slot_retires(slot)
                self._actions += self._fitness.replaced(slot, cause, now)
            case contract.SlotUnfit(slot, cause):
                self._note(self._fitness.unfit(slot, cause), now)

    def _note(self, changes: list[Log], now: float) -> None:
        """What was seen of the slots changes what can be run here."""
        if changes:
            self._actions += changes
            self._beat(now)  # the window, before what is handed back

    # ------------------------------------------------------------------------------------ jobs come

    def _on_jobs(self, jobs: messages.Jobs, now: float) -> None:
        heads = {head.batch: head for head in jobs.batches}
        for head in jobs.batches:
            if head.inline == head.size:
                self.holdings.functions.arrived(head.function, head.size)
        for lease in jobs.leases:
            if lease.batch not in heads:
                continue
            held = HeldLease(lease, heads[lease.batch])
            if self._membership.joined:
                self._hold(held, now)
            else:
                self._arrivals.append(held)

    def _hold(self, held: HeldLease, now: float) -> None:
        if held.lease.number in self.holdings.leases:
            return
        if held.lease.number < self._floor:
            self._say(contract.FreeLease(held.lease.number))
            return
        self.holdings.add(held)
        if self._draining:
            self._actions += self._hand_backs.everything()
            return
        self._receipts.add(held.lease.number)
        if held.function not in self.holdings.functions.here and held.function not in self._asked:
            self._need(held.function, now)

    def _report_took(self, now: float) -> None:
        numbers = self._receipts.due(now)
        if numbers is None:
            return
        leases = [self.holdings.leases[number].lease for number in numbers if number in self.holdings.leases]
        if leases or self.window != self._told_window:
            self._told_window = self.window
            numbers, tokens = [one.number for one in leases], [one.token for one in leases if one.token]
            self._say(Report(messages.Took(self._me.worker, tuple(numbers), self.window, tuple(tokens))))

    def _need(self, function: bytes, now: float) -> None:
        self._asked[function] = now
        self._say(Report(messages.NeedFunction(self._me.worker, function)))

    # ------------------------------------------------------------------------------------ jobs go

    def _on_cancel(self, message: messages.CancelSpan, now: float) -> None:
        for span in message.spans:
            for held in self.holdings.of_batch(span.batch, span.start, span.stop):
                self._drop(held, span.start, span.stop, now)

    def _on_drop(self, spans: tuple[records.LeaseSpan, ...], now: float) -> None:
        for span in spans:
            held = self.holdings.leases.get(span.lease)
            if held is not None:
                self._drop(held, span.start, span.stop, now)

    def _drop(self, held: HeldLease, start: int, stop: int, now: float) -> None:
        held.unstarted.remove(start, stop)
        for low, high in held.running.overlap(start, stop):
            held.dropped.add(low, high)
        self._actions += self.feed.cut(held, start, stop)[1]
        self.feed.end(held, start, stop, now + CANCEL_PATIENCE)
        self._actions += self._hand_backs.release((held,))

    def _came_back(self, *leases: HeldLease | None) -> None:
        """Slots are done with something of these leases."""
        unable, self._runs.unable = self._runs.unable, []
        self._actions += [action for jobs in unable for action in self._hand_backs.unable(*jobs)]
        self._actions += self._hand_backs.settle()
        if self._draining:
            self._actions += self._hand_backs.everything()
        self._actions += self._hand_backs.release(held for held in leases if held is not None)

    def _on_closed(self, closed: messages.Closed, now: float) -> None:
        self._outbox.taken(now)
        for span in closed.spans:
            for number in self.holdings.close(span):
                self._say(contract.FreeLease(number))

    def _look_at_outcomes(self, now: float) -> None:
        """While the sink is away for everybody this worker runs on, as far as its memory reaches; alone without it, it
        leaves the jobs to others."""
        is_heard = self._membership.joined and self._sink_is_heard
        self._note(self._fitness.delivers(can=not self._outbox.stands(now, sink_is_heard=is_heard)), now)

    # ------------------------------------------------------------------------------------ leaving

    def _look_at_the_clock(self, now: float) -> None:
        busy = bool(self.holdings.leases) or self.feed.busy
        if not self._draining and (reason := self._lifetime.drains(now, busy=busy)):
            self._drain(reason, now)
        if self._draining and self._lifetime.is_over(now):
            self._on_stop(now)

    def _drain(self, reason: str, now: float) -> None:
        if not self._draining:
            self._say(Log("drains", {"reason": reason}))
        self._draining = True
        self._beat(now)  # the window: what is handed back is not to come again
        self._actions += self._hand_backs.everything()

    def _on_stop(self, now: float) -> None:
        if not self._draining:
            self._lifetime.tell(now)
            self._drain("signal", now)
            return
        if not self._lifetime.hurry(now):
            return
        self._runs.hurried = True
        for held in self.holdings.leases.values():
            self.feed.end(held, held.lease.start, held.lease.stop, now)

    def _leave_if_done(self, now: float) -> None:
        if self._left or not self._draining:
            return
        done = not self.holdings.leases and not self.feed.busy
        is_alone = not self.feed.busy and self._membership.silence(now) > ALONE_LEASES * self._lease_time
        if done or is_alone or now >= self._lifetime.leaves_at:
            self._left = True
            if undelivered := sum(held.finished.count for held in self.holdings.leases.values()):
                self._say(Log("left_undelivered", {"jobs": undelivered}))
            self._say(Report(messages.Left(self._me.worker)))
            self._say(contract.Leave(undelivered))
