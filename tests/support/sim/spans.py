"""The virtual network for many jobs: what runs, is recorded and is announced is told by spans, never by jobs.

The cores, the codec and the stores are the real ones, as in world.py. A slot ends a whole piece by one event, and the
oracle keeps sets of spans. A turn of a station lasts COMMIT, so that what arrives meanwhile is taken in together, as by
a real one.
"""

from __future__ import annotations

import itertools
import random
import struct
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from penstock.job.spans import Span, SpanSet
from penstock.job.spec import BatchSpec, JobState
from penstock.slot.protocol import Ran
from penstock.station import loop
from penstock.ventilator.backlog import WINDOW_CHUNKS
from penstock.wire.desk_messages import Accepted, BatchClose, BatchOpen, ChunkHead, Submit
from penstock.wire.frames import split
from penstock.wire.messages import Rows
from penstock.wire.records import Bytes, Lease, OutcomeHead
from penstock.worker.contract import PieceCut, PieceDone, Run, SlotDied
from support.sim.client import FUNCTION, ClientNode
from support.sim.network import Node
from support.sim.nodes import SinkNode, StationNode, VentilatorNode, WorkerNode
from support.sim.slots import Slot, VirtualSlots
from support.sim.world import World

COMMIT = 0.002
"""Seconds that a station is busy with a turn: about one commit to a disk."""
SPREAD = 0.1
"""Of the length of a job, up or down, drawn for each piece."""
MESSAGE_CHUNKS = 100
"""In one Submit."""
CRASHES = (0.2, 0.4)
"""When workers are killed, as a share of the jobs."""
AWAY = (0.5, 2.0)
"""Seconds that whoever is killed is away."""
STEP = 0.02
"""Seconds of virtual time between two looks whether all is done."""
LOOKS = 20
"""Times that the cores check their invariants."""
JOIN = 60.0
PATIENCE = 120.0
"""Seconds that a run may take beside its work, times ten."""
REST = 15.0
"""Seconds after the end in which everybody has said that there is nothing left."""
VALUE = struct.Struct("<QQ")
"""The values of a span: which one it is."""


class BusyNode(StationNode):
    """A station whose turns take their time, and are counted."""

    world: SpanWorld

    def start(self) -> None:
        super().start()
        for name in ("handle", "tick"):
            setattr(self.core, name, self._timed(getattr(self.core, name)))

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """What the core does, and how much of the CPU's time it takes."""

        def timed(*args: Any) -> Any:
            begun = time.thread_time()
            actions = call(*args)
            self.world.cpu[self.name] += time.thread_time() - begun
            return actions

        return timed

    def turn(self) -> None:
        super().turn()
        self.world.steps[self.name] += 1
        if self.alive:
            self.paused_until = self.world.now + COMMIT
            self.world.at(self.paused_until, self.go_on)

    def go_on(self) -> None:
        """Take in what came meanwhile."""
        patience = loop.patience(self.station)
        if self.alive and (self.links.poll(0.0) != ([], []) or (patience is not None and patience <= 0)):
            self.world.wake(self)


class SpanVentilator(BusyNode, VentilatorNode):
    """The ventilator, and how much it has in memory."""

    def turn(self) -> None:
        super().turn()
        ledger = self.core.ledger
        chunks = sum(len(batch.chunks) for batch in ledger.backlog.batches.values())
        most = self.world.most
        most["chunks"], most["leases"] = max(most["chunks"], chunks), max(most["leases"], len(ledger.leases.records))
        most["beyond leases"] = max(most["beyond leases"], chunks - len(ledger.leases.records))


class SpanSink(BusyNode, SinkNode):
    """The sink."""


class SpanSlot(Slot):
    """Its piece began at an instant, each of its jobs takes as long, and it ends at `stop`."""

    begun_at = 0.0
    each = 0.0
    start = stop = 0

    def begun(self, now: float) -> int:
        """The end of those of the piece that have begun."""
        return min(self.stop, self.start + int((now - self.begun_at) / self.each) + 1)


