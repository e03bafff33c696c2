"""A batch whose input may come slowly: jobs are submitted as their items come, and read before the last one is there.

Promises:

1. An item is submitted as soon as it is there, together with those that came with it.
2. The input is not read further than AHEAD jobs beyond those whose outcomes were read.
3. An input that ends, or fails, within HEADSTART is submitted whole, as `Pipeline.batch` does it, or not at all.

With a pace (submit_pacing.py) jobs are submitted one by one as it allows, and the second and third promise are the
pace's.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from penstock.client.batch import Batch
from penstock.client.batch_input import Digest, Feed
from penstock.client.functions import Function
from penstock.client.map import CHUNKS_AHEAD
from penstock.client.readers import RowReader
from penstock.client.submit_pacing import LOOK_INTERVAL
from penstock.job.spec import BatchSpec

if TYPE_CHECKING:
    from penstock.client.follow import Row
    from penstock.client.live_output import Live
    from penstock.client.session import Session
    from penstock.client.submit_pacing import Pace

HEADSTART = 0.3
"""Seconds that are waited for the end of the input: a list of files is all there by then, a log is not."""
AHEAD = 1_000_000
"""Jobs submitted and not read: hours of work in most cases, and some 100 MB where they are remembered."""
READ_AHEAD = 4096
"""Items read and not submitted: there is always a chunk's worth."""
MAX_CHUNK_JOBS = 4096
"""In one chunk: no more are there at once."""
STOP_TIME = 5.0
"""Seconds what submits has to end when it is told to; it waits for nothing but the ventilator."""


