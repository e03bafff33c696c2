"""A virtual network with virtual time: the real cores, the real codec and the real stores, in one process.

Every message is encoded and decoded. Connections are in order, each on its own, and lost on their own: what is under
way on a lost connection is gone, and both ends learn of it. Time jumps to whatever comes next. All that is random comes
from one seed, so a schedule is replayed by its seed.

The oracle is the world's own history: what was acknowledged to the client, what ran where, what was announced.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from penstock.job.spec import BatchSpec, JobState
from penstock.sink.contract import (
    LinesRead,
    LogRead,
    OutcomesArrived,
    ReadLines,
    ReadLog,
    ReadRows,
    ReadSpan,
    RowsRead,
    SaveRow,
)
from penstock.sink.core import SinkCore
from penstock.sink.store import ResultStore
from penstock.slot.protocol import Ran
from penstock.station.contract import Answer, FromClient, Log, Renew, Report, Save
from penstock.station.lease_tokens import LeaseTokens
from penstock.ventilator.contract import (
    ChunkLoaded,
    ChunksLoaded,
    ClientSought,
    Deal,
    JobConnections,
    KeptLoaded,
    LoadChunk,
    LoadChunks,
    LoadKept,
    SeekClient,
    SendFunction,
    Subscribed,
    Tell,
    Unsubscribed,
)
from penstock.ventilator.core import VentilatorCore
from penstock.ventilator.store import QueueStore
from penstock.wire.frames import Decoder, encode, join, split
from penstock.wire.messages import (
    Accepted,
    BatchClose,
    BatchOpen,
    Cancel,
    Cancelled,
    ChunkHead,
    ClientToSink,
    ClientToVentilator,
    Completion,
    Follow,
    Hello,
    Jobs,
    OutcomeHead,
    Outcomes,
    Refused,
    Retried,
    Retry,
    Rows,
    SinkToClient,
    Submit,
    ToVentilator,
    VentilatorToClient,
    VentilatorToSink,
    VentilatorToWorker,
    WorkerToSink,
)
from penstock.worker.contract import (
    Cut,
    Deliver,
    EndSlot,
    FreeLease,
    JobsConnected,
    Leave,
    PieceCut,
    PieceDone,
    Run,
    SinkConnected,
    SlotDied,
    SlotReady,
    SlotUnfit,
    Stop,
    Touch,
)
from penstock.worker.core import WorkerCore

LATENCY = 0.0005
"""Seconds a message is under way, plus as much again at random."""
NOTICE = 1.8
"""Seconds after which a dead link is noticed (ZMTP heartbeats, as measured)."""
RECONNECT = 0.1
LATE = 5.0
"""Seconds: a lease time. A worker that was out of reach starts nothing after it."""
CLIENT = b"client".ljust(16)
FUNCTION = b"function".ljust(16)
SEAL = LeaseTokens(b"seal")
"""Every lease of the virtual network is sealed, and every outcome must be of one."""

union = {
    "desk>": Decoder(ClientToVentilator),
    "<desk": Decoder(VentilatorToClient),
    "report>": Decoder(ToVentilator),
    "<jobs": Decoder(VentilatorToWorker),
    "<control": Decoder(VentilatorToWorker | VentilatorToSink),
    "outcomes>": Decoder(WorkerToSink),
    "results>": Decoder(ClientToSink),
    "<results": Decoder(SinkToClient),
}


class Connection:
    """One TCP connection: `outer` connected to `inner`, which binds."""

    def __init__(self, kind: str, outer: Node, inner: Node) -> None:
        self.kind = kind
        self.outer = outer
        self.inner = inner
        self.up = False
        self.life = 0
        self.cut_at: float | None = None
        self.one_way: Node | None = None
        self.held: list[tuple[Node, Any, bytes]] = []
        self.last = {outer: 0.0, inner: 0.0}
        self.deaf = False
        """Whether the ventilator did not admit its subscription."""
        self.flushed: tuple[int, Node] | None = None
        """A life of the connection that ended by the death of this node, of which what it had sent still arrives."""


class Node:
    """A process: it may be dead or paused; its inbox waits while it is paused."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.alive = False
        self.paused_until = 0.0
        self.inbox: list[Any] = []
        self.core: Any = None
        self.place = 0
        """Among the nodes: of those that have something to do the first one has its turn first."""
        self.is_awake = False
        self.wakeup_at = math.inf
        """When it is woken, if nothing happens before."""
        self.turns = 0
        self.crash_at: tuple[int, str] | None = None
        """Crash in the turn of this number: before commit, after commit, or after the first send."""

    def start(self) -> None:
        self.alive = True
        self.core = None
        self.wakeup_at = math.inf

    def put(self, event: Any) -> None:
        if self.alive:
            self.inbox.append(event)
            self.world.wake(self)

    def turn(self) -> None:
        """What loop.turn does, with crashes in between."""
        now = self.world.now
        inbox, self.inbox = self.inbox, []
        self.turns += 1
        crash = self.crash_at[1] if self.crash_at is not None and self.crash_at[0] <= self.turns else ""
        while True:
            actions: list[Any] = []
            for event in inbox:
                actions += self.core.handle(event, now)
            actions += self.core.tick(now)
            if self.world.checking:
                self.core.check()
            if crash == "before commit":
                self.world.crash(self)
                return
            saves = [action for action in actions if isinstance(action, Save)]
            if saves:
                self.save(saves)
            effects = [action for action in actions if not isinstance(action, (Save, Log))]
            self.world.logged += [action for action in actions if isinstance(action, Log)]
            inbox = []
            if crash == "after commit":
                self.world.crash(self)
                return
            for at, action in enumerate(effects):
                if crash == "after send" and at:
                    break
                inbox += self.perform(action) or []
            if crash:
                self.world.crash(self)
                return
            if not inbox or not self.alive:
                break
        wakeup = self.core.next_wakeup()
        if wakeup is not None and self.alive:
            self.wake_at(max(wakeup, now + 1e-4))

    def wake_at(self, when: float) -> None:
        """One wake-up at a time: another one only if it is earlier."""
        if when < self.wakeup_at:
            self.wakeup_at = when
            self.world.at(when, partial(self._wakeup, when), self)

    def _wakeup(self, when: float) -> None:
        if when == self.wakeup_at:
            self.wakeup_at = math.inf
            self.world.wake(self)

    def save(self, saves: list[Any]) -> None:
        raise NotImplementedError

    def perform(self, action: Any) -> list[Any] | None:
        raise NotImplementedError


