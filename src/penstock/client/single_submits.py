"""Submits made one by one, joined into batches: what is paid per job is little, the rest is paid per chunk.

All submits of one function with the same options join one open batch, their stream. It is closed when the client
flushes or leaves, or when it has not been among the most recently used ones.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.client.callback_thread import attempt
from penstock.client.follow import Follower, Row
from penstock.client.functions import Function
from penstock.client.futures import JobFuture
from penstock.client.results import error_of, unusable, values_of
from penstock.client.submit_packing import Part, opening
from penstock.job import payload
from penstock.job.payload import Unreadable
from penstock.job.spans import SpanSet
from penstock.job.spec import BatchId, BatchSpec, JobState, new_batch_id
from penstock.wire.desk_messages import BatchClose, Cancel, ChunkHead

if TYPE_CHECKING:
    from penstock.client.session import Session

CHUNK_JOBS = 1_000
"""Single submits that travel as one chunk at most."""
CHUNK_BYTES = 1 << 20
WINDOW = 64 << 20
"""Bytes of results under way to futures, or waiting for the callbacks of earlier ones."""
GIVE_BACK_SHARE = 8
"""What was delivered is given back in so-manieths of the window."""
CHARGE_BYTES = 64 << 10
"""Of submits that pile up, told to the session at once."""
OPEN_STREAMS = 64
"""Batches kept open for further submits: the functions a program uses in turns."""
WAIT_INTERVAL = 0.5
"""Seconds between two looks at whether a session that is waited for is still there."""
CANCELLED, NO_WORDS = b"", msgspec.msgpack.encode([])
"""What stands for a job that was cancelled before it left, also among commands."""


OnRow = Callable[[Row, BatchSpec], None]
"""Told of each outcome before its future is (in the thread of callbacks)."""


def chunk_of(spec: BatchSpec, items: list[bytes]) -> bytes:
    """The payload of single submits."""
    if spec.kind == "command":
        return msgspec.msgpack.encode([msgspec.Raw(item or NO_WORDS) for item in items])
    return payload.blobs_chunk(items, spec.serializer)


class Stream:
    """One batch that takes in single submits, and the futures of those."""

    window = WINDOW

    def __init__(self, session: Session, spec: BatchSpec, function: Function, left: Callable[[Stream], None]) -> None:
        """`left` is told when it is closed and every future is done."""
        self.batch: BatchId = new_batch_id()
        self.spec = spec
        self.futures: dict[int, JobFuture[Any]] = {}
        self.count: int = 0
        self.closed: bool = False
        """Whether no more jobs join it."""
        self.collected: bool = False
        """Whether it is among those that the next turn takes parts from."""
        self.on_row: OnRow | None = None
        self.on_refused: Callable[[BaseException], None] | None = None
        self._session = session
        self._pending: list[bytes] = []
        self._pending_lock = threading.Lock()
        self._first = 0
        """Index of the first of these."""
        self._freed = 0
        self._opening: Part | None = opening(self.batch, spec, function)
        self._said_closed = False
        self._refusal: BaseException | None = None
        self._left = left
        self._follower = Follower(self.batch, self)

    def add(self, item: bytes) -> JobFuture[Any]:
        """Add a job to this batch; returns its Future."""
        index = self.count
        self.count = index + 1
        future = self.futures[index] = JobFuture(self, index, self.batch)
        self._pending.append(item)
        return future

    def take_parts(self) -> Iterator[Part]:
        """What was added since the last time (in the session's thread)."""
        self.collected = False
        with self._pending_lock:
            first, items, self._pending = self._first, self._pending, []
            self._first += len(items)
        if self._refusal is not None:  # these were added in the moment in which it came
            self.fail(self._refusal)
            return
        if self._opening is not None:
            yield self._opening
            self._opening = None
            self._session.on_refusal(self.batch, self._refuse)
            self._session.follow(self._follower)
        while items:
            some = _first_items(items)
            blob = chunk_of(self.spec, some)
            cancelled = SpanSet((at, at + 1) for at, item in enumerate(some, first) if item == CANCELLED)
            yield Part(ChunkHead(self.batch, first, len(some), len(blob), cancelled=tuple(cancelled)), blob)
            first += len(some)
            items = items[len(some) :]
        if self.closed and not self._said_closed:
            self._said_closed = True
            yield Part(BatchClose(self.batch, self._first))
            self._leave_if_done()

    def take(self, rows: list[Row], cost: int) -> int:
        """Outcomes came (in the session's thread): settle their futures where callbacks may run."""
        self._session.delivery.put(partial(self._deliver, rows, cost))
        return 0

    def _deliver(self, rows: list[Row], cost: int) -> None:
        for row in rows:
            if not row.head.final:
                continue  # a retry: the future has told what came of its job
            if self.on_row is not None:
                self.on_row(row, self.spec)
            self._settle(row)
        self._freed += cost
        if self._freed * GIVE_BACK_SHARE >= self.window:
            self._session.give_back(self._follower, self._freed)
            self._freed = 0
        self._leave_if_done()

    def _settle(self, row: Row) -> None:
        """What unpickling raises is the error of these jobs, and what a callback raises is nobody's."""
        futures = [self.futures.pop(index, None) for index in range(row.start, row.stop)]
        values: list[Any] = [None] * row.jobs
        if row.head.state is JobState.SUCCEEDED:
            values = values_of(row, self.spec)
        for place, (future, value) in enumerate(zip(futures, values, strict=True)):
            if future is not None:
                attempt(partial(future.settle, value, self._failure(row, place, value)))

    def _failure(self, row: Row, place: int, value: Any) -> BaseException | None:
        if row.head.state is not JobState.SUCCEEDED:
            return error_of(row, row.start + place, self.spec)
        return unusable(value.error, row) if type(value) is Unreadable else None

    def _leave_if_done(self) -> None:
        if self._said_closed and not self.futures:
            self._session.unfollow(self._follower)
            self._session.on_refusal(self.batch, None)
            self._left(self)

    def _refuse(self, error: BaseException) -> None:
        self.closed = self._said_closed = True
        self._refusal = error
        if self.on_refused is not None:
            self.on_refused(error)
        self.fail(error)

    def fail(self, error: BaseException) -> None:
        """No outcome will come for what is open."""
        self._session.delivery.put(partial(self._fail, error))

    def _fail(self, error: BaseException) -> None:
        for index in list(self.futures):
            if (future := self.futures.pop(index, None)) is not None:
                attempt(partial(future.settle, None, error))
        self._leave_if_done()

    def ensure_may_wait(self) -> None:
        """Raises RuntimeError: whoever waits here for an outcome is the one who would bring it."""
        self._session.ensure_may_wait()

    @property
    def is_delivering(self) -> bool:
        """Whether the caller is in the thread of callbacks."""
        return self._session.delivery.is_here

    def cancel(self, index: int) -> bool:
        """Whether this job is known to be cancelled before it started."""
        with self._pending_lock:
            if index >= self._first:  # it has not left this process, and never will
                self._pending[index - self._first] = CANCELLED
                self.futures.pop(index, None)
                return True
        return self._session.cancelling.cancel(self.batch, index)

    def cancel_all(self, *, unstarted_only: bool) -> Future[tuple[Any, Any]]:
        """Cancel what is open; the outcomes say which were, the answer how many."""
        for future in list(self.futures.values()):
            future.expect_cancel()
        return self._session.request(lambda number: Cancel(number, self.batch, 0, self.count, unstarted_only))


class Streams:
    """The open batches of one client's single submits: one for each function and options."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[bytes, BatchSpec], Stream] = OrderedDict()
        self._collected: list[Stream] = []
        self._living: dict[bytes, Stream] = {}
        self.on_row: OnRow | None = None
        """Of the streams that start from now on."""
        self.session: Session
        """The session that takes the parts: set before the first submit."""
        self._refusal: BaseException | None = None
        self._charged = 0
        """Bytes of items not yet taken that the session has been told of."""
        self._uncharged = 0
        """And of those that it has not: telling it of each would cost as much as the rest of a submit."""

    def submit(self, spec: BatchSpec, function: Function, item: bytes) -> JobFuture[Any]:
        """One more job of the function with this digest."""
        self.session.await_room()
        key = (function.digest, spec)
        with self._lock:
            stream = self._open.get(key)
            if stream is None or stream.closed:
                stream = self._start(spec, function)
            elif len(self._open) > 1:
                self._open.move_to_end(key)
            future = stream.add(item)
            self._collect(stream)
            if spec.traceparent:  # no other submit has this span: nothing more will join it
                self._close(self._open.pop(key))
            self._uncharged += len(item)
            if self._uncharged > CHARGE_BYTES:
                self.session.charge(self._uncharged)
                self._charged += self._uncharged
                self._uncharged = 0
        self.session.wake()
        return future

    def enlist(self, stream: Stream, future: JobFuture[Any]) -> JobFuture[Any]:
        """Settle the future of a batch of one job that is accepted already; returns the one that is waited on now."""
        with self._lock:
            living = self._living.get(stream.batch)
            waited_on = living.futures.get(0) if living is not None else None
            if waited_on is not None:
                return waited_on
            stream.on_row = self.on_row
            self._living[stream.batch] = stream
        return future

    def _start(self, spec: BatchSpec, function: Function) -> Stream:
        self.session.delivery.start()  # when outcomes come, the interpreter may be too near its end for a new thread
        stream = self._open[function.digest, spec] = Stream(self.session, spec, function, self.left)
        stream.on_row, stream.on_refused = self.on_row, self.note_refusal
        self._living[stream.batch] = stream
        if len(self._open) > OPEN_STREAMS:
            self._close(self._open.popitem(last=False)[1])
        return stream

    def _collect(self, stream: Stream) -> None:
        if not stream.collected:
            stream.collected = True
            self._collected.append(stream)

    def _close(self, stream: Stream) -> None:
        stream.closed = True
        self._collect(stream)

    def take_parts(self) -> list[Part]:
        """What piled up since the last turn (in the session's thread)."""
        if not self._collected:
            return []
        with self._lock:
            collected, self._collected = self._collected, []
            parts = [part for stream in collected for part in stream.take_parts()]
            self.session.charge(sum(len(part.payload) for part in parts) - self._charged)
            self._charged = self._uncharged = 0
        return parts

    def close_open(self) -> None:
        """The open batches take in no more: their totals are known then, and others can read them to their end."""
        with self._lock:
            while self._open:
                self._close(self._open.popitem()[1])

    def futures(self) -> list[JobFuture[Any]]:
        """Those that are not done."""
        with self._lock:
            return [future for stream in self._living.values() for future in list(stream.futures.values())]

    def note_refusal(self, error: BaseException) -> None:
        """A submit was not accepted."""
        if self._refusal is None:
            self._refusal = error

    def take_refusal(self) -> BaseException | None:
        """Why the first was not that has not been since the last time; None: all were."""
        refusal, self._refusal = self._refusal, None
        return refusal

    def wait(self) -> None:
        """Wait until all of them are, and their callbacks have run, or the session has failed. Raises RuntimeError in
        a callback."""
        futures = self.futures()
        if futures:
            self.session.ensure_may_wait()
        while futures and self.session.failure is None:
            futures = [future for future in wait(futures, WAIT_INTERVAL).not_done if isinstance(future, JobFuture)]
        self.session.delivery.wait()

    def living(self) -> list[Stream]:
        """Streams that take in jobs or have open futures."""
        with self._lock:
            return list(self._living.values())

    def left(self, stream: Stream) -> None:
        """It is closed and done."""
        self._living.pop(stream.batch, None)

    def fail(self, error: BaseException) -> None:
        """Nothing will be answered any more."""
        for stream in self.living():
            stream.fail(error)


def _first_items(items: list[bytes]) -> list[bytes]:
    """As many of the first ones as fit into a chunk."""
    size = 0
    for place, item in enumerate(items[:CHUNK_JOBS]):
        size += len(item)
        if place and size > CHUNK_BYTES:
            return items[:place]
    return items[:CHUNK_JOBS]
