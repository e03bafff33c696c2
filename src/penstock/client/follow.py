"""Batches that are followed at the sink: where each reader is, what it may still be sent, and what to say again.

Promises:

1. A reader is given every row behind its position once, in the order of recording, whatever was lost or repeated.
2. What the sink may send beyond what the reader has taken in is bounded by the reader's window.
3. Outcomes are numbered in the order of recording, the same at every reading: those that a retry has superseded keep
   their numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple, Protocol

from penstock.wire.frames import split
from penstock.wire.messages import Credit, Follow, Live, Rows, SinkUp, Unfollow, credit_cost
from penstock.wire.records import Message, OutcomeHead

Bytes = bytes | memoryview

CREDIT_SHARE = 4
"""Credit is given back when it is one so-manieth of the window: a message per row would cost more than the row."""
FOLLOW_INTERVAL = 15.0
"""Seconds without a word after which Follow is sent again: the sink forgets followers it has not heard of for 60 s,
and if it could not send something, this brings it."""


class Row(NamedTuple):
    """The outcome of the jobs [start, stop) of a batch, which is the same for all but their values: `body` is the list
    of these, and `offset` the place of the first job's in it."""

    head: OutcomeHead
    start: int
    stop: int
    offset: int
    body: Bytes
    position: int
    """How many outcomes of the batch were recorded up to and with the first of these."""
    is_charged: bool = True
    """Whether it takes up room in its reader's window."""

    @property
    def opens(self) -> bool:
        """Whether its jobs were opened again: what was recorded of them before counts no longer."""
        return self.head.stamp.opens

    @property
    def size(self) -> int:
        """Bytes that it takes up."""
        return credit_cost((self.head,), self.body)

    @property
    def cost(self) -> int:
        """Bytes of its reader's window."""
        return self.size if self.is_charged else 0

    @property
    def jobs(self) -> int:
        """How many jobs it is about."""
        return self.stop - self.start

    def part(self, start: int, stop: int) -> Row:
        """What it says of these of its jobs."""
        place = start - self.start
        return self._replace(start=start, stop=stop, offset=self.offset + place, position=self.position + place)


class Reader(Protocol):
    """What takes the rows of one batch, in the session's thread."""

    window: int
    """Bytes it can hold."""

    def take(self, rows: list[Row], cost: int) -> int:
        """These came, and cost so many bytes of the window; returns how many of them are free again at once.

        A row that is not final is an opening, or what is left of an outcome that one behind it has superseded.
        """

    def fail(self, error: BaseException) -> None:
        """No more will come."""


class Follower:
    """How far one reader has got in one batch, as the sink and this client know it. It asks again for what was lost."""

    def __init__(self, batch: bytes, reader: Reader, *, accepted: bool = False) -> None:
        """`accepted`: the batch is known to be so."""
        self.batch = batch
        self.reader = reader
        self.accepted = accepted
        """So if it is not at the ventilator it is gone."""
        self.held: int = 0
        """Bytes that the reader has not given back."""
        self.owed: int = 0
        """Bytes it has given back, and the sink has not been told."""
        self.asked: bool = False
        """Whether the sink has been told of this place."""
        self.said_at: float = 0.0
        self._position = 0
        self._number = 0
        """Of the last Follow: rows that were under way before it come again."""
        self._seen = 0

    def follow(self, now: float, number: int) -> Follow:
        """Start or start again behind what the reader has."""
        self.asked, self.said_at, self.owed, self._number = True, now, 0, number
        return Follow(self.batch, self._position, max(0, self.reader.window - self.held), self._number, parts=True)

    def next_message(self, now: float, numbers: Iterator[int]) -> Follow | Credit | None:
        """What is to be sent to the sink now; a Follow takes the next of the numbers."""
        if not self.asked or now >= self.said_at + FOLLOW_INTERVAL:
            return self.follow(now, next(numbers))
        if self.owed * CREDIT_SHARE < self.reader.window:
            return None
        message, self.owed, self.said_at = Credit(self.batch, self.owed), 0, now
        return message

    def heard(self, now: float) -> None:
        """Something comes from the sink, and it is told so."""
        self.said_at = now

    def ask_again(self) -> None:
        """Say where the reader is and what it can hold: its window has changed."""
        self.asked = False

    def give_back(self, cost: int) -> None:
        """The reader has room for so many more bytes."""
        self.held -= cost
        self.owed += cost

    def on_rows(self, message: Rows, payload: Bytes) -> None:
        """Hand on what is next; what is repeated is dropped, and what follows a gap is asked for again."""
        if message.number != self._number:
            return
        if message.after != self._position:
            if message.after > self._position:
                self.asked = False
            return
        cost = credit_cost(message.records, payload)
        rows = list(self._rows(message, payload))
        self.held += cost
        self._position = message.position
        self.give_back(self.reader.take(rows, cost))

    def on_live(self, message: Live, payload: Bytes) -> None:
        """Take what running jobs wrote; the sink sends it only to a follower that asked for it."""

    def _rows(self, message: Rows, payload: Bytes) -> Iterator[Row]:
        for head, body in zip(message.records, split(payload, [r.size for r in message.records]), strict=True):
            row = Row(head, head.start, head.stop, head.offset, body, self._seen + 1)
            self._seen += 0 if row.opens else row.jobs
            yield row


class Channel:
    """The followers on one connection to the sink, which knows one for each batch."""

    def __init__(self) -> None:
        self._followers: dict[bytes, Follower] = {}
        self._boot: int | None = None
        self._gone: list[bytes] = []
        self._numbers = count(1)

    def __iter__(self) -> Iterator[Follower]:
        return iter(list(self._followers.values()))

    def has(self, batch: bytes) -> bool:
        """Whether somebody follows this batch here."""
        return batch in self._followers

    def get(self, batch: bytes) -> Follower | None:
        """The follower of this batch, if there is one."""
        return self._followers.get(batch)

    def add(self, follower: Follower) -> None:
        """Follow one more batch."""
        self._followers[follower.batch] = follower

    def remove(self, follower: Follower) -> None:
        """Follow it no longer."""
        if self._followers.get(follower.batch) is follower:
            del self._followers[follower.batch]
            if follower.asked:
                self._gone.append(follower.batch)

    def reconnected(self) -> None:
        """The sink knows nothing of this connection."""
        self._boot = None
        self._gone.clear()
        self._ask_all()

    def _ask_all(self) -> None:
        for follower in self._followers.values():
            follower.asked = False

    def heard(self, now: float) -> None:
        """Something comes from the sink, and takes its time."""
        for follower in self._followers.values():
            follower.heard(now)

    def on_message(self, message: Rows | Live | SinkUp, payload: Bytes) -> None:
        """Something for one of the followers, or the sink's answer to the first Follow."""
        if isinstance(message, SinkUp):
            if self._boot not in (None, message.boot):
                self._ask_all()
            self._boot = message.boot
        elif (follower := self._followers.get(message.batch)) is not None and follower.asked:
            if isinstance(message, Live):
                follower.on_live(message, payload)
            else:
                follower.on_rows(message, payload)

    def transmit(self, send: Callable[[Message], bool], now: float) -> bool:
        """Send what is due now; returns whether the socket took it all."""
        while self._gone:
            if self._gone[-1] not in self._followers and not send(Unfollow(self._gone[-1])):
                return False
            self._gone.pop()
        for follower in self._followers.values():
            message = follower.next_message(now, self._numbers)
            if message is not None and not send(message):
                follower.asked = False
                return False
        return True