class VentilatorNode(Node):
    """The ventilator with its real queue file."""

    def start(self) -> None:
        super().start()
        self.store = QueueStore(self.world.folder / "queue", self.world.durable)
        self.life = self.store.begin_life()
        self.core = VentilatorCore(
            self.life,
            self.store.batches(),
            self.store.applied(),
            self.world.now,
            wall_time=self.world.now,
            seed=self.world.random.getrandbits(32),
            forgotten=self.store.forgotten(),
            seal=SEAL,
        )
        self.rotation = itertools.count()
        self.world.wake(self)

    def stop(self) -> None:
        self.world.leave(self.store)

    def save(self, saves: list[Any]) -> None:
        self.store.save(saves)

    def payload(self, jobs: Any) -> bytes:
        functions = [self.store.function(head.function) for head in jobs.batches if head.inline]
        return bytes(join([*functions, *(self.store.chunk(lease.batch, lease.first) for lease in jobs.leases)]))

    def perform(self, action: Any) -> list[Any] | None:
        world = self.world
        match action:
            case Tell(topic, message):
                connection = world.connection("control", topic)
                if connection is not None and not connection.deaf:
                    world.send(connection, self, message, self.payload(message) if isinstance(message, Jobs) else b"")
            case Answer(_, message, payload):
                world.send(world.connections["desk", world.client.name], self, message, bytes(payload))
            case SeekClient(client):
                return [ClientSought(client, world.connections["desk", world.client.name].up)]
            case Deal(messages):
                ups = list(world.jobs_up)
                for message in messages if ups else ():
                    world.send(ups[next(self.rotation) % len(ups)], self, message, self.payload(message))
            case LoadChunks(batch, first, limit):
                return [ChunksLoaded(batch, limit, self.store.open_chunks(batch, first, limit))]
            case LoadChunk(batch, index):
                return [ChunkLoaded(batch, index, self.store.open_chunk_at(batch, index))]
            case LoadKept(batch, start, stop):
                return [KeptLoaded(batch, start, stop, self.store.kept(batch, start, stop))]
            case SendFunction():
                raise AssertionError("functions are small here")
            case _:
                raise AssertionError(action)
        return None


class SinkNode(Node):
    """The sink with its real results file."""

    def start(self) -> None:
        super().start()
        self.store = ResultStore(self.world.folder / "results", self.world.durable)
        self.id = self.world.name(self)
        self.core = SinkCore(
            self.world.random.getrandbits(60),
            self.store.head(),
            self.store.recorded(),
            self.store.claims(),
            sink=self.id,
            seal=SEAL,
        )
        self.world.wake(self)

    def stop(self) -> None:
        self.world.leave(self.store)

    def save(self, saves: list[Any]) -> None:
        self.store.save(saves)
        for row in saves:
            if isinstance(row, SaveRow):
                self.world.on_line(row.head)

    def perform(self, action: Any) -> list[Any] | None:
        world = self.world
        match action:
            case Report(message):
                world.send(world.connections["report", self.name], self, message, b"")
            case Renew():
                world.renew(self)
            case Answer(_, message, payload):
                world.send(world.connections["results", world.client.name], self, message, bytes(payload))
            case ReadRows(client, batch, after, limit):
                records, payload, position, more = self.store.rows_after(batch, after, limit)
                return [RowsRead(client, batch, records, payload, position, more)]
            case ReadLog(after, limit):
                chain, lines, more = self.store.log_after(after, limit)
                return [LogRead(after, chain, lines, more)]
            case ReadLines(after, limit):
                return [LinesRead(after, *self.store.lines_after(after, limit))]
            case ReadSpan():
                raise AssertionError("nobody fetches here")
            case _:
                raise AssertionError(action)
        return None


