"""A client of the virtual network: it keeps what it promised its user and what it was told, for the oracle."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.job.spec import BatchSpec, JobState
from penstock.wire.desk_messages import (
    Accepted,
    BatchClose,
    BatchOpen,
    Cancel,
    Cancelled,
    ChunkHead,
    Refused,
    Retried,
    Retry,
    Submit,
    VentilatorToClient,
)
from penstock.wire.frames import Decoder, split
from penstock.wire.messages import Follow, Rows, SinkToClient
from penstock.wire.records import Bytes, OutcomeHead
from support.sim.network import Node

if TYPE_CHECKING:
    from support.sim.world import World

CLIENT = b"client".ljust(16)
FUNCTION = b"function".ljust(16)
RESEND = 2.0
"""Seconds after which it says again what is not answered."""

_answers = Decoder(VentilatorToClient | SinkToClient)


class ClientNode(Node):
    """A client that submits batches, sends again what is not acknowledged, and follows."""

    monitored = frozenset({"desk", "results"})

    def __init__(self, world: World) -> None:
        super().__init__(world, "client")
        self.world = world
        self.id = CLIENT
        self.resend_at = 0.0
        """When it asks again for what is not answered."""
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

    def turn(self) -> None:
        names, _ = self.links.poll(0.0)
        for name, reconnected in (("desk", self.ask_again), ("results", self.follow_again)):
            if any(self.links.connection_events(name)):
                reconnected()
            for received in self.links.receive(name) if name in names else ():
                wire = _answers.decode(received.frame)
                self.on_answer(wire.message, wire.payload)
        if self.world.now >= self.resend_at:
            self.resend()
        if self.world.checking:
            assert not self.doubled, f"announced twice: {self.doubled[:3]}"
        self.wake_at(self.resend_at)

    def resend(self) -> None:
        """Time has passed: what was lost is said again."""
        self.resend_at = self.world.now + RESEND
        self.ask_again()
        self.follow_again()

    def ask_again(self) -> None:
        """All that is not answered."""
        for submit, payload in list(self.unacked.values()):
            self.links.send("desk", submit, payload)
        for request in (*self.recalls.values(), *self.asked.values()):
            self.links.send("desk", request)

    def follow_again(self) -> None:
        """From where it is."""
        for batch, position in self.position.items():
            self.follow(batch, position)

    def on_answer(self, message: Any, payload: Bytes) -> None:
        """The ventilator or the sink said something."""
        match message:
            case Accepted() as accepted:
                entry = self.unacked.pop(accepted.number, None)
                if entry is not None:
                    for chunk in entry[0].chunks:
                        self.world.acked |= {(chunk.batch, i) for i in range(chunk.first, chunk.first + chunk.count)}
            case Cancelled() as cancelled if cancelled.number in self.recalls:
                self.recalled.append((self.world.now, self.recalls.pop(cancelled.number), cancelled.jobs))
            case Retried(number, jobs):
                if number in self.asked:
                    self.retried[self.asked.pop(number).asked] = jobs
            case Refused(number, kind, text) if number in self.asked:  # nothing else is refused here
                # what was submitted before may be lost, and is said again before this is asked again
                batch = self.asked[number].batch
                is_unknown = any(one.batch == batch for submit, _ in self.unacked.values() for one in submit.chunks)
                assert is_unknown, f"{kind}: {text}"
            case Rows():
                self.on_rows(message, payload)
            case _:
                pass

    def on_rows(self, rows: Rows, payload: Bytes) -> None:
        """Outcomes, unless some before them were lost: then it asks for those."""
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

    def follow(self, batch: bytes, after: int) -> None:
        """Let the sink tell what there is of a batch behind a position."""
        self.links.send("results", Follow(batch, after, 1 << 30))

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
            self.links.send("desk", submit, payload)
            first += count
        self.follow(batch, 0)

    def cancel(self, batch: bytes, start: int, stop: int, *, unstarted_only: bool = False) -> None:
        """Cancel some jobs, once: whether that arrives is up to the network."""
        self.world.cancelled |= {(batch, index) for index in range(start, stop)}
        cancel = Cancel(next(self.numbers), batch, start, stop, unstarted_only)
        self.links.send("desk", cancel)

    def recall(self, batch: bytes, start: int, stop: int) -> None:
        """Cancel those of some jobs that have not started; asked again until it is answered."""
        self.world.cancelled |= {(batch, index) for index in range(start, stop)}
        cancel = Cancel(next(self.numbers), batch, start, stop, True)
        self.recalls[cancel.number] = cancel
        self.links.send("desk", cancel)

    def retry(self, batch: bytes, start: int, stop: int) -> None:
        """Ask until it is answered."""
        retry = Retry(next(self.numbers), self.world.fresh_id(), batch, start, stop)
        self.asked[retry.number] = retry
        self.links.send("desk", retry)
