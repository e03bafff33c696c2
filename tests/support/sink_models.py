"""A ventilator, clients and workers around a SinkCore, for its state machine: each with a simple model of the truth."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, get_args

import msgspec
from hypothesis import strategies as st
from msgspec.structs import replace

from penstock.job.spec import JobState, Stamp
from penstock.sink.contract import FromWorker, SaveClaim, SaveRecorded, SaveRow
from penstock.sink.hash_chain import completion
from penstock.station.contract import Bytes, DeleteBatch, FromClient, Save
from penstock.station.growth import Growth
from penstock.station.recorded_jobs import RecordedLine, StoredRecord
from penstock.wire.frames import join, split
from penstock.wire.messages import (
    Completions,
    Credit,
    Diverged,
    Follow,
    ForgetBatch,
    Outcomes,
    Replay,
    Rows,
    SinkBeat,
    SinkHead,
    credit_cost,
)
from penstock.wire.records import Completion, Message, OutcomeHead

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


def arrived(*pairs: tuple[OutcomeHead, Bytes], worker: bytes = WORKERS[0]) -> FromWorker:
    """A worker's message."""
    message = Outcomes(worker, "ada", tuple(head for head, _ in pairs))
    return FromWorker(message, tuple(body for _, body in pairs))


OUTCOMES = st.builds(
    lambda batch, start, count, stamp, state, final: head_of(
        batch, start, min(start + count, JOBS), state=state, final=final, stamp=stamp
    ),
    st.sampled_from(BATCHES),
    st.integers(0, JOBS - 1),
    st.integers(1, 4),
    st.builds(Stamp, st.sampled_from([0, 0, 0, 1]), st.integers(1, 3), st.just(0)),
    st.sampled_from([JobState.SUCCEEDED, JobState.FAILED, JobState.TIMED_OUT]),
    st.booleans(),
)


class Results(Protocol):
    """What the sink needs of its store."""

    def save(self, saves: list[Any]) -> None: ...
    def head(self) -> tuple[int, bytes]: ...
    def records(self, batches: Iterable[bytes]) -> tuple[list[StoredRecord], list[SaveClaim]]: ...
    def rows_after(
        self, batch: bytes, after: int, limit_bytes: int
    ) -> tuple[tuple[OutcomeHead, ...], Bytes, int, bool]: ...
    def rows_in(
        self, batch: bytes, start: int, stop: int, place: tuple[int, int] = (0, 0)
    ) -> tuple[tuple[OutcomeHead, ...], Bytes, tuple[int, int] | None]: ...
    def log_after(self, seq: int, limit: int) -> tuple[bytes | None, tuple[Completion, ...], bool]: ...


class MemoryResults:
    """The results file as a list: the plainest thing that keeps the contract of ResultStore."""

    def __init__(self) -> None:
        self.rows: list[SaveRow] = []
        self.claimed: dict[tuple[bytes, bytes], SaveClaim] = {}
        self.end = (0, b"")
        self.hole = (0, b"")
        self.path = Path("no such file")
        self.growth = Growth(self.path, lambda: 0)

    def save(self, saves: list[Any]) -> None:
        for save in saves:
            match save:
                case SaveRow():
                    assert save.seq == self.end[0] + 1, "the log has no gap"
                    self.rows.append(save)
                    self.end = (save.seq, save.chain)
                case SaveRecorded():
                    pass  # every line is still here
                case SaveClaim():
                    self.claimed[save.batch, save.reader] = save
                case DeleteBatch(batch):
                    self.claimed = {key: claim for key, claim in self.claimed.items() if claim.batch != batch}
                    self.hole = max(self.hole, *[(row.seq, row.chain) for row in self.rows if row.head.batch == batch])
                    self.rows = [row for row in self.rows if row.head.batch != batch]

    def head(self) -> tuple[int, bytes]:
        return self.end

    def recorded(self) -> Iterator[StoredRecord]:
        for batch in {row.head.batch for row in self.rows}:
            heads = [row.head for row in self.rows if row.head.batch == batch]
            yield StoredRecord(
                batch,
                (),
                (),
                (),
                tuple(RecordedLine(head.start, head.stop, head.stamp, head.final) for head in heads),
                max(row.seq for row in self.rows if row.head.batch == batch),
            )

    def records(self, batches: Iterable[bytes]) -> tuple[list[StoredRecord], list[SaveClaim]]:
        wanted = set(batches)
        records = [record for record in self.recorded() if record.batch in wanted]
        return records, [claim for claim in self.claimed.values() if claim.batch in wanted]

    def take_found(self) -> list[str]:
        return []

    def rows_after(
        self, batch: bytes, after: int, limit_bytes: int
    ) -> tuple[tuple[OutcomeHead, ...], Bytes, int, bool]:
        rows = [row for row in self.rows if row.head.batch == batch and row.seq > after]
        given: list[SaveRow] = []
        for row in rows:
            if sum(credit_cost((head,), body) for each in given for head, body in self._pieces(each)) >= limit_bytes:
                break
            given.append(row)
        position = given[-1].seq if given else after
        pieces = [piece for row in given for piece in self._pieces(row)]
        bodies = join([body for _, body in pieces])
        return tuple(head for head, _ in pieces), bodies, position, len(given) < len(rows)

    def _pieces(self, row: SaveRow) -> Iterator[tuple[OutcomeHead, Bytes]]:
        """Job by job, neighbours together: what was opened again later loses its value."""
        head, batch = row.head, row.head.batch
        later = [
            one.head for one in self.rows if one.seq > row.seq and one.head.batch == batch and one.head.stamp.opens
        ]
        gone = [any(one.start <= index < one.stop for one in later) for index in range(head.start, head.stop)]
        if not head.final or not any(gone):
            if head.final or head.stamp.opens:
                yield head, row.body
            return
        at = head.start
        for is_gone, same in itertools.groupby(gone):
            stop = at + len(list(same))
            elapsed = head.elapsed * (stop - at) / (head.stop - head.start)
            part = replace(head, start=at, stop=stop, offset=head.offset + at - head.start, elapsed=elapsed)
            yield (replace(part, final=False, size=0, note=None), b"") if is_gone else (part, row.body)
            at = stop

    def rows_in(
        self, batch: bytes, start: int, stop: int, place: tuple[int, int] = (0, 0)
    ) -> tuple[tuple[OutcomeHead, ...], Bytes, tuple[int, int] | None]:
        assert place == (0, 0), "there is little here"
        rows = [row for row in self.rows if row.head.batch == batch and row.head.start < stop and row.head.stop > start]
        return tuple(row.head for row in rows), join([row.body for row in rows]), None

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
        self.attempts: dict[Job, Stamp] = {}
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
        for index in range(line.start, line.stop):
            job = (line.batch, index)
            if line.stamp.opens:
                self.ended.pop(job, None)
            assert job not in self.ended, "a job ends once, and nothing comes after that"
            if line.final:
                self.ended[job] = line.state
            else:
                assert job not in self.attempts or self.attempts[job] < line.stamp, "attempts only get newer"
                self.attempts[job] = line.stamp