class Slot:
    """A slot in virtual time: pieces one after the other, one event for each job."""

    def __init__(self) -> None:
        self.queue: list[Run] = []
        self.lease: dict[int, Any] = {}
        self.limits: dict[int, int] = {}
        self.life = 0
        self.index: int | None = None
        self.done: list[int] = []


class WorkerNode(Node):
    """A worker with virtual slots."""

    slot_type = Slot

    def __init__(self, world: World, name: str, slots: int, tags: tuple[str, ...] = ()) -> None:
        super().__init__(world, name)
        self.slot_count = slots
        self.tags = tags

    def start(self) -> None:
        super().start()
        self.id = self.world.name(self)
        self.slots: dict[int, Any] = {number: self.slot_type() for number in range(self.slot_count)}
        self.leases: dict[int, Any] = {}
        hello = Hello(self.id, 0, 0, 0, self.name, "host", 1, self.slot_count, 0, (), "3", self.tags)
        self.core = WorkerCore(hello, self.world.now)
        for number in self.slots:
            self.inbox.append(SlotReady(number))
        self.world.wake(self)

    def stop(self) -> None:
        for slot in self.slots.values():
            slot.life += 1
        for jobs in self.world.running.values():
            jobs -= {job for job in jobs if job[0] == self.name}

    def save(self, saves: list[Any]) -> None:
        raise AssertionError(saves)

    def perform(self, action: Any) -> list[Any] | None:
        world = self.world
        match action:
            case Report(message):
                world.send(world.connections["report", self.name], self, message, b"")
            case Deliver(records, bodies, tokens):
                message = Outcomes(self.id, self.name, records, tokens)
                world.send(world.connections["outcomes", self.name], self, message, bytes(join(list(bodies))))
            case Run():
                slot = self.slots[action.slot]
                slot.queue.append(action)
                slot.lease[action.piece] = self.leases[action.lease]
                if len(slot.queue) == 1:
                    self.begin(action.slot)
            case Cut(number, piece):
                self.cut(number, piece)
            case EndSlot(number, piece, state, cause):
                slot = self.slots[number]
                if slot.queue and slot.queue[0].piece == piece:
                    self.die(number, state, cause)
            case FreeLease(lease):
                self.leases.pop(lease, None)
            case Touch():
                pass  # a slot of this world stands still with its worker
            case Renew():
                world.renew(self)
            case Leave():
                world.crash(self)
            case _:
                raise AssertionError(action)
        return None

    def accept(self, message: Any) -> None:
        """Jobs arrived: remember the leases, as the real worker does with their payloads."""
        for lease in message.leases:
            self.leases.setdefault(lease.number, lease)

    def begin(self, number: int) -> None:
        slot = self.slots[number]
        run = slot.queue[0]
        slot.done = []
        self.step(number, run.start)

    def step(self, number: int, index: int) -> None:
        slot = self.slots[number]
        run = slot.queue[0]
        if index >= min(run.stop, slot.limits.get(run.piece, run.stop)):
            self.finish(number)
            return
        lease = slot.lease[run.piece]
        slot.index = index
        life = slot.life
        self.world.ran(self, lease, index)
        fate, seconds = self.world.job(lease.batch, index, lease.stamp)

        def end() -> None:
            if slot.life != life or not self.alive:
                return
            self.world.running_with(lease.batch).discard((self.name, lease.batch, index))
            if fate == "kill":
                self.world.crash(self)
                self.world.at(self.world.now + 0.5, partial(self.world.start, self))
            elif fate == "crash":
                self.die(number, JobState.DEAD, "killed by SIGKILL")
            else:
                slot.done.append(index)
                self.step(number, index + 1)

        self.world.at(self.world.now + seconds, end, self)

    def finish(self, number: int) -> None:
        slot = self.slots[number]
        run = slot.queue.pop(0)
        lease = slot.lease.pop(run.piece)
        slot.index = None
        ran, bodies = [], []
        for index in slot.done:
            fate, seconds = self.world.job(lease.batch, index, lease.stamp)
            body = msgspec.msgpack.encode([index * index])
            state = JobState.FAILED if fate == "fail" else JobState.SUCCEEDED
            ran.append(Ran(index, index + 1, state, 1.0, seconds, len(body)))
            bodies.append(body)
        self.put(PieceDone(number, run.piece, tuple(ran), b"".join(bodies)))
        if slot.queue:
            self.begin(number)

    def die(self, number: int, state: JobState, cause: str) -> None:
        slot = self.slots[number]
        run = slot.queue[0]
        if slot.index is not None:
            batch = slot.lease[run.piece].batch
            self.world.running_with(batch).discard((self.name, batch, slot.index))
        slot.queue.clear()
        slot.life += 1
        self.put(SlotDied(number, run.piece, slot.index, state, cause, 1.0, 0.1))
        slot.index = None
        life = slot.life
        self.world.at(self.world.now + 0.05, lambda: self.put(SlotReady(number)) if slot.life == life else None, self)

    def fail(self, cause: str) -> None:
        """The processes of all its slots end, and no others can be started."""
        for number, slot in self.slots.items():
            if slot.queue:
                self.die(number, JobState.DEAD, cause)
            else:
                self.put(SlotDied(number, None, None, JobState.DEAD, cause, 1.0, 0.0))
            slot.life += 1
            self.put(SlotUnfit(number, cause))

    def mend(self) -> None:
        """They can be again."""
        for number in self.slots:
            self.put(SlotReady(number))

    def cut(self, number: int, piece: int) -> None:
        slot = self.slots[number]
        for place, run in enumerate(slot.queue):
            if run.piece == piece:
                stop = slot.index + 1 if place == 0 and slot.index is not None else run.start
                slot.limits[piece] = stop
                self.put(PieceCut(number, piece, stop))


