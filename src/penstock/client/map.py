"""`map`: input drawn in the caller's thread, jobs under way ahead of the reader, values back in order.

Promises:

1. An input with a length is submitted whole at the call; another one goes ahead of the reader by a bounded number
   of jobs.
2. Values come in order; an error of the input or of a job comes at its place.
3. Read to its end, closed or failed, a map leaves nothing behind; dropped unread, it runs to its end.
"""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.client.batch_input import MAX_CHUNK_JOBS, Feed
from penstock.client.follow import Row
from penstock.client.functions import Function
from penstock.client.readers import ArrivalReader, OrderReader, RowReader
from penstock.client.refusals import error_named
from penstock.client.results import Piece, error_of, handed_out, pieces_of
from penstock.errors import PenstockError
from penstock.job.spec import BatchSpec, JobState
from penstock.wire.desk_messages import AskGone, Cancel

if TYPE_CHECKING:
    from penstock.client.session import Session

CHUNKS_PER_SLOT = 32
"""Of an input whose length is known."""
CHUNKS_AHEAD = 8
"""Per slot, of an input whose length is not known."""
GROW_TIME = 0.5
"""Seconds: while all that is ahead is read within this time, chunks double."""


class MapRequest(NamedTuple):
    """A map that is to be started. `timeout`, `chunksize` and `buffersize` are those of `Pipeline.map`."""

    spec: BatchSpec
    function: Function
    iterables: Sequence[Iterable[Any]]
    form: str = ""
    """Whether an item is one argument (``item``) or all of them (``star``); empty: the number of iterables tells."""
    timeout: float | None = None
    chunksize: int | None = None
    buffersize: int | None = None
    ordered: bool = True
    """In the order of the input, else as they come."""
    chunk: Callable[[int], int] | None = None
    """By the index of a chunk's first job, how many jobs it shall have."""


class Pace(NamedTuple):
    """How far a map is submitted ahead of its reader."""

    ahead: int | None
    """Jobs; None: all there are."""
    grows: bool
    """While reading is quick, chunks and `ahead` double."""
    one_by_one: bool
    """The reader counts each value, not each row of them."""


def input_length(iterables: Sequence[Iterable[Any]]) -> int | None:
    """How many items there will be, if all of them can tell (a range of more than 2**63 numbers cannot)."""
    try:
        return min(len(iterable) for iterable in iterables)  # type: ignore[arg-type]  # asked here
    except (TypeError, ValueError, OverflowError):
        return None