class SpanSlots(VirtualSlots):
    """Slots that end a piece by one event."""

    node: SpanWorker
    slots: dict[int, SpanSlot]  # type: ignore[assignment]  # each is made by `slot`

    def slot(self) -> SpanSlot:
        return SpanSlot()

    def kill(self) -> None:
        for slot in self.slots.values():
            self._break_off(slot)

    def _break_off(self, slot: SpanSlot) -> None:
        slot.life += 1
        if slot.queue:
            world, lease, stop = self.node.world, slot.queue[0].lease, slot.begun(self.node.world.now)
            world.ran_span(self.node, lease, slot.start, stop, world.now - slot.begun_at)
            world.excused[lease.batch].add(slot.start, stop)

    def begin(self, number: int) -> None:
        slot = self.slots[number]
        piece = slot.queue[0]
        slot.start, slot.stop = (
            piece.start,
            max(piece.start, min(piece.stop, slot.limits.get(piece.piece, piece.stop))),
        )
        slot.begun_at, slot.each = self.node.world.now, self.node.world.length()
        self._end_later(number)

    def _end_later(self, number: int) -> None:
        slot = self.slots[number]
        slot.life += 1
        end = slot.begun_at + (slot.stop - slot.start) * slot.each
        self.node.world.at(end, partial(self._end, number, slot.life), self.node)

    def _end(self, number: int, life: int) -> None:
        if self.slots[number].life == life and self.node.alive:
            self.finish(number)

    def finish(self, number: int) -> None:
        slot = self.slots[number]
        piece = slot.queue.pop(0)
        slot.limits.pop(piece.piece, None)
        self._say_ran(number, piece, slot.stop)
        if slot.queue:
            self.begin(number)

    def index(self, slot: Slot) -> int:
        assert isinstance(slot, SpanSlot)
        return slot.begun(self.node.world.now) - 1

    def _say_ran(self, number: int, piece: Run, stop: int, *, goes_on: bool = False) -> None:
        slot = self.slots[number]
        ran: tuple[Ran, ...] = ()
        if slot.start < stop:
            seconds = (stop - slot.start) * slot.each
            self.node.world.ran_span(self.node, piece.lease, slot.start, stop, seconds)
            ran = (Ran(slot.start, stop, JobState.SUCCEEDED, 1.0, seconds, VALUE.size),)
        self.say(PieceDone(number, piece.piece, ran, VALUE.pack(slot.start, stop) if ran else b"", goes_on))

    def cut(self, slot: int, piece: int) -> None:
        self.node.before_effect()
        one = self.slots[slot]
        for place, queued in enumerate(one.queue):
            if queued.piece == piece and place == 0:
                one.stop = one.begun(self.node.world.now)
                self._end_later(slot)
                self.say(PieceCut(slot, piece, one.stop))
            elif queued.piece == piece:
                one.limits[piece] = queued.start
                self.say(PieceCut(slot, piece, queued.start))

    def die(self, number: int, state: JobState, cause: str) -> None:
        slot = self.slots[number]
        piece, index = slot.queue[0], self.index(slot)
        if slot.start < index:
            self._say_ran(number, piece, index, goes_on=True)
            slot.start, slot.begun_at = index, self.node.world.now
        self._break_off(slot)
        slot.queue.clear()
        self.say(SlotDied(number, piece.piece, index, state, cause, 1.0, 0.1))
        self.restart(number)


class SpanWorker(WorkerNode):
    """A worker whose slots end a piece by one event."""

    world: SpanWorld
    slots_type = SpanSlots

    def start(self) -> None:
        self.world.idle_seconds += self.slot_count * (self.world.now - self.world.away.pop(self, self.world.now))
        super().start()

    def stop(self) -> None:
        """Killed: what it had begun or not delivered for certain may run again."""
        super().stop()
        for held in self.core.holdings.leases.values():
            begun, excused = self.world.begun[held.lease.batch], self.world.excused[held.lease.batch]
            for start, stop in (*held.finished, *held.running):  # a piece that has just ended runs for its core
                for span in begun.overlap(start, stop):
                    excused.add(*span)
        self.world.away[self] = self.world.now


