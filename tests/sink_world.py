"""A ventilator, clients and workers around a SinkCore, for its state machine: each with a simple model of the truth."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, get_args

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.core.actions import (
    Actions,
    Answer,
    DeleteBatch,
    Log,
    ReadLog,
    ReadRows,
    ReadSpan,
    Report,
    Save,
    SaveRecorded,
    SaveRow,
)
from penstock.core.chain import completion
from penstock.core.inputs import Bytes, FromClient, LogRead, OutcomesArrived, RowsRead, StoredRecord
from penstock.core.sink import SinkCore
from penstock.job import JobState, Stamp
from penstock.messages import (
    Completion,
    Completions,
    Credit,
    Diverged,
    Follow,
    ForgetBatch,
    Message,
    OutcomeHead,
    Replay,
    Rows,
    SinkBeat,
    SinkHead,
    SinkUp,
    Verdicts,
    credit_cost,
    join,
    split,
)
from penstock.store import ResultStore

SINK = b"s" * 16
WORKERS = (b"v" * 16, b"w" * 16)
BATCHES = tuple(bytes([n]) * 16 for n in range(3))
CLIENTS = (b"one", b"two")
JOBS = 12
SAVES = get_args(Save)
Job = tuple[bytes, int]
Value = tuple[JobState, object]


def head_of(batch: bytes, start: int, stop: int, **fields: Any) -> OutcomeHead:
    """An outcome: succeeded and final unless said otherwise."""
    defaults: dict[str, Any] = {
        "state": JobState.SUCCEEDED,
        "final": True,
        "stamp": Stamp(),
        "lease": 1,
        "slot": 0,
        "started_time": 1.0,
        "elapsed": 0.5,
        "size": 0,
    }
    return OutcomeHead(batch=batch, start=start, stop=stop, **(defaults | fields))


def arrived(*pairs: tuple[OutcomeHead, Bytes], worker: bytes = WORKERS[0]) -> OutcomesArrived:
    """A worker's message."""
    return OutcomesArrived(worker, "ada", tuple(head for head, _ in pairs), tuple(body for _, body in pairs))


class Results(Protocol):
    """What the sink needs of its store."""

    def save(self, saves: list[Any]) -> None: ...
    def head(self) -> tuple[int, bytes]: ...
    def recorded(self) -> Iterator[StoredRecord]: ...
    def rows_after(
        self, batch: bytes, after: int, limit_bytes: int
    ) -> tuple[tuple[OutcomeHead, ...], Bytes, int, bool]: ...
    def rows_in(self, batch: bytes, start: int, stop: int) -> tuple[tuple[OutcomeHead, ...], Bytes]: ...
    def log_after(self, seq: int, limit: int) -> tuple[bytes | None, tuple[Completion, ...], bool]: ...


