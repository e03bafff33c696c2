"""Machines that try the sink in every order: any outcomes, losses, restarts and readers, step by step against the
models of sink_models."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.job.spec import JobState, Stamp
from penstock.sink import recorded_batches
from penstock.sink.contract import FromWorker, ReadLog, ReadSpan
from penstock.sink.core import SinkCore
from penstock.sink.process import Sink
from penstock.sink.store import ResultStore
from penstock.station import loop
from penstock.station.clock import Clock
from penstock.station.contract import Actions, Answer, Bytes, FromClient, Log, Report, Save
from penstock.station.permissions import Bindings
from penstock.station.ventilator_contact import VentilatorContact
from penstock.wire.frames import join
from penstock.wire.messages import Credit, ForgetBatch, Outcomes, Replay, Rows, SinkBeat, SinkUp, Verdicts
from penstock.wire.records import Message, OutcomeHead
from support.sink_models import (
    BATCHES,
    CLIENTS,
    JOBS,
    OUTCOMES,
    SINK,
    WORKERS,
    Job,
    MemoryResults,
    ReaderModel,
    Results,
    Value,
    VentilatorModel,
    Wire,
    arrived,
    head_of,
    newest_values,
)
from support.surroundings import QuietLinks, QuietOrders, logger_to


class MachineLinks(QuietLinks):
    """A sink's links to the models of a machine."""

    def __init__(self, machine: SinkMachine) -> None:
        super().__init__()
        self._machine = machine

    def send(self, name: str, message: Message, *payload: Bytes, peer: bytes = b"") -> bool:
        if name == "report":
            self._machine.on_report(message)
        else:
            self._machine.on_answer(peer, message, join(list(payload)))
        return True