class SpanClient(ClientNode):
    """A client that keeps spans."""

    world: SpanWorld

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.announced: dict[bytes, SpanSet] = defaultdict(SpanSet)

    def on_answer(self, message: Any, payload: Bytes) -> None:
        if isinstance(message, Accepted):
            self.unacked.pop(message.number, None)
        else:
            super().on_answer(message, payload)

    def on_rows(self, rows: Rows, payload: Bytes) -> None:
        position = self.position.get(rows.batch, 0)
        if rows.after != position:
            if rows.after > position:
                self.follow(rows.batch, position)
            return
        self.position[rows.batch] = rows.position
        announced = self.announced[rows.batch]
        for head, body in zip(rows.records, split(payload, [r.size for r in rows.records]), strict=True):
            if not head.final:
                continue
            assert head.state is JobState.SUCCEEDED, head
            begin, end = VALUE.unpack(body)
            assert begin + head.offset == head.start < head.stop <= end, f"values of others: {head}"
            self.doubled += [(rows.batch, start) for start, _ in announced.overlap(head.start, head.stop)]
            announced.add(head.start, head.stop)

    def submit_many(self, batch: bytes, spec: BatchSpec, jobs: int, chunk: int) -> None:
        """Submit a batch of so many jobs, in chunks of one size."""
        self.position[batch] = 0
        self.world.specs[batch], self.world.wanted[batch] = spec, jobs
        chunks = [ChunkHead(batch, first, min(chunk, jobs - first), 4) for first in range(0, jobs, chunk)]
        for at in range(0, len(chunks), MESSAGE_CHUNKS):
            some = tuple(chunks[at : at + MESSAGE_CHUNKS])
            opens = (BatchOpen(batch, spec, FUNCTION, 1),) if at == 0 else ()
            closes = (BatchClose(batch, jobs),) if at + MESSAGE_CHUNKS >= len(chunks) else ()
            submit = Submit(next(self.numbers), opens, some, closes)
            payload = b"f" * len(opens) + b"args" * len(some)
            self.unacked[submit.number] = (submit, payload)
            self.links.send("desk", submit, payload)
        self.follow(batch, 0)


class Fault(NamedTuple):
    """A node is killed when so many of the jobs (a share) are recorded, and is back after so many seconds."""

    share: float
    node: Node
    away: float

    def __str__(self) -> str:
        return f"{self.node.name} is killed at {self.share:.1%} of the jobs and back after {self.away:.2f} s"


