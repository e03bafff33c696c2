"""A ventilator, and a worker's core, on a bench: one turn at a time, with the real codec and the real queue file.

Every message passes through the codec, and a turn returns all that it sent, so that a test which compares the list also
says that nothing else was sent.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.keys.roles import EVERYONE
from penstock.keys.roles import Peer as Sender
from penstock.slot.protocol import Ran
from penstock.station import loop
from penstock.station.clock import Clock
from penstock.station.contract import FromClient, Log, Report, Save
from penstock.station.permissions import Bindings
from penstock.ventilator.contract import JobConnections, Subscribed, Unsubscribed, WallClock
from penstock.ventilator.core import VentilatorCore
from penstock.ventilator.jobs_model import Part, Place
from penstock.ventilator.process import Ventilator
from penstock.ventilator.store import QueueStore
from penstock.wire.desk_messages import BatchClose, BatchOpen, ChunkHead, Submit, VentilatorToClient
from penstock.wire.frames import Decoder, encode
from penstock.wire.messages import (
    Beat,
    Completions,
    Greeting,
    Heartbeat,
    Hello,
    InSlot,
    Jobs,
    SinkHead,
    ToVentilator,
    VentilatorToSink,
    VentilatorToWorker,
    Welcome,
    payload_bytes,
)
from penstock.wire.records import OPENS, BatchHead, Bytes, Completion, Held, Lease, Message
from penstock.worker.contract import Deliver, JobsConnected, PieceDone, Run, SinkConnected, SlotReady, Touch
from penstock.worker.core import WorkerCore
from penstock.worker.lifetime import Lifetime
from support.surroundings import Logged, QuietLinks, QuietOrders, logger_to

T = TypeVar("T")

BATCH = b"batch".ljust(16)
CLIENT = b"client"
FUNCTION = b"function".ljust(16)
SINK = b"sink".ljust(16)
BOOT = 7
NOW = 100.0
"""When a bench begins."""
OUTLET = "tcp://store:5558 (outcomes)"
BEAT = 1.0
"""Seconds between heartbeats, as configured by default."""

_to_client = Decoder(VentilatorToClient)
_control = Decoder(VentilatorToWorker | VentilatorToSink)
_report = Decoder(ToVentilator)


def of(kind: type[T], messages: Iterable[object]) -> list[T]:
    """Those of a kind."""
    return [message for message in messages if isinstance(message, kind)]


class Peer:
    """A worker as the ventilator sees it: what it says is up to the test."""

    def __init__(
        self,
        bench: VentilatorBench,
        name: str,
        slots: int,
        window: int,
        tags: tuple[str, ...] = (),
        users: tuple[str, ...] = (),
        opens: tuple[str, ...] = OPENS,
    ) -> None:
        self.bench = bench
        self.name = name
        self.id = name.encode().ljust(16)
        self.slots = slots
        self.window = window
        self.tags = tags
        self.users = users
        self.opens = opens
        self.broken = ""
        self.numbers = itertools.count(1)

    def hello(self, greeting: Greeting, *held: Held) -> Hello:
        """The answer to a greeting."""
        number = next(self.numbers)
        return Hello(
            self.id,
            greeting.life,
            greeting.connection,
            number,
            self.name,
            "host",
            1,
            self.slots,
            self.window,
            held,
            "3",
            self.tags,
            users=self.users,
            opens=self.opens,
            broken=self.broken,
        )

    def beat(self, *held: Held, slots: tuple[InSlot, ...] = ()) -> Heartbeat:
        """A heartbeat with this inventory."""
        return Heartbeat(self.id, next(self.numbers), 0 if self.broken else self.window, held, self.broken, slots)

    def connect(self) -> Greeting:
        """A new control connection; returns its greeting."""
        (greeting,) = of(Greeting, self.bench.told(self, Subscribed(self.id)))
        return greeting

    def disconnect(self) -> None:
        """The control connection drops."""
        self.bench.turn(Unsubscribed(self.id))


class RecordingLinks(QuietLinks):
    """Keeps what is sent, by receiver; whole rounds of jobs are for b"". Every message passes through the codec."""

    def __init__(self, clients: set[bytes]) -> None:
        """`clients`: those that are connected, as far as anybody asks."""
        super().__init__()
        self.sent: list[tuple[bytes, Message]] = []
        self._clients = clients

    def send(self, name: str, message: Message, *payload: Bytes, peer: bytes = b"") -> bool:
        decoder = _to_client if name == "desk" else _control
        decoded: Message = decoder.decode(encode(message, *payload)).message
        assert decoded == message
        self.sent.append((peer, decoded))
        return True

    def reaches(self, name: str, message: Message, peer: bytes) -> bool:  # noqa: ARG002 - a knock is no news
        return peer in self._clients


class RecordingQueue(QueueStore):
    """A queue file that keeps what was saved."""

    def __init__(self, folder: Path, saved: list[Save]) -> None:
        super().__init__(folder, durable=False)
        self._saved = saved

    def save(self, saves: Iterable[Any]) -> None:
        saves = list(saves)
        super().save(saves)
        self._saved += saves


class BenchClock(Clock):
    """The time that a bench says it is."""

    def __init__(self, bench: VentilatorBench) -> None:
        self._bench = bench

    def now(self) -> float:
        return self._bench.now

    def wall_time(self) -> float:
        return self._bench.wall_time


class VentilatorBench:
    """A ventilator with its queue file, on links that record."""

    def __init__(self, folder: Path, *, lease_time: float = 5.0, **options: Any) -> None:
        """`options`: more of the core's."""
        self.folder = folder
        self.lease_time = lease_time
        self.options = options
        self.now = NOW
        self.wall_offset = 1_000_000.0
        self.peers: list[Peer] = []
        self.numbers = itertools.count(1)
        self.seq = 0
        self.saved: list[Save] = []
        self.logged: list[Logged] = []
        self.logger = logger_to(self.logged)
        self.connected: set[bytes] = set()
        """The clients whose connections are up, as far as anybody asks."""
        self._open()

    def _open(self) -> None:
        self.store = RecordingQueue(self.folder / "queue", self.saved)
        self.core = VentilatorCore(
            self.store.begin_life(),
            self.store.batch_rows.here(),
            self.store.applied(),
            self.now,
            wall_time=self.wall_time,
            forgotten=self.store.forgotten(),
            pause=self.store.pause(),
            lease_time=self.lease_time,
            **self.options,
        )
        self.links = RecordingLinks(self.connected)
        process = loop.Process(self.logger, QuietOrders(), BenchClock(self))
        self.station = Ventilator(self.core, self.store, self.links, process, Bindings())

    @property
    def wall_time(self) -> float:
        """What the wall clock says."""
        return self.now + self.wall_offset

    def set_wall_clock(self, seconds: float) -> None:
        """Somebody sets the wall clock forward, or back, and the next turn sees it."""
        self.wall_offset += seconds
        self.turn(WallClock(self.wall_time))

    def restart(self) -> None:
        """kill -9 and a new life."""
        self.store.close()
        self._open()

    # ------------------------------------------------------------------------------------------ turns

    def turn(self, *events: Any, after: float = 0.0) -> list[tuple[bytes, Message]]:
        """One turn, `after` seconds later: all that it sent, as (receiver, message); rounds go to b""."""
        self.now += after
        inputs = [one for event in events for one in self.station.batches.before(event)]
        while True:
            inputs = list(loop.turn(self.station, inputs))
            self.core.check()
            if not inputs:
                break
        sent, self.links.sent = self.links.sent, []
        return sent

    def told(self, peer: Peer | bytes, *events: Any, after: float = 0.0) -> list[Message]:
        """As `turn`: what this receiver got."""
        receiver = peer if isinstance(peer, bytes) else peer.id
        return [message for to, message in self.turn(*events, after=after) if to == receiver]

    def ask(self, message: Message, payload: bytes = b"") -> list[Message]:
        """A client says something: its answers."""
        return self.told(CLIENT, FromClient(CLIENT, message, payload, 1.0))

    def pass_time(self, seconds: float, *beating: tuple[Peer, tuple[Held, ...]]) -> list[tuple[bytes, Message]]:
        """Let seconds pass in steps of half a beat; those who beat say at each what they hold."""
        sent: list[tuple[bytes, Message]] = []
        end = self.now + seconds
        while self.now < end:
            sent += self.turn(*(peer.beat(*held) for peer, held in beating), after=min(BEAT / 2, end - self.now))
        return sent

    # ------------------------------------------------------------------------------------------ who is there

    def worker(
        self,
        name: str = "w",
        *,
        slots: int = 1,
        window: int = 2,
        tags: tuple[str, ...] = (),
        users: tuple[str, ...] = (),
        opens: tuple[str, ...] = OPENS,
    ) -> Peer:
        """A worker that has joined and holds nothing; its job connection is up."""
        peer = Peer(self, name, slots, window, tags, users, opens)
        self.peers.append(peer)
        self.turn(JobConnections(len(self.peers)))
        self.turn(peer.hello(peer.connect()))
        return peer

    def sink(self) -> None:
        """The sink subscribes, says its head, and echoes."""
        self.turn(Subscribed(SINK))
        self.turn(self.head())

    def head(self, *, echo: int | None = None, boot: int = BOOT) -> SinkHead:
        """The sink's head, with the echo of the newest beat."""
        barrier = self.core.ledger.beats.number if echo is None else echo
        return SinkHead(SINK, boot, self.seq, self.chain, barrier)

    @property
    def chain(self) -> bytes:
        """Of the sink's last line."""
        return str(self.seq).encode() if self.seq else self.core.ledger.chain

    def recover(self) -> list[tuple[bytes, Message]]:
        """The sink is there and the grace after a restart is over."""
        self.sink()
        sent = self.pass_time(3.0)
        return sent + self.turn(self.head())

    # ------------------------------------------------------------------------------------------ jobs

    def submit(
        self,
        *sizes: int,
        spec: BatchSpec | None = None,
        batch: bytes = BATCH,
        close: bool = True,
        sender: Sender = EVERYONE,
        each: int = 4,
    ) -> list[tuple[bytes, Message]]:
        """A batch of chunks with so many jobs, and `each` so many bytes, in one message: all that its turn sent."""
        firsts = [0, *itertools.accumulate(sizes)]
        chunks = tuple(ChunkHead(batch, first, size, each) for first, size in zip(firsts, sizes, strict=False))
        closes = (BatchClose(batch, firsts[-1]),) if close else ()
        opens = (BatchOpen(batch, spec or BatchSpec(), FUNCTION, 1),)
        submit = Submit(next(self.numbers), opens, chunks, closes)
        return self.turn(FromClient(CLIENT, submit, b"f" + bytes(each * len(chunks)), 1.0, sender))

    def record(
        self,
        start: int,
        stop: int,
        state: JobState = JobState.SUCCEEDED,
        *,
        lease: int = 0,
        worker: bytes = b"",
        final: bool = True,
        stamp: Stamp | None = None,
        crashed: bool = False,
        batch: bytes = BATCH,
        elapsed: float = 0.01,
    ) -> Completions:
        """The sink records an outcome: its next line."""
        self.seq += 1
        chain = str(self.seq).encode()
        line = Completion(
            self.seq, batch, start, stop, state, final, stamp or Stamp(), crashed, lease, worker, elapsed, chain
        )
        return Completions(SINK, BOOT, (line,))

    def parts(self, batch: bytes = BATCH) -> list[Part]:
        """All open parts of a batch that are in memory."""
        chunks = self.core.ledger.backlog.batches[batch].chunks.values()
        return sorted(part for chunk in chunks for part in chunk.parts)

    def places(self, batch: bytes = BATCH) -> list[tuple[int, int, Place]]:
        """Where the open jobs of a batch are; neighbours in one place under one lease are joined."""
        found: list[tuple[int, int, Place]] = []
        lease = 0
        for part in self.parts(batch):
            if found and found[-1][1:] == (part.start, part.place) and part.lease == lease:
                found[-1] = (found[-1][0], part.stop, part.place)
            else:
                found.append((part.start, part.stop, part.place))
            lease = part.lease
        return found

    def counts(self, batch: bytes = BATCH) -> dict[str, int]:
        """Jobs by final state."""
        return next(stored.counts for stored in self.store.batches() if stored.batch == batch)


