"""A machine that tries readers of a batch in every order: a real reader, courier and sink, and between them a wire that
hypothesis delays. What is recorded, in which order, how large, how slowly it is read: all of it varies."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.client.follow import Row
from penstock.client.readers import ArrivalReader, OrderReader, RowReader
from penstock.job.spans import SpanSet
from penstock.job.spec import JobState, Stamp
from penstock.sink.core import SinkCore
from penstock.sink.process import Sink
from penstock.station import loop
from penstock.station.clock import Clock
from penstock.station.contract import Bytes, FromClient, Save
from penstock.station.permissions import Bindings
from penstock.station.ventilator_contact import VentilatorContact
from penstock.wire.frames import encode, join
from penstock.wire.messages import Fetched, Rows, Verdicts, credit_cost
from penstock.wire.records import Message
from penstock.wire.sockets import Received
from support.recording_client import Wire, World
from support.sink_models import BATCHES, CLIENTS, SINK, MemoryResults, arrived, head_of
from support.surroundings import QuietLinks, QuietOrders, logger_to

T = TypeVar("T")

BATCH, CLIENT = BATCHES[0], CLIENTS[0]
JOBS = 24
WINDOW = 4000
LARGEST = 1500
"""Bytes of a value: some are more than a third of the window."""
TURNS = 400
"""Messages that pass while somebody waits: more than ever are under way."""
LONG = 20.0
"""Seconds in which a follower says again where it is."""


class SlowWire(Wire):
    """What the client sends waits on the wire."""

    def __init__(self, under_way: deque[Message]) -> None:
        super().__init__()
        self._under_way = under_way

    def send(self, name: str, message: Message, *parts: Bytes, peer: bytes = b"") -> bool:
        sent = super().send(name, message, *parts, peer=peer)
        if name == "results":
            self._under_way.append(self.sent[-1][1])
        return sent


class SlowSession(World):
    """Who waits for an answer of the sink lets everything pass that is under way."""

    def __init__(self, machine: ReadingMachine) -> None:
        super().__init__()
        self._machine = machine
        self.wire = SlowWire(machine.to_sink)
        self._courier._links = self.wire

    def wait_for(self, answer: Future[T], timeout: float | None) -> T:  # noqa: ARG002 - time stands still
        self._machine.pass_on(TURNS, answer)
        self._machine.happen_meanwhile()
        return answer.result(0)


class SinkLinks(QuietLinks):
    """What the sink sends to its client waits on the wire."""

    def __init__(self, under_way: deque[tuple[Message, Bytes]]) -> None:
        super().__init__()
        self._under_way = under_way

    def send(self, name: str, message: Message, *payload: Bytes, peer: bytes = b"") -> bool:  # noqa: ARG002
        if name == "results":
            self._under_way.append((message, join(list(payload))))
        return True


class ReadingMachine(RuleBasedStateMachine):
    """Everything that is recorded is read, whatever the order: in the order of the jobs."""

    kind: type[RowReader] = OrderReader

    def __init__(self) -> None:
        super().__init__()
        self.to_sink: deque[Message] = deque()
        self.to_client: deque[tuple[Message, Bytes]] = deque()
        self.store = MemoryResults()
        self.core = SinkCore(1, self.store.head(), sink=SINK)
        process = loop.Process(logger_to([]), QuietOrders(), Clock())
        store: Any = self.store  # it keeps the contract of a real one
        links = SinkLinks(self.to_client)
        self.station = Sink(self.core, store, links, process, Bindings(), VentilatorContact("", 0.0))
        self.sink_now = 100.0
        self.ended = SpanSet()
        self.generation = 0
        self.serial = 0
        self.newest: dict[int, int] = {}
        """The number of the outcome of each job that holds."""
        self.opened: dict[int, int] = {}
        """The generation in which each job was opened last, as far as the reader was told."""
        self.read: list[tuple[int, int]] = []
        """Index and number of all that was handed out."""
        self.meanwhile: list[tuple[int, int]] = []
        """What is run again after the next answer has come and before whoever waits for it has seen it."""
        self.session = SlowSession(self)
        self.reader: RowReader = self.kind(self.session, BATCH, window=WINDOW)
        self.reader.close_at(JOBS)

    # ------------------------------------------------------------------------------------------ the wire

    def sink_turn(self, *events: Any) -> None:
        """The sink takes these in, saves, and speaks."""
        waiting = list(events)
        while waiting:
            self.sink_now += 0.01
            actions: list[Any] = []
            for event in self.station.before(waiting):
                actions += self.core.handle(event, self.sink_now)
            actions += self.core.tick(self.sink_now)
            self.core.check()
            self.store.save([action for action in actions if isinstance(action, Save)])
            effects = [action for action in actions if not isinstance(action, Save)]
            waiting = [event for action in effects for event in self.station.perform(action)]
            waiting += self.station.read_rows()

    def pass_on(self, messages: int, awaited: Future[Any] | None = None) -> None:
        """So many messages arrive, as they are under way; no more than it takes to answer what is awaited."""
        for _ in range(messages):
            if awaited is not None and awaited.done():
                return
            if self.to_client:
                self._arrive(*self.to_client.popleft())
            elif self.to_sink:
                self.sink_turn(FromClient(CLIENT, self.to_sink.popleft()))
            else:
                return

    def _arrive(self, message: Message, payload: Bytes) -> None:
        if isinstance(message, Rows):
            for record in message.records:
                if record.stamp.opens:
                    self.opened |= dict.fromkeys(range(record.start, record.stop), record.stamp.generation)
        assert isinstance(message, Rows | Fetched) or not payload
        self.session.wire.arrived.setdefault("results", deque()).append(
            Received("results", b"", encode(message, payload))
        )
        self.session._courier.receive("results", 0.0)
        self.session.turn()

    # ------------------------------------------------------------------------------------------ what happens

    @rule(start=st.integers(0, JOBS - 1), count=st.integers(1, 6), size=st.integers(0, LARGEST))
    def record(self, start: int, count: int, size: int) -> None:
        """Jobs end that had not, as one outcome or several, if there are other ones between."""
        for low, high in self.ended.gaps(start, min(start + count, JOBS)):
            self.ended.add(low, high)
            numbers = range(self.serial, self.serial + high - low)
            self.serial += high - low
            self.newest |= dict(zip(range(low, high), numbers, strict=True))
            body = msgspec.msgpack.encode([*numbers, bytes(size)])
            stamp = Stamp(self.generation, 1)
            self.sink_turn(arrived((head_of(BATCH, low, high, stamp=stamp, size=len(body)), body)))

    @precondition(lambda self: self.ended)
    @rule(start=st.integers(0, JOBS - 1), count=st.integers(1, 6))
    def retry(self, start: int, count: int) -> None:
        """A user has jobs run again."""
        for low, high in self.ended.overlap(start, min(start + count, JOBS)):
            self.generation += 1
            self.ended.remove(low, high)
            for index in range(low, high):
                del self.newest[index]
            stamp = Stamp(self.generation, 0)
            head = head_of(BATCH, low, high, state=JobState.QUEUED, final=False, stamp=stamp)
            self.sink_turn(Verdicts((head,)))

    @rule(start=st.integers(0, JOBS - 1), count=st.integers(1, 6))
    def retry_meanwhile(self, start: int, count: int) -> None:
        """A user has jobs run again that are just being fetched."""
        self.meanwhile.append((start, count))

    def happen_meanwhile(self) -> None:
        """The session's thread goes on before the reading one does."""
        spans, self.meanwhile = self.meanwhile, []
        for start, count in spans:
            self.retry(start, count)
            self.pass_on(TURNS)

    @rule(messages=st.integers(1, 8))
    def arrive(self, messages: int) -> None:
        """Some of what is under way."""
        self.pass_on(messages)

    @rule()
    def sink_hears(self) -> None:
        """One message, while what the sink has sent is still under way."""
        if self.to_sink:
            self.sink_turn(FromClient(CLIENT, self.to_sink.popleft()))

    @rule(rows=st.integers(1, 4))
    def take(self, rows: int) -> None:
        """Whoever reads takes some, as far as there are."""
        for _ in range(rows):
            if not self.take_one():
                return

    def take_one(self) -> bool:
        """Whether there was one."""
        try:
            row = self.reader.next_row(0.0)
        except TimeoutError:
            return False
        if row is not None:
            self.look_at(row)
        return row is not None

    def look_at(self, row: Row) -> None:
        """What is handed out is recorded so, and not known to be superseded."""
        numbers = msgspec.msgpack.decode(row.body)
        for place, index in enumerate(range(row.start, row.stop)):
            assert row.head.stamp.generation >= self.opened.get(index, 0), "what is superseded is not handed out"
            self.read.append((index, numbers[row.offset + place]))

    # ------------------------------------------------------------------------------------------ what holds

    @invariant()
    def it_holds_a_window(self) -> None:
        """And what may come beyond: the last row, and one fetch of what was given up."""
        kept = getattr(self.reader, "_rows", ())
        rows = list(kept.values()) if isinstance(kept, dict) else list(kept)
        bodies = {id(row.body): credit_cost((row.head,), row.body) for row in rows if row.is_charged}
        assert sum(bodies.values()) <= WINDOW + 2 * (LARGEST + 400)

    def teardown(self) -> None:
        """Everything ends, and whoever reads reads on: it is all read."""
        while self.take_on():
            self.record(0, JOBS, 0)
        self.session.now += LONG  # nor does it help to ask again
        self.session.turn()
        self.take_on()
        self.all_is_read()

    def take_on(self) -> bool:
        """Take what there is and let pass what is under way; whether anything came of it."""
        before = len(self.read)
        while self.take_one():
            pass
        is_moving = bool(self.to_client or self.to_sink) or self.ended.count < JOBS
        self.pass_on(TURNS)
        return is_moving or len(self.read) > before

    def all_is_read(self) -> None:
        """Each job once, in order."""
        assert [index for index, _ in self.read] == list(range(JOBS)), "all that is recorded is read"


class ArrivingMachine(ReadingMachine):
    """The same in the order of recording: the newest outcome of each job is handed out last."""

    kind = ArrivalReader

    def all_is_read(self) -> None:
        assert dict(self.read) == self.newest, "all that is recorded is read"