class SpanWorld(World):
    """`seconds`: the length of a job."""

    ventilator_type, sink_type, worker_type, client_type = SpanVentilator, SpanSink, SpanWorker, SpanClient
    ventilator: SpanVentilator
    client: SpanClient

    def __init__(self, folder: Path, seed: int, workers: int, slots: int, seconds: float) -> None:
        self.seconds = seconds
        self.chance = random.Random(seed)
        self.steps: Counter[str] = Counter()
        """Turns of stations."""
        self.cpu: dict[str, float] = defaultdict(float)
        """Seconds of the cores of stations."""
        self.most: Counter[str] = Counter()
        """Of what the ventilator had in memory at once."""
        self.messages: Counter[tuple[str, str]] = Counter()
        """By direction and type."""
        self.largest: dict[str, int] = defaultdict(int)
        """Message of each type, in bytes."""
        self.wanted: dict[bytes, int] = {}
        """Jobs of each batch."""
        self.written: dict[bytes, SpanSet] = defaultdict(SpanSet)
        """What is in the sink's store."""
        self.begun: dict[bytes, SpanSet] = defaultdict(SpanSet)
        self.excused: dict[bytes, SpanSet] = defaultdict(SpanSet)
        """What may begin once more: it ran, or its outcome was not delivered for certain, where a process was ended."""
        self.repeated = 0
        """Jobs that began once more."""
        self.busy_seconds = 0.0
        """Of all slots."""
        self.idle_seconds = 0.0
        """Of slots of workers that were dead."""
        self.done = 0
        """Jobs that are recorded."""
        self.twice: list[tuple[float, str, Span]] = []
        """What began once more although nothing explains it: when, where."""
        self.away: dict[Node, float] = {}
        """Workers that are dead, and since when."""
        super().__init__(folder, seed, workers, slots, checking=False)

    def length(self) -> float:
        """Of each of the jobs of a piece, in seconds."""
        return self.seconds * self.chance.uniform(1 - SPREAD, 1 + SPREAD)

    def carried(self, direction: str, message: Any, size: int) -> None:
        name = type(message).__name__
        self.messages[direction, name] += 1
        self.largest[name] = max(self.largest[name], size)

    # ------------------------------------------------------------------------------------------ a run

    def faults_of(self, crashes: int) -> list[Fault]:
        """So many workers are killed between two and four tenths of the jobs, the ventilator at one half, the sink at
        seven tenths; each comes back."""
        ends: list[tuple[float, Node]] = [(0.5, self.ventilator), (0.7, self.sink)]
        ends += [(self.chance.uniform(*CRASHES), worker) for worker in self.chance.sample(self.workers, crashes)]
        faults = [Fault(share, node, self.chance.uniform(*AWAY)) for share, node in ends]
        return sorted(faults, key=lambda fault: fault.share)

    def _happen(self, fault: Fault) -> None:
        self.crash(fault.node)
        self.at(self.now + fault.away, partial(self.start, fault.node))

    def go(self, batches: list[bytes], jobs: int, chunk: int, faults: list[Fault], told: Callable[[], None]) -> float:
        """Have all done; `told` is called every STEP of virtual time. Returns the virtual seconds that it took."""
        self.run_until(lambda: len(self.ventilator.core.dispatcher.needs.ready) == len(self.workers), JOIN)
        begun, waiting, looks = self.now, faults[:], 0
        for at, batch in enumerate(batches):
            self.client.submit_many(
                batch, BatchSpec(), jobs * (at + 1) // len(batches) - jobs * at // len(batches), chunk
            )
        patience = 10 * (jobs * self.seconds / len(self.workers)) + PATIENCE
        while not self.settled:
            assert self.now < begun + patience, f"not within {patience:g} virtual seconds: {self.story()}"
            self.run(self.now + STEP)
            while waiting and self.done >= waiting[0].share * jobs:
                self._happen(waiting.pop(0))
            if self.done >= looks * jobs / LOOKS:
                looks += 1
                self.look()
            told()
        seconds = self.now - begun
        self.run(self.now + REST)
        self.judge()
        return seconds

    # ------------------------------------------------------------------------------------------ oracle

    def ran_span(self, worker: Node, lease: Lease, start: int, stop: int, seconds: float) -> None:
        """These jobs have begun; some may run on."""
        begun, excused = self.begun[lease.batch], self.excused[lease.batch]
        for low, high in begun.overlap(start, stop):
            self.repeated += high - low
            self.twice += [(self.now, worker.name, gap) for gap in excused.gaps(low, high)]
            excused.remove(low, high)
        begun.add(start, stop)
        self.busy_seconds += seconds

    def on_line(self, head: OutcomeHead) -> None:
        assert head.final, head
        written = self.written[head.batch]
        assert not written.overlap(head.start, head.stop), f"recorded twice: {head}"
        written.add(head.start, head.stop)
        self.done += head.stop - head.start

    @property
    def settled(self) -> bool:
        if self.client.unacked or not self.ventilator.alive:
            return False
        announced = self.client.announced
        if any(announced[batch].count < jobs for batch, jobs in self.wanted.items()):
            return False
        return all(batch.ended for batch in self.ventilator.core.ledger.backlog.batches.values())

    def story(self) -> str:
        return f"now={self.now:.2f} recorded={self.done:,} of {sum(self.wanted.values()):,} faults={dict(self.faults)}"

    def look(self) -> None:
        """The invariants of the cores that are alive; of the workers some."""
        nodes: list[StationNode] = [self.ventilator, self.sink, *itertools.islice(self.workers, 0, None, 97)]
        for node in nodes:
            if node.alive:
                node.core.check()

    def judge(self) -> None:
        """Every job was recorded and announced once, succeeded, and began once, unless a fault explains it; nothing is
        held by anybody any more."""
        for batch, jobs in self.wanted.items():
            whole = SpanSet([(0, jobs)])
            assert self.written[batch] == whole, f"not recorded: {self.written[batch].gaps(0, jobs)[:3]}"
            assert self.client.announced[batch] == whole, f"not told: {self.client.announced[batch].gaps(0, jobs)[:3]}"
            assert self.begun[batch] == whole
        assert not self.client.doubled, f"told twice: {self.client.doubled[:3]}"
        assert not self.twice, f"ran twice: {len(self.twice)}, {self.twice[:3]}"
        ledger = self.ventilator.core.ledger
        assert not ledger.leases.records, f"still leased: {list(ledger.leases.records)[:3]}"
        assert not ledger.leases.untaken
        assert not any(batch.chunks for batch in ledger.backlog.batches.values()), "what has ended is not in memory"
        for worker in self.workers:
            if worker.alive:
                assert not worker.core.holdings.leases, f"{worker.name} still holds something"
        assert self.most["beyond leases"] <= WINDOW_CHUNKS, f"more in memory than is leased: {dict(self.most)}"
        self.look()