class SinkMachine(RuleBasedStateMachine):
    """Any order of outcomes, losses, restarts and readers; what the sink says and stores is what the models expect."""

    make_store: Callable[[], Results] = MemoryResults

    def __init__(self) -> None:
        super().__init__()
        self.store = self.make_store()
        self.now = 100.0
        self.boot = 0
        self.beats = 0
        self.serial = 0
        self.ended: dict[Job, Value] = {}
        self.attempts: dict[Job, Stamp] = {}
        self.history: defaultdict[Job, list[Value]] = defaultdict(list)
        """All that was ever recorded, oldest first."""
        self.generations: dict[Job, int] = {}
        """Of jobs that have ended."""
        self.forgotten: set[bytes] = set()
        self.sent: list[FromWorker] = []
        self.queue: list[Any] = []
        self.ventilator = VentilatorModel()
        self.readers: dict[tuple[bytes, bytes], ReaderModel] = {}
        self.start()

    def start(self) -> None:
        self.boot += 1
        self.queue.clear()
        self.wire = Wire(self.store.head()[0])
        self.forgotten.clear()  # that is not on disk: what comes in so late is recorded, and harms nobody
        self.core = SinkCore(self.boot, self.store.head(), sink=SINK, in_memory=1)
        process = loop.Process(logger_to([]), QuietOrders(), Clock())
        store: Any = self.store  # a real one, or what keeps its contract in memory
        self.station = Sink(self.core, store, MachineLinks(self), process, Bindings(), VentilatorContact("", 0.0))

    # ------------------------------------------------------------------------------------------ the loop

    @rule(count=st.integers(1, 6))
    def some(self, count: int) -> None:
        """One turn with some of what has arrived."""
        self.now += 0.01
        events, self.queue = self.queue[:count], self.queue[count:]
        self.one_turn(events)

    def settle(self) -> None:
        """Turn after turn, until it is quiet."""
        turns = 0
        while self.queue or self.core.next_wakeup() == 0.0:
            turns += 1
            assert turns < 200, "it becomes quiet"
            self.some(100)
        for key, place in self.wire.places.items():
            if self.wire.credit[key] > 0:
                assert self.store.rows_after(key[1], place, 1) == ((), b"", place, False), "who may be told, is"

    def one_turn(self, events: list[Any]) -> None:
        actions: Actions = []
        for event in events:
            self.expect(event)
            actions += self.handle(event)
        actions += self.watch(self.core.tick(self.now))
        self.store.save([action for action in actions if isinstance(action, Save)])
        for action in actions:
            if not isinstance(action, Save):
                self.perform(action)

    def handle(self, event: Any) -> Actions:
        if isinstance(event, Replay | SinkBeat | FromClient | ForgetBatch):
            self.wire.handled(event)
        return self.watch(
            [action for one in self.station.before([event]) for action in self.core.handle(one, self.now)]
        )

    def watch(self, actions: Actions) -> Actions:
        """Everything in the order in which it will leave."""
        self.core.check()
        for action in actions:
            match action:
                case Report(message):
                    self.wire.report(message)
                case Answer(client, Rows() as rows, payload):
                    self.wire.rows(client, rows, payload)
        return actions

    def perform(self, action: Any) -> None:
        """By the sink's own hand; what it reads reaches the core when the machine pleases, the log in small pieces."""
        assert not isinstance(action, ReadSpan | Log), f"nobody asked for {action}"
        if isinstance(action, ReadLog):
            action = msgspec.structs.replace(action, limit=3)
        self.queue += self.station.perform(action)
        self.queue += self.station.read_rows()

    def on_report(self, message: Message) -> None:
        """The sink says something to the ventilator."""
        if not self.cut:
            self.ventilator.on(message)

    def on_answer(self, client: bytes, message: Message, payload: Bytes) -> None:
        """The sink says something to a client."""
        match message:
            case Rows() if (client, message.batch) in self.readers:
                self.readers[client, message.batch].on(message, payload)
            case SinkUp(boot):
                assert boot == self.boot

    cut = False

    def expect(self, event: Any) -> None:
        """The plainest statement of what is recorded."""
        match event:
            case FromWorker(Outcomes() as message, bodies):
                for head, body in zip(message.records, bodies, strict=True):
                    self.expect_outcome(head, body)
            case Verdicts(records):
                for head in records:
                    self.expect_outcome(head, b"")

    def expect_outcome(self, head: OutcomeHead, body: Bytes) -> None:
        if head.batch in self.forgotten:
            return
        values = msgspec.msgpack.decode(body) if len(body) else [None] * JOBS
        for index in range(head.start, head.stop):
            job = (head.batch, index)
            newest = self.attempts.get(job)
            generation = head.stamp.generation
            if head.stamp.opens:
                if self.generations.get(job, -1) < generation and (newest is None or newest < head.stamp):
                    self.ended.pop(job, None)
                    self.generations.pop(job, None)
                    self.attempts[job] = head.stamp
                continue
            if job in self.ended:
                continue
            if head.final:
                if newest is None or newest.generation <= generation:
                    self.generations[job] = generation
                    self.history[job].append((head.state, values[head.offset + index - head.start]))
                    self.ended[job] = (head.state, values[head.offset + index - head.start])
            elif newest is None or head.stamp > newest:
                self.attempts[job] = head.stamp

    # ------------------------------------------------------------------------------------------ what happens

    @rule(heads=st.lists(OUTCOMES, min_size=1, max_size=4), worker=st.sampled_from(WORKERS))
    def outcomes(self, heads: list[OutcomeHead], worker: bytes) -> None:
        """A worker sends outcomes; each value is a number that no other outcome has."""
        bodies: list[bytes] = []
        for head in heads:
            values = list(range(self.serial, self.serial + head.stop - head.start))
            self.serial += len(values)
            bodies.append(msgspec.msgpack.encode(values) if head.final else b"")
        sized = [msgspec.structs.replace(head, size=len(body)) for head, body in zip(heads, bodies, strict=True)]
        message = arrived(*zip(sized, bodies, strict=True), worker=worker)
        self.sent.append(message)
        self.queue.append(message)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        """A worker that heard no Closed."""
        self.queue.append(data.draw(st.sampled_from(self.sent)))

    @rule(
        batch=st.sampled_from(BATCHES),
        start=st.integers(0, JOBS - 1),
        state=st.sampled_from([JobState.CANCELLED, JobState.DEAD]),
        final=st.booleans(),
        attempt=st.integers(1, 3),
    )
    def verdict(self, batch: bytes, start: int, state: JobState, final: bool, attempt: int, count: int = 1) -> None:
        """The ventilator's word on a job."""
        stamp = Stamp(9 * (count > 1), attempt, attempt - 1)
        head = head_of(batch, start, start + count, state=state, final=final, crashed=not final, stamp=stamp)
        self.queue.append(Verdicts((head,)))

    @rule(
        batch=st.sampled_from(BATCHES),
        start=st.integers(0, JOBS - 1),
        count=st.integers(1, 5),
        number=st.integers(1, 3),
    )
    def open_again(self, batch: bytes, start: int, count: int, number: int) -> None:
        """A user's retry; the same may be said again at any time."""
        stop, stamp = min(start + count, JOBS), Stamp(number, 0)
        self.queue.append(Verdicts((head_of(batch, start, stop, state=JobState.QUEUED, final=False, stamp=stamp),)))

    @precondition(lambda self: not self.cut)
    @rule()
    def beat(self) -> None:
        """The ventilator's sign of life, with a request for a replay where one is due."""
        self.beats += 1
        if self.ventilator.asks:
            self.ventilator.asks = False
            self.queue.append(Replay(self.ventilator.applied, self.ventilator.chain))
        self.queue.append(SinkBeat(self.beats, self.ventilator.applied))

    @rule(cut=st.booleans())
    def cut_report(self, cut: bool) -> None:
        """The ventilator hears nothing for a while, or again."""
        self.cut = cut

    @rule(batch=st.sampled_from(BATCHES), run=st.integers(0, 4))
    def forget(self, batch: bytes, run: int) -> None:
        """The ventilator's client has read a batch to its end: nobody knows anything of it any more."""
        if run:  # seldom: it needs everything to be quiet
            return
        self.cut = False
        self.verdict(batch, 0, JobState.DEAD, True, 3, JOBS)
        for _ in range(3):
            self.beat()
            self.settle()
        assert self.ventilator.applied == self.store.head()[0]
        self.forgotten.add(batch)
        for client in CLIENTS:
            self.readers.pop((client, batch), None)
        for truth in (self.ended, self.attempts, self.generations, self.ventilator.ended, self.ventilator.attempts):
            for job in [job for job in truth if job[0] == batch]:
                del truth[job]
        self.queue += [ForgetBatch(batch), SinkBeat(self.beats, self.ventilator.applied)]
        self.settle()  # a forget that waits is lost with the sink

    @rule(
        client=st.sampled_from(CLIENTS),
        batch=st.sampled_from(BATCHES),
        credit=st.integers(0, 2000),
        at_start=st.booleans(),
    )
    def follow(self, client: bytes, batch: bytes, credit: int, at_start: bool) -> None:
        """A client begins, or begins again where it is."""
        if batch not in self.forgotten:
            reader = self.readers.setdefault((client, batch), ReaderModel())
            if at_start:
                reader.position, reader.values = 0, {}
            self.queue.append(FromClient(client, reader.follow(batch, credit)))

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def take_in(self, data: st.DataObject) -> None:
        """A client gives back what it has spent."""
        client, batch = data.draw(st.sampled_from(sorted(self.readers)))
        reader = self.readers[client, batch]
        self.queue.append(FromClient(client, Credit(batch, reader.spent)))
        reader.spent = 0

    @rule()
    def quiet(self) -> None:
        """Nothing happens until everything has."""
        self.settle()

    @rule(run=st.integers(0, 4))
    def kill(self, run: int) -> None:
        """The sink dies; what has arrived and was not handled is gone."""
        if not run:
            self.start()

    # ------------------------------------------------------------------------------------------ what holds

    @invariant()
    def the_barrier_holds(self) -> None:
        """What the sink had told before the echo is all that it had recorded then."""
        assert self.ventilator.head <= self.store.head()[0]

    @invariant()
    def the_ventilator_believes_what_is_recorded(self) -> None:
        """No job ended otherwise than it is, or was before a retry, recorded."""
        for job, state in self.ventilator.ended.items():
            assert state in {value[0] for value in self.history[job]}

    @invariant()
    def readers_saw_what_is_recorded(self) -> None:
        """And nothing else; that a retry superseded it they may learn later."""
        for (_, batch), reader in self.readers.items():
            for index, value in reader.values.items():
                assert value in self.history[batch, index]

    def teardown(self) -> None:
        """When all is quiet and everybody has credit, everybody knows everything."""
        self.cut = False
        for (client, batch), reader in self.readers.items():
            self.queue.append(FromClient(client, reader.follow(batch, 1 << 20)))
        for _ in range(4):
            self.now += 1.0
            self.beat()
            self.settle()
        assert self.ventilator.applied == self.store.head()[0]
        assert self.ventilator.echo == self.beats
        assert self.ventilator.ended == {job: state for job, (state, _) in self.ended.items()}
        for batch in BATCHES:
            expected = {index: value for (of, index), value in self.ended.items() if of == batch}
            stored = newest_values(*self.store.rows_in(batch, 0, JOBS)[:2])
            assert stored == expected
            for client in CLIENTS:
                if (client, batch) in self.readers:
                    reader = self.readers[client, batch]
                    assert reader.values == expected, reader.position


class StoredSinkMachine(SinkMachine):
    """The same over a real results file, which is opened anew at each start of the sink."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._checkpoint_lines, recorded_batches.CHECKPOINT_LINES = (
            recorded_batches.CHECKPOINT_LINES,
            1,
        )  # so that short runs have some
        super().__init__()

    def make_store(self) -> Results:
        return ResultStore(Path(self._folder.name), durable=False)

    def start(self) -> None:
        assert isinstance(self.store, ResultStore)
        self.store.close()
        self.store = ResultStore(Path(self._folder.name), durable=False)
        super().start()

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            assert isinstance(self.store, ResultStore)
            self.store.close()
            self._folder.cleanup()
            recorded_batches.CHECKPOINT_LINES = self._checkpoint_lines