class ClientNode(Node):
    """A client that submits batches, sends again what is not acknowledged, and follows."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "client")
        self.unacked: dict[int, tuple[Submit, bytes]] = {}
        self.recalls: dict[int, Cancel] = {}
        """Requests to cancel what has not started that are not answered."""
        self.recalled: list[tuple[float, Cancel, int]] = []
        """Those that were: when, and how many were cancelled."""
        self.numbers = itertools.count(1)
        self.position: dict[bytes, int] = {}
        self.outcomes: dict[tuple[bytes, int], OutcomeHead] = {}
        self.values: dict[tuple[bytes, int], int] = {}
        self.doubled: list[tuple[bytes, int]] = []
        self.asked: dict[int, Retry] = {}
        """Retries without an answer."""
        self.retried: dict[bytes, int] = {}
        """How many jobs each retry opened again, as it was answered."""
        self.core = self

    def start(self) -> None:
        self.alive = True
        self.world.wake(self)

    def handle(self, event: Any, now: float) -> list[Any]:
        match event:
            case ("up", "desk"):
                for submit, payload in list(self.unacked.values()):
                    self.world.send(self.world.connections["desk", self.name], self, submit, payload)
                for recall in list(self.recalls.values()):
                    self.world.send(self.world.connections["desk", self.name], self, recall, b"")
                for retry in list(self.asked.values()):
                    self.world.send(self.world.connections["desk", self.name], self, retry, b"")
            case ("up", "results"):
                for batch, position in self.position.items():
                    self.follow(batch, position)
            case (Accepted() as accepted, _):
                entry = self.unacked.pop(accepted.number, None)
                if entry is not None:
                    for chunk in entry[0].chunks:
                        self.world.acked |= {(chunk.batch, i) for i in range(chunk.first, chunk.first + chunk.count)}
            case (Cancelled() as cancelled, _) if cancelled.number in self.recalls:
                self.recalled.append((now, self.recalls.pop(cancelled.number), cancelled.jobs))
            case (Retried(number, jobs), _):
                if number in self.asked:
                    self.retried[self.asked.pop(number).asked] = jobs
            case (Refused(number, kind, text), _):  # of a retry: nothing else is refused here
                assert number not in self.asked, f"{kind}: {text}"
            case (Rows() as rows, payload):
                self.on_rows(rows, payload)
            case _:
                pass
        return []

    def on_rows(self, rows: Rows, payload: bytes) -> None:
        position = self.position.get(rows.batch, 0)
        if rows.after != position:
            if rows.after > position:
                self.follow(rows.batch, position)  # a gap: something before was lost
            return
        self.position[rows.batch] = rows.position
        for head, body in zip(rows.records, split(payload, [r.size for r in rows.records]), strict=True):
            if head.stamp.opens:
                for job in [(rows.batch, index) for index in range(head.start, head.stop)]:
                    self.outcomes.pop(job, None)
                    self.values.pop(job, None)
            if not head.final:
                continue
            values = msgspec.msgpack.decode(body) if len(body) else []
            for index in range(head.start, head.stop):
                if (rows.batch, index) in self.outcomes:
                    self.doubled.append((rows.batch, index))
                self.outcomes[rows.batch, index] = head
                if head.state is JobState.SUCCEEDED:
                    self.values[rows.batch, index] = values[head.offset + index - head.start]

    def tick(self, now: float) -> list[Any]:
        if now >= getattr(self, "resend_at", 0.0):
            self.resend_at = now + 2.0
            self.handle(("up", "desk"), now)
            self.handle(("up", "results"), now)
        return []

    def check(self) -> None:
        assert not self.doubled, f"announced twice: {self.doubled[:3]}"

    def next_wakeup(self) -> float:
        return self.resend_at

    def follow(self, batch: bytes, after: int) -> None:
        self.world.send(self.world.connections["results", self.name], self, Follow(batch, after, 1 << 30), b"")

    def submit(self, batch: bytes, spec: BatchSpec, chunks: list[int], *, close: bool = True) -> None:
        """Submit a batch of chunks with so many jobs each, a message for each chunk."""
        first = 0
        self.position[batch] = 0
        self.world.specs[batch] = spec
        for at, count in enumerate(chunks):
            opens = (BatchOpen(batch, spec, FUNCTION, 1),) if at == 0 else ()
            last = close and at == len(chunks) - 1
            closes = (BatchClose(batch, first + count),) if last else ()
            submit = Submit(next(self.numbers), opens, (ChunkHead(batch, first, count, 4),), closes)
            payload = b"f" * len(opens) + b"args"
            self.unacked[submit.number] = (submit, payload)
            self.world.attempted |= {(batch, i) for i in range(first, first + count)}
            self.world.send(self.world.connections["desk", self.name], self, submit, payload)
            first += count
        self.follow(batch, 0)

    def cancel(self, batch: bytes, start: int, stop: int, *, unstarted_only: bool = False) -> None:
        """Cancel some jobs, once: whether that arrives is up to the network."""
        self.world.cancelled |= {(batch, index) for index in range(start, stop)}
        cancel = Cancel(next(self.numbers), batch, start, stop, unstarted_only)
        self.world.send(self.world.connections["desk", self.name], self, cancel, b"")

    def recall(self, batch: bytes, start: int, stop: int) -> None:
        """Cancel those of some jobs that have not started; asked again until it is answered."""
        self.world.cancelled |= {(batch, index) for index in range(start, stop)}
        cancel = Cancel(next(self.numbers), batch, start, stop, True)
        self.recalls[cancel.number] = cancel
        self.world.send(self.world.connections["desk", self.name], self, cancel, b"")

    def retry(self, batch: bytes, start: int, stop: int) -> None:
        """Ask until it is answered."""
        retry = Retry(next(self.numbers), self.world.fresh_id(), batch, start, stop)
        self.asked[retry.number] = retry
        self.world.send(self.world.connections["desk", self.name], self, retry, b"")


def line_head(line: Completion) -> OutcomeHead:
    """As much of an outcome as the log has."""
    return OutcomeHead(
        line.batch, line.start, line.stop, line.state, line.final, line.stamp, line.lease, 0, 0.0, line.elapsed, 0
    )


class World:
    """All nodes, connections and the clock."""

    ventilator_type, sink_type, worker_type, client_type = VentilatorNode, SinkNode, WorkerNode, ClientNode

    def __init__(
        self,
        folder: Path,
        seed: int,
        workers: int = 3,
        slots: int = 2,
        *,
        checking: bool = True,
        durable: bool = False,
        tags: tuple[tuple[str, ...], ...] = (),
    ) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.now = 1000.0
        self.checking = checking
        self.durable = durable
        self.leave: Callable[[QueueStore | ResultStore], None] = lambda store: store.close()
        """What becomes of the store of a node that dies."""
        self.events: list[tuple[float, int, Node | None, Callable[[], Any]]] = []
        self.serial = itertools.count()
        self.awake: list[tuple[int, Node]] = []
        """Heap of (place, node)."""
        self.logged: list[Log] = []
        self.attempted: set[tuple[bytes, int]] = set()
        self.acked: set[tuple[bytes, int]] = set()
        self.cancelled: set[tuple[bytes, int]] = set()
        """Those that the client asked to cancel."""
        self.specs: dict[bytes, BatchSpec] = {}
        self.recorded: set[tuple[bytes, int]] = set()
        """Those whose final outcome is in the sink's store."""
        self.finals: Counter[tuple[bytes, int, int]] = Counter()
        """How often each was recorded as ended, by (batch, index, generation)."""
        self.damaged = False
        """Whether the results file has lost something."""
        self.opened: dict[tuple[bytes, int], list[int]] = defaultdict(list)
        """The generations in which each was opened again."""
        self.needless: list[tuple[float, str, int]] = []
        """Starts (when, where, index) of jobs that were recorded already."""
        self.starts: dict[tuple[bytes, int], list[tuple[float, str, Any]]] = defaultdict(list)
        self.running: dict[bytes, set[tuple[str, bytes, int]]] = defaultdict(set)
        """What runs now: (where, batch, index), by batch or by the group that shares its limit."""
        self.exceeded: list[tuple[float, set[tuple[str, bytes, int]]]] = []
        """When more jobs of these ran than their limit, and which."""
        self.fates: Callable[[bytes, int, Any], tuple[str, float]] = lambda *_: ("ok", 0.01)
        self.loss = 0.0
        self.duplication = 0.0
        self.deafness = 0.0
        """How many of the control connections that come up hear nothing."""
        self.faults: Counter[str] = Counter()
        self.ventilator = self.ventilator_type(self, "ventilator")
        self.sink = self.sink_type(self, "sink")
        self.workers = [self.worker_type(self, f"w{i}", slots, *tags[i : i + 1]) for i in range(workers)]
        self.client = self.client_type(self)
        self.nodes: list[Node] = [self.ventilator, self.sink, *self.workers, self.client]
        for place, node in enumerate(self.nodes):
            node.place = place
        self.named: dict[bytes, Node] = {}
        """By the id of each life of a worker or a sink."""
        self.connections: dict[tuple[str, str], Connection] = {}
        self.connections_of: dict[Node, list[Connection]] = defaultdict(list)
        self.jobs_up: dict[Connection, None] = {}
        """Of kind "jobs", in the order in which they came up."""
        for kind, outer, inner in self._plan():
            connection = self.connections[kind, outer.name] = Connection(kind, outer, inner)
            self.connections_of[outer].append(connection)
            self.connections_of[inner].append(connection)
        for node in self.nodes:
            self.start(node)

    def _plan(self) -> list[tuple[str, Node, Node]]:
        plan: list[tuple[str, Node, Node]] = [
            ("desk", self.client, self.ventilator),
            ("results", self.client, self.sink),
            ("report", self.sink, self.ventilator),
            ("control", self.sink, self.ventilator),
        ]
        for worker in self.workers:
            plan += [(kind, worker, self.ventilator) for kind in ("report", "control", "jobs")]
            plan.append(("outcomes", worker, self.sink))
        return plan

    def fresh_id(self) -> bytes:
        return self.random.randbytes(16)

    def name(self, node: Node) -> bytes:
        """The id of a new life."""
        new = self.fresh_id()
        self.named[new] = node
        return new

    # ------------------------------------------------------------------------------------------ time

    def at(self, when: float, call: Callable[[], Any], node: Node | None = None) -> None:
        heapq.heappush(self.events, (when, next(self.serial), node, call))

    def wake(self, node: Node) -> None:
        """It has a turn; who is dead or paused is woken when that ends."""
        if not node.is_awake and node.alive and node.paused_until <= self.now:
            node.is_awake = True
            heapq.heappush(self.awake, (node.place, node))

    def step(self) -> None:
        """The next thing that happens."""
        while self.awake:
            node = heapq.heappop(self.awake)[1]
            node.is_awake = False
            if node.alive and node.paused_until <= self.now:
                node.turn()
                return
        when, _, owner, call = heapq.heappop(self.events)
        self.now = max(self.now, when)
        if isinstance(owner, WorkerNode) and owner.paused_until > self.now:
            self.at(owner.paused_until, call, owner)  # its slots stand still with it
            return
        call()

    def run(self, until: float) -> None:
        """Let time pass."""
        while self.now < until and (self.events or self.awake):
            self.step()

    def run_until(self, condition: Callable[[], bool], limit: float) -> None:
        """Let time pass until something is so; the limit is virtual seconds."""
        end = self.now + limit
        while not condition():
            assert self.now < end, f"not within {limit} virtual seconds: {self.story()}"
            self.step()

    # ------------------------------------------------------------------------------------------ network

    def connection(self, kind: str, topic: bytes) -> Connection | None:
        node = self.named.get(topic)
        return self.connections[kind, node.name] if node is not None and getattr(node, "id", None) == topic else None

    def send(self, connection: Connection, sender: Node, message: Any, payload: bytes) -> None:
        if not connection.up:
            return
        if self.loss and self.random.random() < self.loss:
            self.faults["lost"] += 1
            return
        direction = f"{connection.kind}>" if sender is connection.outer else f"<{connection.kind}"
        frame = encode(message, payload)
        decoded = union[direction].decode(frame).message
        assert decoded == message
        self.carried(direction, message, len(frame))
        copies = 1
        if self.duplication and connection.kind not in ("jobs", "control") and self.random.random() < self.duplication:
            copies = 2
            self.faults["duplicated"] += 1
        for _ in range(copies):
            if connection.cut_at is not None and connection.one_way in (None, sender):
                connection.held.append((sender, decoded, payload))
            else:
                self._post(connection, sender, decoded, payload)

    def carried(self, direction: str, message: Any, size: int) -> None:
        """A message of so many bytes was sent."""

    def _post(self, connection: Connection, sender: Node, message: Any, payload: bytes) -> None:
        when = max(self.now + LATENCY * (1 + self.random.random()), connection.last[sender] + 1e-7)
        connection.last[sender] = when
        life = connection.life
        self.at(when, partial(self._arrive, connection, life, sender, message, payload))

    def _arrive(self, connection: Connection, life: int, sender: Node, message: Any, payload: bytes) -> None:
        if connection.life == life or connection.flushed == (life, sender):
            self._deliver(connection, sender, message, payload)

    def _deliver(self, connection: Connection, sender: Node, message: Any, payload: bytes) -> None:
        receiver = connection.inner if sender is connection.outer else connection.outer
        if isinstance(receiver, ClientNode):
            receiver.put((message, payload))
        elif isinstance(receiver, VentilatorNode) and connection.kind == "desk":
            receiver.put(FromClient(CLIENT, message, payload, 1.0))
        elif isinstance(receiver, SinkNode) and connection.kind == "results":
            receiver.put(FromClient(CLIENT, message, payload))
        elif isinstance(receiver, SinkNode) and connection.kind == "outcomes":
            bodies = tuple(split(payload, [record.size for record in message.records]))
            receiver.put(OutcomesArrived(message.worker, message.name, message.records, bodies, message.tokens))
        else:
            if isinstance(receiver, WorkerNode) and isinstance(message, Jobs):
                receiver.accept(message)
            receiver.put(message)

    def connect(self, connection: Connection) -> None:
        if connection.up or not (connection.outer.alive and connection.inner.alive) or connection.cut_at is not None:
            return
        connection.up = True
        connection.life += 1
        self._tell_ends(connection)

    def disconnect(self, connection: Connection) -> None:
        if not connection.up:
            return
        connection.up = False
        connection.life += 1
        connection.held.clear()
        self._tell_ends(connection)
        self.at(self.now + RECONNECT, lambda: self.connect(connection))

    def renew(self, node: Node) -> None:
        """A node connects to control anew, if it is connected."""
        self.disconnect(self.connections["control", node.name])

    def _tell_ends(self, connection: Connection) -> None:
        kind, outer, inner, up = connection.kind, connection.outer, connection.inner, connection.up
        if kind == "control":
            connection.deaf = self.deafness > 0 and up and self.random.random() < self.deafness
            if connection.deaf:
                self.faults["deaf"] += 1
                return
            inner.put(Subscribed(outer.id) if up else Unsubscribed(outer.id))  # type: ignore[attr-defined]
        elif kind == "jobs":
            if up:
                self.jobs_up[connection] = None
            else:
                self.jobs_up.pop(connection, None)
            inner.put(JobConnections(len(self.jobs_up)))
            if up:
                outer.put(JobsConnected())
        elif kind == "outcomes" and up:
            outer.put(SinkConnected())
        elif kind in ("desk", "results") and up:
            outer.put(("up", kind))

    # ------------------------------------------------------------------------------------------ faults

    def start(self, node: Node) -> None:
        if node.alive:
            return
        node.paused_until = 0.0
        node.start()
        for connection in self.connections_of[node]:
            self.at(self.now + RECONNECT * self.random.random(), partial(self.connect, connection))

    def crash(self, node: Node) -> None:
        """kill -9: connections drop at once, what was not committed is gone; what was sent may arrive or not."""
        if not node.alive:
            return
        node.alive = False
        node.crash_at = None
        node.inbox.clear()
        for connection in self.connections_of[node]:
            connection.flushed = (connection.life, node) if self.random.random() < 0.5 else None
            self.disconnect(connection)
        node.stop()  # type: ignore[attr-defined]
        self.faults[f"crash {type(node).__name__}"] += 1

    def pause(self, node: Node, seconds: float) -> None:
        """SIGSTOP for a while; a dead link is noticed by the others meanwhile only if it lasts."""
        node.paused_until = max(node.paused_until, self.now + seconds)
        self.at(node.paused_until, lambda: self.wake(node))
        self.faults[f"pause {type(node).__name__}"] += 1
        if seconds > NOTICE:
            for connection in self.connections_of[node]:
                self.at(self.now + NOTICE, partial(self._notice, node, connection, connection.life))

    def _notice(self, node: Node, connection: Connection, life: int) -> None:
        if connection.life == life and node.paused_until > self.now:
            self.disconnect(connection)

    def cut(self, connection: Connection, seconds: float, one_way: Node | None = None) -> None:
        """The link stands still; noticed after NOTICE, when all that is under way is lost; else it arrives late."""
        if connection.cut_at is not None:
            return
        connection.cut_at = self.now
        connection.one_way = one_way
        self.faults["cut"] += 1

        def heal() -> None:
            connection.cut_at = None
            held, connection.held = connection.held, []
            for sender, message, payload in held:
                self._post(connection, sender, message, payload)
            self.connect(connection)

        if seconds > NOTICE:
            self.at(self.now + NOTICE, lambda: self.disconnect(connection))
        self.at(self.now + seconds, heal)

    def stop_worker(self, worker: WorkerNode) -> None:
        """SIGTERM."""
        worker.put(Stop())

    # ------------------------------------------------------------------------------------------ oracle

    def job(self, batch: bytes, index: int, stamp: Any) -> tuple[str, float]:
        return self.fates(batch, index, stamp)

    def running_with(self, batch: bytes) -> set[tuple[str, bytes, int]]:
        """What runs now of a batch and of those that share its limit."""
        return self.running[self.specs[batch].limit_group or batch]

    def ran(self, worker: WorkerNode, lease: Any, index: int) -> None:
        self.starts[lease.batch, index].append((self.now, worker.name, lease.stamp))
        running, limit = self.running_with(lease.batch), self.specs[lease.batch].limit
        running.add((worker.name, lease.batch, index))
        if limit is not None and len(running) > limit:
            self.exceeded.append((self.now, set(running)))
        if (lease.batch, index) in self.recorded:
            self.needless.append((self.now, worker.name, index))

    def lose_end(self, copy: Path) -> None:
        """The sink comes back with an older copy of its results file, and the client reads anew."""
        assert not self.sink.alive
        folder = self.folder / "results"
        shutil.rmtree(folder, ignore_errors=True)
        if copy.exists():
            shutil.copytree(copy, folder)
        self.damaged = True
        self.recorded.clear()
        self.finals.clear()
        self.opened.clear()
        store = ResultStore(folder, durable=False)
        for head in [line_head(line) for line in store.lines_after(0, 1 << 30)[3]]:
            self.on_line(head)
        store.close()
        client = self.client
        client.position = dict.fromkeys(client.position, 0)
        client.outcomes.clear()
        client.values.clear()

    def on_line(self, head: OutcomeHead) -> None:
        """The sink recorded a line."""
        jobs = [(head.batch, index) for index in range(head.start, head.stop)]
        if head.final:
            self.recorded.update(jobs)
            self.finals.update((*job, head.stamp.generation) for job in jobs)
        elif head.stamp.opens:
            self.recorded.difference_update(jobs)
            for job in jobs:
                self.opened[job].append(head.stamp.generation)

    @property
    def settled(self) -> bool:
        """Every submitted job is acknowledged and has an outcome, and the ventilator knows."""
        return (
            not self.client.unacked
            and not self.client.asked
            and set(self.client.outcomes) >= self.attempted
            and self.ventilator.alive
            and all(batch.ended for batch in self.ventilator.core.ledger.backlog.batches.values())
        )

    def story(self) -> str:
        """What to print when a promise is broken."""
        lost = sorted(self.attempted - set(self.client.outcomes))[:5]
        return (
            f"now={self.now:.2f} unacked={len(self.client.unacked)} missing={[(b[:1], i) for b, i in lost]}"
            f" of {len(self.attempted)} faults={dict(self.faults)}"
            f" alive={[node.name for node in self.nodes if node.alive]}"
            f" places={self.places(lost)}"
            f" log={[(log.event, log.fields) for log in self.logged[-6:]]}"
        )

    def places(self, jobs: list[tuple[bytes, int]]) -> list[str]:
        """Where the ventilator, the sink and the workers believe some jobs to be."""
        found = []
        for batch_id, index in jobs:
            batch = self.ventilator.core.ledger.backlog.batches.get(batch_id)
            chunk = batch.chunk_at(index) if batch else None
            parts = [p for p in chunk.parts if p.start <= index < p.stop] if chunk else []
            line = f"{index}: " + ", ".join(f"{p.place.value} lease={p.lease} {p.stamp}" for p in parts)
            for worker in self.workers:
                for held in worker.core.holdings.of_batch(batch_id, index, index + 1):
                    line += f"; {worker.name}: {held.line()}"
            found.append(line)
        return found

    def judge(self) -> None:
        """lost = unexpected = doubled = wrong = 0; nobody was cancelled unasked; what may be started once was; each
        retry opened once, and what came of it counts."""
        outcomes = self.client.outcomes
        assert set(outcomes) == self.attempted, self.story()
        assert not self.client.doubled
        cancelled = {job for job, head in outcomes.items() if head.state is JobState.CANCELLED}
        unasked = {job for job in cancelled - self.cancelled if self.specs[job[0]].expires_time is None}
        assert not unasked, f"cancelled unasked: {sorted(unasked)[:3]}"
        for job, starts in self.starts.items():
            stamps = [stamp for _, _, stamp in starts]
            once = self.specs[job[0]].max_crashes == 1
            assert not once or len(set(stamps)) == len(stamps), f"job {job[1]} must not start twice: {starts}"
        for when, recall, jobs in self.client.recalled:
            self.judge_recall(when, recall, jobs)
        for (_, index), value in self.client.values.items():
            assert value == index * index
        self.judge_terms()
        self._judge_retries()

    def judge_terms(self) -> None:
        """Nothing started before its time, or where it may not."""
        tags = {worker.name: set(worker.tags) for worker in self.workers}
        for job, starts in self.starts.items():
            spec = self.specs[job[0]]
            wrong = [start for start in starts if not set(spec.needs) <= tags[start[1]]]
            wrong += [start for start in starts if spec.worker not in {"", "host", start[1]}]
            assert not wrong, f"job {job[1]} started where it may not: {wrong[:3]}"
            early = [start for start in starts if start[0] < spec.not_before_time]
            assert not early, f"job {job[1]} started before {spec.not_before_time}: {early[:3]}"

    def judge_recall(self, when: float, recall: Cancel, jobs: int) -> None:
        """What was said to be cancelled is; nothing of it starts after the answer, or, where the answer said nothing of
        a job, after the lease time of the worker that held it."""
        for index in range(recall.start, recall.stop):
            late = [start for start in self.starts[recall.batch, index] if start[0] > when + LATE]
            assert not late, f"job {index} started at {late} although recalled at {when}"
        if jobs == recall.stop - recall.start:
            for index in range(recall.start, recall.stop):
                state = self.client.outcomes[recall.batch, index].state
                assert state is JobState.CANCELLED, f"job {index} is {state}, answered as cancelled at {when}"

    def _judge_retries(self) -> None:
        outcomes = self.client.outcomes
        assert set(self.finals.values()) <= {1}, "one outcome of each job in each generation"
        for job, generations in self.opened.items():
            assert generations == sorted(set(generations)), (
                f"job {job[1]} is opened once in a generation: {generations}"
            )
            assert outcomes[job].stamp.generation == generations[-1], f"the newest outcome of {job[1]} counts"
        opened = sum(map(len, self.opened.values()))
        assert self.damaged or sum(self.client.retried.values()) == opened, "what was said is what was opened"
        for batch in self.ventilator.core.ledger.backlog.batches.values():
            states = Counter(str(head.state) for (of, _), head in outcomes.items() if of == batch.id)
            counts = {str(state): jobs for state, jobs in batch.counts.items() if jobs}
            assert counts == states, f"{counts} counted, {states} recorded"

    def close(self) -> None:
        """Close the stores."""
        for node in (self.ventilator, self.sink):
            if node.alive:
                node.stop()