def pace_of(
    length: int | None, slots: int, chunksize: int | None = None, buffersize: int | None = None
) -> tuple[int, Pace]:
    """How many jobs a chunk shall have, and the pace, for so many items (None: not known) on so many slots."""
    if buffersize is not None:
        target = chunksize or max(1, buffersize // (CHUNKS_AHEAD * slots))
        return target, Pace(buffersize, grows=False, one_by_one=True)
    if length is not None:
        return chunksize or -(-length // (CHUNKS_PER_SLOT * slots)) or 1, Pace(None, grows=False, one_by_one=False)
    target = chunksize or 1
    return target, Pace(target * CHUNKS_AHEAD * slots, grows=chunksize is None, one_by_one=False)


class Map:
    """One `map` or `imap_unordered` under way: it draws the input, submits it ahead of the reader, and hands out the
    values. It runs in its reader's thread."""

    def __init__(
        self, session: Session, feed: Feed, spec: BatchSpec, pace: Pace, *, ordered: bool, timeout: float | None
    ) -> None:
        self.closed: bool = False
        self._session = session
        self._spec = spec
        self._feed = feed
        self._pace = pace
        self._ahead = pace.ahead
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._read = 0
        self._grown_at = time.monotonic()
        self._grown_read = 0
        session.keep_alive(feed.batch, alive=True)
        kind = OrderReader if ordered else ArrivalReader
        self._reader: RowReader = kind(session, feed.batch, accepted=False)
        session.on_refusal(feed.batch, self._reader.fail)
        self._is_cut_off = False
        self._pieces: deque[Piece] = deque()
        self._is_dropped = False
        try:
            self._top_up()
        except BaseException:  # Ctrl-C while the input is drawn: nobody will read
            self.close()
            raise

    def results(self) -> Generator[Any, None, None]:
        """The values, one by one."""
        try:
            while (row := self._next_row(self._deadline)) is not None:
                if row.head.state is not JobState.SUCCEEDED:
                    raise self._why_gone(row) or error_of(row, row.start, self._spec)
                jobs = row.jobs
                values = handed_out(row, self._spec, partial(self._passed, 1) if self._pace.one_by_one else None)
                del row  # whoever reads slowly keeps only what is to come
                yield from values
                if not self._pace.one_by_one:
                    self._passed(jobs)
            if self._feed.error is not None:
                raise self._feed.error
            if self._is_cut_off and self._feed.cutter.has_more():
                raise RuntimeError("cannot schedule new futures after shutdown")
        finally:
            self.close()

    def _why_gone(self, row: Row) -> BaseException | None:
        """The reason for which the ventilator has cancelled this map; None: it has not."""
        if row.head.state is not JobState.CANCELLED:
            return None
        with suppress(PenstockError, RuntimeError):  # nobody answers, or it has been left
            answer = self._session.ask(partial(AskGone, batches=(self._feed.batch,)))
            return next((error_named(line) for line in answer.batches), None)
        return None

    def next_piece(self, timeout: float | None = None) -> Piece | None:
        """The next results, for a reader who reads on after an error; None when there are no more.

        Raises TimeoutError after `timeout` seconds, and the next call waits on; an error of the input after
        what was drawn before it.
        """
        if self._pieces:
            return self._pieces.popleft()
        row = None if self.closed else self._next_row(None if timeout is None else time.monotonic() + timeout)
        if row is not None:
            self._passed(row.jobs)
            self._pieces.extend(pieces_of(row, self._spec))
            return self._pieces.popleft()
        if not self.closed:
            self.close()
            if self._feed.error is not None:
                raise self._feed.error
        return None

    def fail(self, error: BaseException) -> None:
        """Draw no more, and expect no more outcomes than have come; the reader meets this error behind them."""
        self._feed.finished = True
        self._reader.fail(error)

    def cancel_unstarted(self) -> None:
        """Draw no more, and let nothing start any more; the reader meets JobCancelled in its place."""
        if not self.closed:
            self._feed.finish()
            self._learn_total()
            batch, jobs = self._feed.batch, self._feed.submitted
            self._session.request(lambda number: Cancel(number, batch, 0, jobs, unstarted_only=True))

    def cancel(self) -> None:
        """End what has not ended, running jobs too."""
        if not self.closed:
            self._feed.forget()

    def watch(self, results: object) -> None:
        """Run on to the end when nobody can read `results` any more."""
        weakref.finalize(results, self._abandon).atexit = False

    @property
    def open_jobs(self) -> int:
        """Jobs that were submitted and have not ended."""
        return 0 if self.closed else max(0, self._feed.submitted - self._reader.done)

    @property
    def is_being_drawn(self) -> bool:
        """Whether its reader may still draw more of its input."""
        return not (self.closed or self._is_dropped or self._feed.finished)

    def cut_off(self) -> None:
        """The pipeline is about to be left: with a `buffersize` what nobody has made room for is not drawn any more, as
        in Python 3.14."""
        if self._pace.one_by_one and not self.closed and not self._feed.finished:
            self._is_cut_off = True
            self._feed.finish()
            self._learn_total()

    def draw_rest(self) -> None:
        """Submit all of the input, for the pipeline is about to be left; with a `buffersize` it is cut off."""
        self.cut_off()
        if not self.closed:
            self._feed.draw_all()
            self._learn_total()

    def absorb(self) -> None:
        """Wait for all outcomes and keep them here, for the pipeline is about to be left."""
        if not self.closed:
            self._reader.absorb()

    def close(self) -> None:
        """Read no more: what has not ended is cancelled, and nothing is kept."""
        if not self.closed:
            self.closed = True
            self._reader.close()
            self._session.on_refusal(self._feed.batch, None)
            self._session.keep_alive(self._feed.batch, alive=False)
            self._feed.forget()

    def _abandon(self) -> None:
        self._is_dropped = True
        if not self.closed:
            self._reader.discard(self.close)

    def _next_row(self, deadline: float | None) -> Row | None:
        self._top_up()
        return self._reader.next_row(deadline)

    def _passed(self, jobs: int) -> None:
        """So many more values were read: submit more, and faster if that was quick."""
        self._read += jobs
        if self._ahead is None:
            return
        if self._pace.grows and self._read >= self._grown_read + self._ahead:
            now = time.monotonic()
            if now < self._grown_at + GROW_TIME and self._feed.cutter.target < MAX_CHUNK_JOBS:
                self._feed.grow()
                self._ahead *= 2
            self._grown_at, self._grown_read = now, self._read
        self._top_up()

    def _top_up(self) -> None:
        """Submit as far ahead as may be."""
        feed = self._feed
        if feed.finished:
            return
        if self._ahead is None:
            feed.draw_all()
        else:
            while (room := self._read + self._ahead - feed.submitted) >= min(feed.cutter.target, self._ahead):
                if not feed.draw(room):
                    break
        self._learn_total()

    def _learn_total(self) -> None:
        if self._feed.finished:
            self._reader.close_at(self._feed.submitted)
