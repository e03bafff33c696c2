"""Readers of a followed batch: rows in the order of recording, or in the order of their jobs.

Promises:

1. A reader holds about `window` bytes, however far the batch is ahead of whoever reads.
2. Where the next job in order takes long, what came in behind it is given up and fetched again when its turn comes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from penstock.client.following import Follower, Row
from penstock.errors import NoSuchBatch
from penstock.messages import Fetch, split

if TYPE_CHECKING:
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
    """Rows of one batch for one reading thread; the session's thread puts them in."""

    def __init__(self, session: Session, batch: bytes, *, window: int = WINDOW) -> None:
        self.window = window
        self.total: int | None = None
        """How many jobs there will be; None: not known yet."""
        self.failure: BaseException | None = None
        """Why there will be no more."""
        self.refresh: Callable[[], None] | None = None
        """Called while waiting, to learn the total."""
        self.handed = 0
        """Jobs whose rows were handed out."""
        self.arrived = 0
        """Jobs whose rows came in."""
        self._session = session
        self._moved = threading.Condition()
        self._freed = 0
        self._absorbing = False
        self._discarded: Callable[[], None] | None = None
        self._follower = Follower(batch, self)
        session.follow(self._follower)

    def close(self) -> None:
        """Read no more."""
        self._session.unfollow(self._follower)

    def absorb(self) -> None:
        """Take in all that is still to come, however much: the pipeline is about to be left."""
        self._absorbing = True
        self.window = UNBOUNDED
        self._session.call(self._follower.ask_again)
        while self.total is None or self.arrived < self.total:
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
        self.arrived += sum(row.jobs for row in rows)
        if self._discarded is not None:
            self._check_discarded()
            return cost
        with self._moved:
            for row in rows:
                self._put(row)
            self._moved.notify_all()
            return cost - sum(row.cost for row in rows) + self._give_up()

    def _check_discarded(self) -> None:
        if self._discarded is not None and self.total is not None and self.arrived >= self.total:
            self._discarded()

    def next_row(self, deadline: float | None = None) -> Row | None:
        """The next row; None: there will be no more. Raises TimeoutError at the deadline (monotonic)."""
        while True:
            with self._moved:
                row = self._get()
                if row is None and not self._is_behind() and not self._ended():
                    self._wait(deadline)
                    row = self._get()
            if row is not None:
                self.handed += row.jobs
                self._free(row.cost)
                return row
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

    def close_at(self, total: int) -> None:
        """There will be so many jobs."""
        with self._moved:
            self.total = total
            self._moved.notify_all()
        self._check_discarded()

    def fail(self, error: BaseException) -> None:
        """There will be no more rows than have come."""
        with self._moved:
            self.failure = error
            self._moved.notify_all()

    def _ended(self) -> bool:
        return self.total is not None and self.handed >= self.total

    def _wait(self, deadline: float | None) -> None:
        left = WAIT_INTERVAL if deadline is None else deadline - time.monotonic()
        if left > 0:
            self._moved.wait(min(left, WAIT_INTERVAL))

    def _free(self, cost: int) -> None:
        self._freed += cost
        if self._freed * GIVE_BACK_SHARE >= self.window:
            freed, self._freed = self._freed, 0
            self._session.give_back(self._follower, freed)

    def _put(self, row: Row) -> None:
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
    """Rows in the order of recording."""

    def __init__(self, session: Session, batch: bytes, *, window: int = WINDOW) -> None:
        self._rows: deque[Row] = deque()
        super().__init__(session, batch, window=window)

    def _put(self, row: Row) -> None:
        self._rows.append(row)

    def _get(self) -> Row | None:
        return self._rows.popleft() if self._rows else None


class OrderReader(RowReader):
    """Rows in the order of their jobs."""

    def __init__(self, session: Session, batch: bytes, *, window: int = WINDOW) -> None:
        self._rows: dict[int, Row] = {}
        self._held = 0
        self._given_up: dict[int, tuple[int, int]] = {}
        """start -> stop, cost"""
        self._next = 0
        self._batch = batch
        super().__init__(session, batch, window=window)

    def _put(self, row: Row) -> None:
        self._rows[row.start] = row
        self._held += row.cost

    def _get(self) -> Row | None:
        row = self._rows.pop(self._next, None)
        if row is not None:
            self._next = row.stop
            self._held -= row.cost
        return row

    def _give_up(self) -> int:
        """Give up rows, those furthest ahead first, if the next one could not come in otherwise."""
        if self._absorbing or self._held * 2 < self.window or self._next in self._rows or self._next in self._given_up:
            return 0
        freed = 0
        for start in sorted(self._rows, reverse=True):
            row = self._rows.pop(start)
            cost = row.cost
            self._given_up[start] = (row.stop, cost)
            self._held -= cost
            freed += cost
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
            stop, cost = start, 0
            while stop in self._given_up and cost < FETCH_BYTES:
                stop, more = self._given_up.pop(stop)
                cost += more
        message, body = self._session.fetch(lambda number: Fetch(number, self._batch, start, stop))
        bodies = split(body, [head.size for head in message.records])
        with self._moved:
            for head, part in zip(message.records, bodies, strict=True):
                if head.final and start <= head.start < head.stop <= stop:
                    self._rows[head.start] = Row(head, head.start, head.stop, head.offset, part, 0, is_charged=False)
        if start not in self._rows:
            raise NoSuchBatch(f"results of batch {self._batch.hex()} are gone: it was deleted while it was read")
