"""What running jobs of a batch write, shown while it comes: whole lines, those of a job in their order.

Promises:

1. A byte of a job's output is shown once: here, or from the outcome, which begins behind what was shown here.
2. What is lost, or comes faster than it is read, is missing here from there on until its job has ended.
3. Of a job that is run again the new run is shown from its beginning.
4. What is kept is bounded: the ends of lines that have not come, and lines that wait for their turn.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from penstock.client.follow import Bytes, Follower, Row
from penstock.job.spans import SpanSet
from penstock.wire.frames import split
from penstock.wire.messages import Credit, Follow, print_cost
from penstock.wire.messages import Live as LiveMessage
from penstock.wire.records import Print

if TYPE_CHECKING:
    from penstock.client.session import Session

LIVE_WINDOW = 8 << 20
"""Bytes that may be under way from the sink."""
PENDING_BYTES = 16 << 20
"""Of all jobs together: what has come and not been shown."""
CREDIT_SHARE = 4
"""Credit is given back when it is one so-manieth of the window."""
FOLLOW_INTERVAL = 15.0
"""Seconds after which Follow is sent again, as by every follower."""

Seen = tuple[int, int]
"""Bytes of a job's stdout and stderr that were shown."""


class Onlooker(Protocol):
    """What shows the output to people, in the thread that reads the batch."""

    def is_turn(self, index: int) -> bool:
        """Whether lines of this job are to be shown now."""

    def show(self, index: int, stdout: bytes, stderr: bytes) -> None:
        """A job wrote these lines."""

    def shown(self) -> None:
        """What was shown so far is noted, and will not be shown again."""


class Stream:
    """The stdout or the stderr of one run of a job: what was shown of it, and what waits to be shown."""

    def __init__(self) -> None:
        self.seen: int = 0
        self.pending: bytearray = bytearray()
        """What has come behind it."""
        self.ended: bool = False
        """Something is missing behind that."""

    def add(self, position: int, data: Bytes) -> int:
        """This came; returns how much of it is kept."""
        if self.ended or position != self.seen + len(self.pending):
            self.ended |= position > self.seen + len(self.pending)
            return 0
        self.pending += data
        return len(data)

    def lines(self) -> bytes:
        """The whole lines of it."""
        return bytes(self.pending[: self.pending.rfind(b"\n") + 1])

    def pass_on(self, count: int) -> int:
        """So much was shown; returns how much less is kept."""
        self.seen += count
        before = len(self.pending)
        del self.pending[:count]
        return before - len(self.pending)

    def give_up(self) -> int:
        """No more of it before the outcome; returns how much less is kept."""
        self.ended = True
        kept = len(self.pending)
        self.pending.clear()
        return kept


class Run:
    """One run of a job, which has a lease of its own."""

    def __init__(self, lease: int) -> None:
        self.lease = lease
        self.streams: tuple[Stream, Stream] = (Stream(), Stream())

    @property
    def seen(self) -> Seen:
        """What was shown of it."""
        return self.streams[0].seen, self.streams[1].seen

    @property
    def kept(self) -> int:
        """How many bytes wait to be shown."""
        return sum(len(stream.pending) for stream in self.streams)


class Live:
    """The output of the running jobs of one batch. The session's thread puts in what comes, and the thread that reads
    the batch shows it."""

    window = 0
    """It takes no rows: who reads the batch has them by another follower."""

    def __init__(self) -> None:
        self.onlooker: Onlooker | None = None
        self.wake: Callable[[], None] | None = None
        """Called when there is something to show."""
        self.ready: bool = False
        """Whether something came since the last look."""
        self._lock = threading.Lock()
        self._runs: dict[int, Run] = {}
        self._seen: dict[int, Seen] = {}
        """Of jobs that have ended, until somebody asks."""
        self._over = SpanSet()
        self._kept = 0

    def begin(self, session: Session, batch: bytes) -> None:
        """Have it sent, from now on: before the batch is submitted nothing is missed."""
        session.follow(LiveFollower(batch, self))

    def take(self, rows: list[Row], cost: int) -> int:  # noqa: ARG002 - as every reader has it
        """None are asked for."""
        return cost

    def fail(self, error: BaseException) -> None:
        """Wake whoever reads the batch, too."""

    def add(self, records: tuple[Print, ...], bodies: list[memoryview]) -> None:
        """Running jobs wrote this."""
        with self._lock:
            for record, body in zip(records, bodies, strict=True):
                self._add(record, body)
            self.ready = True
        if self.wake is not None:
            self.wake()

    def _add(self, record: Print, body: memoryview) -> None:
        if record.index in self._over:
            return
        run = self._runs.get(record.index)
        if run is None or run.lease < record.lease:
            self._kept -= run.kept if run is not None else 0
            run = self._runs[record.index] = Run(record.lease)
        elif record.lease < run.lease:
            return
        stream = run.streams[record.is_error]
        self._kept += stream.add(record.position, body)
        if self._kept > PENDING_BYTES:
            self._kept -= stream.give_up()

    def show(self) -> None:
        """Show what there is (the reading thread's part)."""
        self.ready = False
        onlooker = self.onlooker
        if onlooker is None:
            return
        for index in [index for index in list(self._runs) if onlooker.is_turn(index)]:
            with self._lock:
                run = self._runs[index]
                texts = run.streams[0].lines(), run.streams[1].lines()
            if any(texts):
                onlooker.show(index, *texts)
                self._pass_on(index, run, texts)
                onlooker.shown()

    def _pass_on(self, index: int, run: Run, texts: tuple[bytes, bytes]) -> None:
        with self._lock:
            if self._runs[index] is run:  # else it began again meanwhile
                self._kept -= sum(stream.pass_on(len(text)) for stream, text in zip(run.streams, texts, strict=True))

    def settle(self, row: Row) -> None:
        """These jobs have ended, and are about to be shown (the reading thread's part)."""
        self.show()  # what came up to now may be all that is kept of it
        with self._lock:
            self._over.add(row.start, row.stop)
            for index in [index for index in self._runs if row.start <= index < row.stop]:
                run = self._runs.pop(index)
                self._kept -= run.kept
                if run.lease == row.head.lease:
                    self._seen[index] = run.seen

    def seen(self, index: int) -> Seen:
        """How much was shown of the run that a job's outcome is of. Forgets it."""
        return self._seen.pop(index, (0, 0))


class LiveFollower(Follower):
    """Asks the sink for what the jobs of one batch write, and gives it on."""

    asked: bool
    said_at: float
    owed: int

    def __init__(self, batch: bytes, live: Live) -> None:
        super().__init__(batch, live)
        self._live = live

    def follow(self, now: float, number: int) -> Follow:
        """Start or start again."""
        self.asked, self.said_at, self.owed = True, now, 0
        return Follow(self.batch, 0, 0, number, LIVE_WINDOW, parts=True)

    def next_message(self, now: float, numbers: Iterator[int]) -> Follow | Credit | None:
        """What is to be sent to the sink now."""
        if not self.asked or now >= self.said_at + FOLLOW_INTERVAL:
            return self.follow(now, next(numbers))
        if self.owed * CREDIT_SHARE < LIVE_WINDOW:
            return None
        message, self.owed, self.said_at = Credit(self.batch, 0, self.owed), 0, now
        return message

    def on_live(self, message: LiveMessage, payload: Bytes) -> None:
        """Running jobs wrote this."""
        self.owed += sum(map(print_cost, message.records))
        self._live.add(message.records, split(payload, [record.size for record in message.records]))