def leases(sent: list[tuple[bytes, Message]] | list[Message]) -> list[Lease]:
    """All leases among what was sent."""
    messages = [entry[1] if isinstance(entry, tuple) else entry for entry in sent]
    return [lease for jobs in of(Jobs, messages) for lease in jobs.leases]


def held(
    lease: Lease,
    *,
    unstarted: tuple[tuple[int, int], ...] = (),
    running: tuple[tuple[int, int], ...] = (),
    finished: tuple[tuple[int, int], ...] = (),
) -> Held:
    """A line of an inventory."""
    return Held(lease.number, lease.batch, lease.stamp, unstarted, running, finished, lease.token)


def _same(decoder: Decoder, message: Message) -> Message:
    """The message, encoded and decoded."""
    decoded: Message = decoder.decode(encode(message, bytes(payload_bytes(message)))).message
    assert decoded == message
    return decoded


class WorkerBench:
    """A WorkerCore."""

    def __init__(self, *, slots: int = 1, join: bool = True, lifetime: Lifetime | None = None) -> None:
        """`shift`: when it leaves by itself."""
        self.now = NOW
        me = Hello(b"me".ljust(16), 0, 0, 0, "me", "host", 1, slots, 0, (), "3")
        self.id = me.worker
        self.core = WorkerCore(me, self.now, lifetime=lifetime, outlet=OUTLET)
        self.logged: list[Log] = []
        self.touched: list[float] = []
        """Until when slots were allowed to start jobs, in the order told."""
        self.first_lease = 1 << 40
        if join:
            self.turn(JobsConnected(), SinkConnected(), *(SlotReady(slot) for slot in range(slots)))
            self.join()

    def turn(self, *events: Any, after: float = 0.0) -> list[Any]:
        """One turn, `after` seconds later: the effects; reports are given as their messages."""
        self.now += after
        actions = [action for event in events for action in self.core.handle(event, self.now)]
        actions += self.core.tick(self.now)
        self.core.check()
        self.logged += of(Log, actions)
        self.touched += [touch.until for touch in of(Touch, actions)]
        return [
            _same(_report, action.message) if isinstance(action, Report) else action
            for action in actions
            if not isinstance(action, Log | Touch)
        ]

    def greet(self, *, life: int = 1, connection: int = 1) -> Hello:
        """A new control connection: its hello."""
        (hello,) = of(Hello, self.turn(Greeting(life, connection, 5.0, BEAT)))
        return hello

    def welcome(self, hello: Hello, *, floor: int = 1, drop: tuple[Any, ...] = ()) -> list[Any]:
        """Welcomed: what it does then."""
        return self.turn(Welcome(hello.number, floor, drop))

    def join(self) -> None:
        """Greeted, hello said, welcomed."""
        self.welcome(self.greet())

    def beat(self, *events: Any) -> Heartbeat:
        """A beat later: the heartbeat it sends, which is answered."""
        (beat,) = of(Heartbeat, self.turn(*events, after=BEAT))
        self.turn(Beat(beat.number))
        return beat

    def pass_time(self, seconds: float, *, answered: bool = True, sink: bool = False) -> list[Any]:
        """Let seconds pass in steps of half a beat, its heartbeats answered or not: all it did. `sink`: it is told that
        there is one."""
        did: list[Any] = []
        end = self.now + seconds
        while self.now < end:
            now_did = self.turn(after=min(BEAT / 2, end - self.now))
            did += now_did
            if answered:
                did += self.turn(*(Beat(beat.number, sink=sink) for beat in of(Heartbeat, now_did)))
        return did

    def jobs(
        self,
        start: int = 0,
        stop: int = 10,
        *,
        lease: int = 1,
        spec: BatchSpec | None = None,
        inline: bool = True,
        batch: bytes = BATCH,
        function: bytes = FUNCTION,
        stamp: Stamp | None = None,
    ) -> Jobs:
        """A message with one lease."""
        head = BatchHead(batch, spec or BatchSpec(), function, 1, int(inline))
        return Jobs(
            (head,), (Lease(self.first_lease + lease, batch, start, stop - start, start, stop, stamp or Stamp(), 4),)
        )

    def number(self, lease: int = 1) -> int:
        """The full number of the lease that `jobs` calls so."""
        return self.first_lease + lease

    @property
    def inventory(self) -> list[Held]:
        """What it holds."""
        return [held.line() for held in self.core.holdings.leases.values()]


def done(run: Run, state: JobState = JobState.SUCCEEDED, *, each: float = 0.001, stop: int | None = None) -> PieceDone:
    """The slot has run the piece, or up to `stop`."""
    stop = run.stop if stop is None else stop
    ran = tuple(Ran(index, index + 1, state, 1.0, each, 1) for index in range(run.start, stop))
    return PieceDone(run.slot, run.piece, ran, b"v" * len(ran))


def runs(did: Iterable[object]) -> list[Run]:
    """The pieces that were given to slots."""
    return of(Run, did)


def delivered(did: Iterable[object]) -> list[tuple[int, int]]:
    """The spans of the outcomes that were sent to the sink."""
    return [(head.start, head.stop) for deliver in of(Deliver, did) for head in deliver.records]