class MemoryResults:
    """The results file as a list: the plainest thing that keeps the contract of ResultStore."""

    def __init__(self) -> None:
        self.rows: list[SaveRow] = []
        self.end = (0, b"")
        self.hole = (0, b"")

    def save(self, saves: list[Any]) -> None:
        for save in saves:
            match save:
                case SaveRow():
                    assert save.seq == self.end[0] + 1, "the log has no gap"
                    self.rows.append(save)
                    self.end = (save.seq, save.chain)
                case SaveRecorded():
                    pass  # every line is still here
                case DeleteBatch(batch):
                    self.hole = max(self.hole, *[(row.seq, row.chain) for row in self.rows if row.head.batch == batch])
                    self.rows = [row for row in self.rows if row.head.batch != batch]

    def head(self) -> tuple[int, bytes]:
        return self.end

    def recorded(self) -> Iterator[StoredRecord]:
        for batch in {row.head.batch for row in self.rows}:
            heads = [row.head for row in self.rows if row.head.batch == batch]
            yield StoredRecord(
                batch,
                tuple((head.start, head.stop) for head in heads if head.final),
                tuple((head.start, head.stop, head.stamp) for head in heads if not head.final),
                max(row.seq for row in self.rows if row.head.batch == batch),
            )

    def rows_after(
        self, batch: bytes, after: int, limit_bytes: int
    ) -> tuple[tuple[OutcomeHead, ...], Bytes, int, bool]:
        rows = [row for row in self.rows if row.head.batch == batch and row.seq > after]
        given, size = rows[:1], 0
        for row in rows[1:]:
            size += len(row.body) + 100
            if size > limit_bytes:
                break
            given.append(row)
        position = given[-1].seq if given else after
        final = [row for row in given if row.head.final]
        bodies = join([row.body for row in final])
        return tuple(row.head for row in final), bodies, position, len(given) < len(rows)

    def rows_in(self, batch: bytes, start: int, stop: int) -> tuple[tuple[OutcomeHead, ...], Bytes]:
        rows = [row for row in self.rows if row.head.batch == batch and row.head.start < stop and row.head.stop > start]
        return tuple(row.head for row in rows), join([row.body for row in rows])

    def log_after(self, seq: int, limit: int) -> tuple[bytes | None, tuple[Completion, ...], bool]:
        chains = {row.seq: row.chain for row in self.rows} | dict([self.hole])
        if seq < self.hole[0] or seq not in chains:
            return None, (), False
        lines: list[Completion] = []
        previous = chains[seq]
        for row in [row for row in self.rows if row.seq > seq][:limit]:
            lines.append(completion(row.seq, row.head, row.worker, previous))
            previous = row.chain
        return chains[seq], tuple(lines), len(self.rows) > seq + limit


class VentilatorModel:
    """Applies the log in order, durably; asks for a replay on a gap and at each new boot."""

    def __init__(self) -> None:
        self.applied, self.chain = 0, b""
        self.ended: dict[Job, JobState] = {}
        self.boot: int | None = None
        self.asks = False
        self.echo = 0
        self.head = 0

    def on(self, message: Message) -> None:
        match message:
            case SinkHead():
                if message.boot != self.boot:
                    self.boot, self.asks = message.boot, True
                elif message.seq > self.applied:
                    self.asks = True
                self.echo, self.head = message.echo, message.seq
            case Completions() if message.boot == self.boot:
                for line in message.records:
                    self.apply(line)
            case Diverged():
                raise AssertionError("this log never lost anything")

    def apply(self, line: Completion) -> None:
        if line.seq <= self.applied:
            return
        if line.seq > self.applied + 1:
            self.asks = True
            return
        head = head_of(
            line.batch,
            line.start,
            line.stop,
            state=line.state,
            final=line.final,
            stamp=line.stamp,
            crashed=line.crashed,
            lease=line.lease,
            elapsed=line.elapsed,
        )
        assert line.chain == completion(line.seq, head, line.worker, self.chain).chain, "the chain holds"
        self.applied, self.chain = line.seq, line.chain
        for index in range(line.start, line.stop) if line.final else ():
            assert (line.batch, index) not in self.ended, "a job ends once"
            self.ended[line.batch, index] = line.state


class ReaderModel:
    """One client that follows one batch, as the client module does: by position."""

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self.values: dict[int, Value] = {}
        self.spent = 0
        self.asks = False

    def on(self, message: Rows, payload: Bytes) -> None:
        if message.after != self.position:
            self.asks = self.asks or message.after > self.position
            return
        assert message.position > message.after
        self.position = message.position
        self.spent += credit_cost(message.records, payload)
        for index, value in values_of(message.records, payload):
            assert index not in self.values, "every outcome comes once"
            self.values[index] = value