class Growing(Batch[Any]):
    """The handle on a batch that grows as its input comes. `slots`: how many jobs can run at once. `live`: shows
    what they write. `pace`: how fast it grows; None: as fast as its input comes."""

    def __init__(
        self,
        session: Session,
        spec: BatchSpec,
        function: Function,
        items: Iterable[Any],
        slots: int,
        digest: Digest | None = None,
        live: Live | None = None,
        pace: Pace | None = None,
    ) -> None:
        if live is not None:
            spec = replace(spec, live=True)
        self._feed = Feed(session, spec, function, [self._arriving()], "item", 1, None, self._ready, digest)
        super().__init__(session, self._feed.batch, spec, None)
        self.live = live
        if live is not None:
            live.begin(session, self._batch)
        self._pace = pace
        self._read_ahead = READ_AHEAD if pace is None else pace.read_ahead
        self._moved = threading.Condition()
        self._waiting: deque[Any] = deque()
        self._input_error: Exception | None = None
        self._ended = False
        self._stopped = False
        self.is_cut: bool = False
        """Whether it was cancelled before its input had ended."""
        self._drawn = 0
        self._passed = 0
        self._chunks = 0
        self._chunks_of_a_size = CHUNKS_AHEAD * slots
        self._refusals: list[BaseException] = []
        self._begun = threading.Event()
        self._submitted = threading.Event()
        self._settled = threading.Event()
        """All is submitted, or the pace keeps back the rest."""
        self._then: Callable[[int], None] | None = None
        session.on_refusal(self._batch, self._refusals.append)
        threading.Thread(target=self._read, args=(items,), name="penstock-input", daemon=True).start()
        threading.Thread(target=self._submit, name="penstock-submitting", daemon=True).start()

    def begin(self) -> None:
        """Return when all of the input is accepted, or what there is of it after HEADSTART. Raises what the input
        raised by then, or why it is refused; then nothing of it is left."""
        try:
            self._settled.wait(HEADSTART)
            is_whole = self._submitted.is_set()
            self._begun.wait()
            self._session.wait_for(self._session.accepted(), None)
            for error in (self._feed.error if is_whole else None, *self._refusals):
                if error is not None:
                    raise error
        except BaseException:
            self._stop()
            self._feed.forget()
            raise
        if is_whole:
            self._total = self._feed.submitted

    @property
    def total(self) -> int | None:
        """How many jobs there are; None: that is not known yet."""
        return self._feed.submitted if self._submitted.is_set() else None

    def when_complete(self, then: Callable[[int], None]) -> None:
        """Tell this how many jobs there are, as soon as that is known."""
        self._then = then
        if (total := self.total) is not None:
            then(total)
        elif self._pace is not None:
            self._expect()

    def _expect(self) -> None:
        """Tell how many jobs there will be, if all of a slow batch's input is here and none is missing."""
        if self._then is not None and self._ended and self._input_error is None and not self._stopped:
            self._then(self._drawn)

    @property
    def error(self) -> BaseException | None:
        """Why its input ended early; None also if that was the user's wish."""
        errors = [error for error in (self._feed.error, *self._refusals) if error is not None]  # one may be false
        return errors[0] if errors and not self._stopped else None

    def cancel(self, *, running: bool = True) -> int:
        """Read no more of the input, and cancel."""
        self._stop()
        return super().cancel(running=running)

    def _stop(self) -> None:
        with self._moved:
            self._stopped = True
            self._moved.notify_all()
        self._submitted.wait(STOP_TIME)

    # ------------------------------------------------------------------------------------- two threads

    def _read(self, items: Iterable[Any]) -> None:
        """Draw the input, which may wait for ever."""
        try:
            for item in items:
                with self._moved:
                    self._moved.wait_for(lambda: self._stopped or len(self._waiting) < self._read_ahead)
                    if self._stopped:
                        return
                    self._waiting.append(item)
                    self._drawn += 1
                    self._moved.notify_all()
        except Exception as error:  # noqa: BLE001 - it comes at its place
            self._input_error = error
        finally:
            with self._moved:
                self._ended = True
                self._moved.notify_all()
            if self._pace is not None:
                self._expect()

    def _submit(self) -> None:
        """Hand in what is there, chunk by chunk."""
        try:
            while self._feed.draw() and not self._refusals:
                self._begun.set()
            self._feed.finish()
        except Exception as error:  # noqa: BLE001 - the pipeline is gone
            self._refusals.append(error)
        finally:
            self._submitted.set()
            self._settled.set()
            self._begun.set()
        if self._then is not None:
            self._then(self._feed.submitted)

    def _ready(self, first: int) -> int:
        """How many jobs the next chunk, which begins with this one, shall have: waits until there is one."""
        if self._pace is not None:
            self._await_turn(self._pace, first)
            return 1
        with self._moved:
            self._moved.wait_for(lambda: self._stopped or first < self._passed + AHEAD)
            self._moved.wait_for(lambda: self._stopped or self._ended or self._waiting)
            self._chunks += 1
            most = min(MAX_CHUNK_JOBS, 1 << min(self._chunks // self._chunks_of_a_size, 12))
            return max(1, min(most, len(self._waiting)))

    def _await_turn(self, pace: Pace, job: int) -> None:
        """Return when the pace allows this job, when there is none, or when no more are wanted."""
        while True:
            at_once = pace.at_once()
            with self._moved:
                if self._stopped or (self._ended and not self._waiting):
                    return
                wait = LOOK_INTERVAL
                if self._waiting and job < self._passed + at_once and not (wait := pace.left()):
                    pace.begun()
                    return
                if self._waiting:
                    self._settled.set()
                self._moved.wait(wait)

    def _arriving(self) -> Iterator[Any]:
        while True:
            with self._moved:
                self._moved.wait_for(lambda: self._stopped or self._ended or self._waiting)
                if self._stopped:
                    self.is_cut = not self._ended or bool(self._waiting)
                    return
                if not self._waiting:
                    break
                item = self._waiting.popleft()
                self._moved.notify_all()
            yield item
        if self._input_error is not None:
            raise self._input_error

    # ------------------------------------------------------------------------------------- reading

    def _rows(self, kind: type[RowReader]) -> Iterator[Row]:
        for row in super()._rows(kind):
            if self._pace is not None:
                self._pace.begun(row.head.started_time)
            yield row
            if self._pace is None or self._pace.as_read:
                self._pass(self._passed + row.jobs)

    def _reader(self, kind: type[RowReader]) -> RowReader:
        reader = super()._reader(kind)
        if self._pace is not None and not self._pace.as_read:
            reader.tell_done(self._pass)
        return reader

    def _pass(self, jobs: int) -> None:
        """So many need no more room."""
        with self._moved:
            self._passed = jobs
            self._moved.notify_all()

    def _refresh(self, reader: RowReader) -> None:
        if reader.total is None and (total := self.total) is not None:
            reader.close_at(total)
