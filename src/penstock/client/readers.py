"""Readers of a followed batch: rows in the order of recording, or in the order of their jobs.

Promises:

1. A reader holds about `window` bytes, however far the batch is ahead of whoever reads.
2. Where the next job in order takes long, what came in behind it is given up and fetched again when its turn comes: a
   reader that waits always has room for what it waits for, whether the gap came to be by what arrived or by what was
   read.
3. What a retry has superseded is not handed out, unless it was before; the batch ends when every job has an outcome
   that holds.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from penstock.client.follow import Follower, Row
from penstock.client.row_fetch import fetch_rows
from penstock.errors import NoSuchBatch
from penstock.job.spans import Span, SpanSet

if TYPE_CHECKING:
    from penstock.client.live_output import Live
    from penstock.client.session import Session

WINDOW = 64 << 20
"""Bytes of results between the sink and the reader: enough to keep the wire busy, few beside a process."""
GIVE_BACK_SHARE = 8
"""What was read is given back in so-manieths of the window."""
FETCH_BYTES = 4 << 20
"""What is fetched at once of what had been given up."""
UNBOUNDED = 1 << 60
"""A window for all there is."""
WAIT_INTERVAL = 0.5
"""Seconds between two looks at whether more is to come at all."""


class RowReader:
    """Reads the rows of one batch: the session's thread puts them in, and one reading thread takes them out."""

    def __init__(self, session: Session, batch: bytes, *, window: int = WINDOW, accepted: bool = True) -> None:
        """`accepted`: the batch is known to be so."""
        self.window: int = window
        self.total: int | None = None
        """How many jobs there will be; None: not known yet."""
        self.failure: BaseException | None = None
        """Why there will be no more."""
        self.refresh: Callable[[], None] | None = None
        """Called while waiting, to learn the total."""
        self.live: Live | None = None
        """What running jobs write, to be shown while waiting."""
        self._done = SpanSet()
        """Jobs that had ended when the last row was recorded, and how many they are."""
        self._done_count = 0
        self._superseded = SpanSet()
        """Jobs whose outcome came as superseded, and the opening that did it has not come yet."""
        self._on_done: Callable[[int], None] | None = None
        self._session = session
        self._moved = threading.Condition()
        self._freed = 0
        self._absorbing = False
        self._discarded: Callable[[], None] | None = None
        self._follower = Follower(batch, self, accepted=accepted)
        session.follow(self._follower)

    @property
    def done(self) -> int:
        """Jobs that had ended when the last row came."""
        return self._done_count

    def tell_done(self, then: Callable[[int], None]) -> None:
        """Tell this how many jobs have ended: now, for some may have come already, and whenever rows come (in the
        session's thread)."""
        with self._moved:
            self._on_done = then
            then(self._done_count)

    def close(self) -> None:
        """Read no more: the sink sends nothing more of the batch."""
        self._session.unfollow(self._follower)

    def absorb(self) -> None:
        """Take in all that is still to come, however much: the pipeline is about to be left."""
        self._absorbing = True
        self.window = UNBOUNDED
        self._session.call(self._follower.ask_again)
        while not self._all_came():
            if self.failure is not None:
                return
            with self._moved:
                self._moved.wait(WAIT_INTERVAL)
            self._session.ensure_usable()
        self._fetch_all()

    def discard(self, then: Callable[[], None]) -> None:
        """Nobody reads: drop everything, and do this when all jobs have ended."""
        self._discarded = then
        self.window = UNBOUNDED
        self._session.call(self._follower.ask_again)
        self._check_discarded()

    def take(self, rows: list[Row], cost: int) -> int:
        """Rows came (in the session's thread)."""
        with self._moved:
            freed = sum(map(self._take, rows)) + self._give_up()
            self._moved.notify_all()
            if self._on_done is not None:
                self._on_done(self._done_count)
        self._check_discarded()
        return cost if self._discarded is not None else cost - sum(row.cost for row in rows) + freed

    def _take(self, row: Row) -> int:
        """One row came; returns how much it, or what it supersedes, does not take up in the window."""
        if row.opens:
            self._done_count -= _jobs(self._done.remove(row.start, row.stop))
            self._superseded.remove(row.start, row.stop)
        else:
            self._done_count += _jobs(self._done.gaps(row.start, row.stop))
            self._done.add(row.start, row.stop)
            if not row.head.final:
                self._superseded.add(row.start, row.stop)
        if self._discarded is not None:
            return 0
        if row.head.final:
            return self._put(row)
        return row.cost + (self._take_back(row.start, row.stop) if row.opens else 0)

    def _all_came(self) -> bool:
        """Whether every job has an outcome that holds, as far as is known here."""
        return self.total is not None and self._done_count >= self.total and not self._superseded

    def _check_discarded(self) -> None:
        if self._discarded is not None and self._all_came():
            self._discarded()

    def next_row(self, deadline: float | None = None) -> Row | None:
        """The next row; None: there will be no more. Raises TimeoutError at the deadline (monotonic)."""
        while True:
            if self.live is not None:
                self.live.show()
            with self._moved:
                row = self._get()
                if row is None and not self._is_behind() and not self._ended():
                    self._make_room()
                    self._wait(deadline)
                    row = self._get()
            if row is not None:
                self._free(row.cost)
                return row
            if self.live is not None and self.live.ready:
                continue
            if self._ended():
                return None
            if self._is_behind():
                self._fetch_next()
                continue
            if self.failure is not None:
                raise self.failure
            self._session.ensure_usable()
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError
            if self.refresh is not None:
                self.refresh()

    def wake(self) -> None:
        """Let whoever waits look again."""
        with self._moved:
            self._moved.notify_all()

    def close_at(self, total: int) -> None:
        """There will be so many jobs."""
        with self._moved:
            self.total = total
            self._moved.notify_all()
        self._check_discarded()

    def fail(self, error: BaseException) -> None:
        """There will be no more rows than have come (from any thread)."""
        with self._moved:
            self.failure = error
            self._moved.notify_all()

    def _ended(self) -> bool:
        """Whether all is handed out."""
        raise NotImplementedError

    def _wait(self, deadline: float | None) -> None:
        left = WAIT_INTERVAL if deadline is None else deadline - time.monotonic()
        if left > 0 and not (self.live is not None and self.live.ready):
            self._moved.wait(min(left, WAIT_INTERVAL))

    def _make_room(self) -> None:
        """What is waited for must be able to come: nothing else may be on its way that would give room back."""
        if room := self._give_up():
            self._session.give_back(self._follower, room)

    def _free(self, cost: int) -> None:
        self._freed += cost
        if self._freed * GIVE_BACK_SHARE >= self.window:
            freed, self._freed = self._freed, 0
            self._session.give_back(self._follower, freed)

    def _put(self, row: Row) -> int:
        """Keep it; returns how much of it is not kept."""
        raise NotImplementedError

    def _take_back(self, start: int, stop: int) -> int:
        """These jobs were opened again: drop what is kept of them; returns how much that was."""
        raise NotImplementedError

    def _get(self) -> Row | None:
        raise NotImplementedError

    def _give_up(self) -> int:
        return 0

    def _is_behind(self) -> bool:
        return False

    def _fetch_next(self) -> None:
        """Bring back what comes next and was given up."""

    def _fetch_all(self) -> None:
        """Bring back all that was given up."""