def values_of(records: tuple[OutcomeHead, ...], payload: Bytes) -> Iterator[tuple[int, Value]]:
    """Each final outcome's job and value."""
    bodies = split(payload, [record.size for record in records])
    for record, body in zip(records, bodies, strict=True):
        if not record.final:
            continue
        values = msgspec.msgpack.decode(body) if len(body) else [None] * JOBS * 2
        for index in range(record.start, record.stop):
            yield index, (record.state, values[record.offset + index - record.start])


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
        self.forgotten: set[bytes] = set()
        self.sent: list[OutcomesArrived] = []
        self.queue: list[Any] = []
        self.ventilator = VentilatorModel()
        self.readers: dict[tuple[bytes, bytes], ReaderModel] = {}
        self.start()

    def start(self) -> None:
        self.boot += 1
        self.queue.clear()
        self.forgotten.clear()  # that is not on disk: what comes in so late is recorded, and harms nobody
        self.core = SinkCore(self.boot, self.store.head(), self.store.recorded(), sink=SINK)
        for reader in self.readers.values():
            reader.asks = True

    # ------------------------------------------------------------------------------------------ the loop

    @rule()
    def turn(self) -> None:
        """Everything that arrived, and what reads bring, until it is quiet."""
        self.now += 0.01
        while True:
            events, self.queue = self.queue, []
            if not self.one_turn(events):
                break

    def one_turn(self, events: list[Any]) -> bool:
        actions: Actions = []
        for event in events:
            self.expect(event)
            actions += self.core.handle(event, self.now)
            self.core.check()
        actions += self.core.tick(self.now)
        self.core.check()
        self.store.save([action for action in actions if isinstance(action, SAVES)])
        for action in actions:
            if not isinstance(action, SAVES):
                self.perform(action)
        return bool(self.queue)

    def perform(self, action: Any) -> None:
        match action:
            case Report(message):
                if not self.cut:
                    self.ventilator.on(message)
            case Answer(client, Rows() as rows, payload):
                if (client, rows.batch) in self.readers:
                    self.readers[client, rows.batch].on(rows, payload)
            case Answer(_, SinkUp(boot)):
                assert boot == self.boot
            case ReadRows(client, batch, after, limit):
                records, payload, position, more = self.store.rows_after(batch, after, limit)
                self.queue.append(RowsRead(client, batch, records, payload, position, more))
            case ReadLog(after, _):
                chain, lines, more = self.store.log_after(after, 3)
                self.queue.append(LogRead(after, chain, lines, more))
            case ReadSpan() | Log():
                raise AssertionError(f"nobody asked for {action}")

    cut = False

    def expect(self, event: Any) -> None:
        """The plainest statement of what is recorded."""
        match event:
            case OutcomesArrived(_, _, records, bodies):
                for head, body in zip(records, bodies, strict=True):
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
            if job in self.ended:
                continue
            if head.final:
                if newest is None or newest.generation <= head.stamp.generation:
                    self.ended[job] = (head.state, values[head.offset + index - head.start])
            elif newest is None or head.stamp > newest:
                self.attempts[job] = head.stamp

    # ------------------------------------------------------------------------------------------ what happens

    @rule(
        batch=st.sampled_from(BATCHES),
        start=st.integers(0, JOBS - 1),
        count=st.integers(1, JOBS),
        attempt=st.integers(1, 3),
        generation=st.sampled_from([0, 0, 0, 1]),
        state=st.sampled_from([JobState.SUCCEEDED, JobState.FAILED, JobState.TIMED_OUT]),
        final=st.booleans(),
        worker=st.sampled_from(WORKERS),
    )
    def outcome(
        self, batch: bytes, start: int, count: int, attempt: int, generation: int, state: JobState, final: bool, worker: bytes
    ) -> None:
        """A worker sends an outcome; each value is a number that no other outcome has."""
        stop = min(start + count, JOBS)
        values = list(range(self.serial, self.serial + stop - start))
        self.serial += len(values)
        body = msgspec.msgpack.encode(values) if final else b""
        stamp = Stamp(generation, attempt, 0)
        head = head_of(batch, start, stop, state=state, final=final, stamp=stamp, size=len(body))
        message = arrived((head, body), worker=worker)
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
    def verdict(
        self, batch: bytes, start: int, state: JobState, final: bool, attempt: int, count: int = 1
    ) -> None:
        """The ventilator's word on a job."""
        stamp = Stamp(2 * (count > 1), attempt, attempt - 1)
        head = head_of(batch, start, start + count, state=state, final=final, crashed=not final, stamp=stamp)
        self.queue.append(Verdicts((head,)))

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

    @precondition(lambda self: not self.cut)
    @rule(batch=st.sampled_from(BATCHES))
    def forget(self, batch: bytes) -> None:
        """The ventilator's client has read a batch to its end: nobody knows anything of it any more."""
        self.verdict(batch, 0, JobState.DEAD, True, 3, JOBS)
        for _ in range(JOBS):
            self.beat()
            self.turn()
        assert self.ventilator.applied == self.store.head()[0]
        self.forgotten.add(batch)
        for client in CLIENTS:
            self.readers.pop((client, batch), None)
        for truth in (self.ended, self.attempts, self.ventilator.ended):
            for job in [job for job in truth if job[0] == batch]:
                del truth[job]
        self.queue += [ForgetBatch(batch), SinkBeat(self.beats, self.ventilator.applied)]
        self.turn()  # a forget that waits is lost with the sink

    @rule(client=st.sampled_from(CLIENTS), batch=st.sampled_from(BATCHES), credit=st.integers(0, 2000))
    def follow(self, client: bytes, batch: bytes, credit: int) -> None:
        """A client begins, or begins again where it is."""
        if batch not in self.forgotten:
            reader = self.readers.setdefault((client, batch), ReaderModel())
            reader.asks, reader.spent = False, 0
            self.queue.append(FromClient(client, Follow(batch, reader.position, credit)))

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def take_in(self, data: st.DataObject) -> None:
        """A client gives back what it has spent."""
        client, batch = data.draw(st.sampled_from(sorted(self.readers)))
        reader = self.readers[client, batch]
        self.queue.append(FromClient(client, Credit(batch, reader.spent)))
        reader.spent = 0

    @rule(with_commit=st.booleans())
    def kill(self, with_commit: bool) -> None:
        """The sink dies, with or without what has just arrived."""
        if with_commit:
            self.turn()
        self.start()

    # ------------------------------------------------------------------------------------------ what holds

    @invariant()
    def the_barrier_holds(self) -> None:
        """What the sink had told before the echo is all that it had recorded then."""
        assert self.ventilator.head <= self.store.head()[0]

    @invariant()
    def the_ventilator_believes_what_is_recorded(self) -> None:
        """No job ended otherwise than it is recorded."""
        for job, state in self.ventilator.ended.items():
            assert self.ended[job][0] == state

    @invariant()
    def readers_saw_what_is_recorded(self) -> None:
        """And nothing else."""
        for (_, batch), reader in self.readers.items():
            for index, value in reader.values.items():
                assert self.ended[batch, index] == value

    def teardown(self) -> None:
        """When all is quiet and everybody has credit, everybody knows everything."""
        self.cut = False
        for (client, batch), reader in self.readers.items():
            self.queue.append(FromClient(client, Follow(batch, reader.position, 1 << 20)))
        for _ in range(40):
            self.now += 1.0
            self.turn()
            self.beat()
        assert self.ventilator.applied == self.store.head()[0]
        assert self.ventilator.echo >= self.beats - 1
        assert self.ventilator.ended == {job: state for job, (state, _) in self.ended.items()}
        for batch in BATCHES:
            expected = {index: value for (of, index), value in self.ended.items() if of == batch}
            stored = dict(values_of(*self.store.rows_in(batch, 0, JOBS)))
            assert stored == expected
            for client in CLIENTS:
                if (client, batch) in self.readers:
                    assert self.readers[client, batch].values == expected


class StoredSinkMachine(SinkMachine):
    """The same over a real results file, which is opened anew at each start of the sink."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
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