class Wire:
    """What leaves the sink, line by line and row by row, against its promises."""

    def __init__(self, seq: int) -> None:
        self.told = seq
        self.applied = 0
        self.echo = 0
        self.places: dict[tuple[bytes, bytes], int] = {}
        self.credit: dict[tuple[bytes, bytes], int] = {}

    def handled(self, event: Any) -> None:
        match event:
            case Replay(seq):
                self.told = seq
            case SinkBeat(number, applied):
                self.echo, self.applied = number, applied
            case FromClient(client, Follow(batch, after, credit)):
                self.places[client, batch], self.credit[client, batch] = after, credit
            case FromClient(client, Credit(batch, count)) if (client, batch) in self.credit:
                self.credit[client, batch] += count
            case ForgetBatch(batch):
                for client in CLIENTS:
                    self.places.pop((client, batch), None)
                    self.credit.pop((client, batch), None)

    def report(self, message: Message) -> None:
        match message:
            case Completions(_, _, records):
                first = records[0].seq
                assert first == self.told + 1 or (first == self.applied + 1 > self.told), "told once, in order"
                assert [line.seq for line in records] == list(range(first, first + len(records)))
                self.told = records[-1].seq
            case SinkHead():
                assert message.seq == max(self.told, self.applied), "all lines up to the head were told"
                assert message.echo == self.echo

    def rows(self, client: bytes, message: Rows, payload: Bytes) -> None:
        key = (client, message.batch)
        assert message.after == self.places[key], "rows go on from where the last ones ended"
        assert self.credit[key] > 0, "rows need credit"
        records = message.records
        starts = (at for at in range(len(records) - 1, 0, -1) if records[at - 1].stop != records[at].start)
        last = records[next(starts, 0) :]  # maybe one line, in pieces
        last_cost = credit_cost(last, payload[len(payload) - sum(record.size for record in last) :])
        self.credit[key] -= credit_cost(message.records, payload)
        assert self.credit[key] + last_cost > 0, "only the last row exceeds the credit"
        self.places[key] = message.position


class ReaderModel:
    """One client that follows one batch, as the client module does: by position."""

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self.values: dict[int, Value] = {}
        self.spent = 0
        self.number = 0

    def follow(self, batch: bytes, credit: int) -> Follow:
        self.spent, self.number = 0, self.number + 1
        return Follow(batch, self.position, credit, self.number)

    def on(self, message: Rows, payload: Bytes) -> None:
        if message.number != self.number:
            return
        assert message.after == self.position, "nothing is lost here"
        assert message.position > message.after
        self.position = message.position
        self.spent += credit_cost(message.records, payload)
        for head, body in zip(message.records, split(payload, [one.size for one in message.records]), strict=True):
            if head.stamp.opens:
                for index in range(head.start, head.stop):
                    self.values.pop(index, None)
            for index, value in values_of((head,), body):
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


def newest_values(records: tuple[OutcomeHead, ...], payload: Bytes) -> dict[int, Value]:
    """The outcomes that hold, of all that is recorded of some jobs."""
    bodies = split(payload, [record.size for record in records])
    found: dict[int, Value] = {}
    for record, body in sorted(zip(records, bodies, strict=True), key=lambda one: one[0].stamp):
        if record.stamp.opens:
            for index in range(record.start, record.stop):
                found.pop(index, None)
        found.update(values_of((record,), body))
    return found