class ArrivalReader(RowReader):
    """Reads rows in the order in which they were recorded."""

    def __init__(self, session: Session, batch: bytes, *, window: int = WINDOW, accepted: bool = True) -> None:
        self._rows: deque[Row] = deque()
        super().__init__(session, batch, window=window, accepted=accepted)

    def _put(self, row: Row) -> int:
        self._rows.append(row)
        return 0

    def _take_back(self, start: int, stop: int) -> int:
        freed = 0
        for row in [row for row in self._rows if row.start < stop and row.stop > start]:
            at = self._rows.index(row)
            del self._rows[at]
            parts, gone = _without(row, start, stop)
            freed += gone
            for part in reversed(parts):
                self._rows.insert(at, part)
        return freed

    def _get(self) -> Row | None:
        return self._rows.popleft() if self._rows else None

    def _ended(self) -> bool:
        return not self._rows and self._all_came()


class OrderReader(RowReader):
    """Reads rows in the order of their jobs."""

    def __init__(self, session: Session, batch: bytes, *, window: int = WINDOW, accepted: bool = True) -> None:
        self._rows: dict[int, Row] = {}
        self._held = 0
        self._given_up: dict[int, tuple[int, int]] = {}
        """start -> stop, bytes"""
        self._opened = SpanSet()
        """Jobs that were opened again since what is being fetched was asked for."""
        self._next = 0
        self._batch = batch
        super().__init__(session, batch, window=window, accepted=accepted)

    def _put(self, row: Row) -> int:
        if row.stop <= self._next:
            return row.cost  # opened again after its first outcome was handed out
        kept = row.part(max(row.start, self._next), row.stop)
        self._rows[kept.start] = kept
        self._held += kept.cost
        return 0

    def _take_back(self, start: int, stop: int) -> int:
        freed = 0
        for row in [row for row in self._rows.values() if row.start < stop and row.stop > start]:
            del self._rows[row.start]
            parts, gone = _without(row, start, stop)
            freed += gone
            self._rows.update((part.start, part) for part in parts)
        self._held -= freed
        self._opened.add(start, stop)
        for first, (last, size) in list(self._given_up.items()):
            if first < stop and last > start:
                del self._given_up[first]
                if first < start:
                    self._given_up[first] = (start, size)
                if last > stop:
                    self._given_up[stop] = (last, size)
        return freed

    def _get(self) -> Row | None:
        row = self._rows.pop(self._next, None)
        if row is not None:
            self._next = row.stop
            self._held -= row.cost
        return row

    def _ended(self) -> bool:
        return self.total is not None and self._next >= self.total

    def _give_up(self) -> int:
        """Give up rows, those furthest ahead first, if the next one could not come in otherwise."""
        if self._absorbing or self._held * 2 < self.window or self._next in self._rows or self._next in self._given_up:
            return 0
        freed = 0
        for start in sorted(self._rows, reverse=True):
            row = self._rows.pop(start)
            self._given_up[start] = (row.stop, row.size)
            self._held -= row.cost
            freed += row.cost
            if self._held * 4 < self.window:
                break
        return freed

    def _is_behind(self) -> bool:
        return self._next in self._given_up

    def _fetch_next(self) -> None:
        self._fetch(self._next)

    def _fetch_all(self) -> None:
        while self._given_up:
            self._fetch(min(self._given_up))

    def _fetch(self, start: int) -> None:
        with self._moved:
            self._opened = SpanSet()
            stop, size = start, 0
            while stop in self._given_up and size < FETCH_BYTES:
                stop, more = self._given_up.pop(stop)
                size += more
        found = sorted(
            fetch_rows(self._session, self._batch, start, stop), key=lambda row: row.head.stamp, reverse=True
        )
        with self._moved:
            newer = SpanSet([*((row.start, row.stop) for row in self._rows.values()), *self._opened])
            for row in [row for row in found if row.head.final or row.opens]:
                for low, high in newer.gaps(row.start, row.stop) if row.head.final else ():
                    self._rows[low] = row.part(low, high)
                newer.add(row.start, row.stop)
        if not any(row.start <= start < row.stop for row in found):
            if self.failure is not None:
                raise self.failure
            raise NoSuchBatch(f"results of batch {self._batch.hex()} are gone: it was deleted while it was read")


def _jobs(spans: list[Span]) -> int:
    return sum(stop - start for start, stop in spans)


def _without(row: Row, start: int, stop: int) -> tuple[list[Row], int]:
    """What a row says of jobs outside of these, and how much of the window it takes up no longer."""
    parts = [row.part(low, high) for low, high in ((row.start, start), (stop, row.stop)) if low < high]
    return parts, row.cost - sum(part.cost for part in parts)
