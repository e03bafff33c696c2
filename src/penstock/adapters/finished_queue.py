"""The finished queue: outcomes wait here until somebody gets them.

That of a name may be held by several processes, and each outcome goes to one of them. It has the outcomes of all
batches of that name, whoever submitted them (where there are keys: with the same key, and an admin's has all): every
holder follows them at the sink, and claims there what it gives out.
So what was got once nobody gets again, also not after a restart; what a process dies with right then is lost.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from penstock.client.batch import find_batches
from penstock.client.follow import Row
from penstock.client.readers import ArrivalReader
from penstock.client.records import Outcome
from penstock.client.results import outcomes_of
from penstock.errors import Refused
from penstock.job.spec import BatchSpec, new_worker_id
from penstock.wire.desk_messages import BatchLine
from penstock.wire.messages import Claim, Claimed

if TYPE_CHECKING:
    from penstock.client.session import Session

T = TypeVar("T")

LOOK_INTERVAL = 0.05
"""Seconds until the next look for new batches of the name while somebody waits; they double."""
LOOK_INTERVAL_MAX = 1.0
BATCHES = 1_000
"""The newest ones of the pipeline are looked through."""
WINDOW = 1 << 20
"""Bytes of one batch that wait here to be claimed."""


class Finished(Generic[T]):
    """The queue that outcomes come out of, with the methods of queue.Queue. They wait in this process until somebody
    gets them, and each is given to one getter."""

    def __init__(self) -> None:
        self._rows: deque[tuple[Row, BatchSpec]] = deque()
        self._ready: deque[Outcome[T]] = deque()
        self._waiting = 0
        self._undone = 0
        """Outcomes that came and were not reported as dealt with."""
        self._moved = threading.Condition()

    def on_row(self, row: Row, spec: BatchSpec) -> None:
        """Add the outcomes of a recorded `row` of jobs with the options `spec`; who gets them unpickles them."""
        with self._moved:
            self._rows.append((row, spec))
            self._came(row.jobs)

    def add(self, outcome: Outcome[T]) -> None:
        """Add the `outcome` of a job that could not be submitted."""
        with self._moved:
            self._ready.append(outcome)
            self._came(1)

    def _came(self, jobs: int) -> None:
        self._waiting += jobs
        self._undone += jobs
        self._moved.notify_all()

    def get(self, block: bool = True, timeout: float | None = None) -> Outcome[T]:
        """The next outcome, in the order in which the jobs ended.

        - `block`: wait for one.
        - `timeout`: wait so many seconds at most (None: without end).

        Raises queue.Empty when there is none (in time), and ValueError for a negative timeout.
        """
        if timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        with self._moved:
            if not self._moved.wait_for(lambda: self._waiting, timeout if block else 0):
                raise queue.Empty
            if self._ready:
                self._waiting -= 1
                return self._ready.popleft()
            row, spec = self._rows.popleft()
            self._waiting -= row.jobs
        return self._first_of(row, spec)

    def _first_of(self, row: Row, spec: BatchSpec) -> Outcome[T]:
        """Unpickled where nobody else waits for it: it is the code of users."""
        try:
            first, *rest = outcomes_of(row, spec)
        except BaseException:  # Ctrl-C meanwhile
            with self._moved:
                self._rows.appendleft((row, spec))
                self._came_back(row.jobs)
            raise
        with self._moved:
            self._ready.extendleft(reversed(rest))
            self._came_back(len(rest))
        return first

    def _came_back(self, jobs: int) -> None:
        self._waiting += jobs
        self._moved.notify_all()

    def get_nowait(self) -> Outcome[T]:
        """The next outcome, without waiting. Raises queue.Empty when there is none."""
        return self.get(block=False)

    def task_done(self) -> None:
        """Say that an outcome that was got is dealt with. Raises ValueError when that is said more often than outcomes
        came."""
        with self._moved:
            if not self._undone:
                raise ValueError("task_done() called too many times")
            self._undone -= 1
            self._moved.notify_all()

    def join(self, timeout: float | None = None) -> None:
        """Wait until every outcome that came was got and reported by `task_done`. Raises TimeoutError after `timeout`
        seconds (None: it waits without end)."""
        with self._moved:
            if not self._moved.wait_for(lambda: not self._undone, timeout):
                raise TimeoutError(f"{self._undone} outcomes are not dealt with after {timeout:g} s")

    def qsize(self) -> int:
        """How many outcomes wait to be got."""
        return self._waiting

    def empty(self) -> bool:
        """Whether no outcome waits to be got."""
        return not self._waiting

    def full(self) -> bool:
        """False: it is the `maxsize` of the dispatched queue that limits how many outcomes can wait."""
        return False


class Tap(ArrivalReader):
    """The outcomes of one batch as they are recorded, for those who share it."""

    def __init__(self, session: Session, line: BatchLine, reader: bytes, came: Callable[[], None]) -> None:
        self._came = came
        self._line = line
        self._reader = reader
        self._given = 0
        """As many outcomes are known to be given, to whomever."""
        self._arrived = 0
        """As many have come."""
        self._outcomes: deque[Outcome[Any]] = deque()
        super().__init__(session, line.batch, window=WINDOW)

    def _put(self, row: Row) -> int:
        self._arrived = row.position + row.jobs - 1
        freed = super()._put(row)
        self._came()
        return freed

    def next_outcome(self) -> Outcome[Any] | None:
        """The next one that is nobody else's, or None: none has come that could be had."""
        while True:
            while self._outcomes and self._outcomes[0].position <= self._given:
                self._outcomes.popleft()
            if self._outcomes:
                outcome = self._claim(self._outcomes[-1].position)
                if outcome is not None:
                    return outcome
            elif not self._refill():
                return None

    def _refill(self) -> bool:
        with self._moved:
            row = self._get()
        if row is None:
            return False
        self._free(row.cost)
        self._outcomes.extend(outcomes_of(row, self._line.spec))
        return True

    def _claim(self, received: int) -> Outcome[Any] | None:
        answer = claim(self._session, self._line, self._reader, received)
        self._given = answer.stop
        if answer.start == answer.stop:
            return None
        while self._outcomes and self._outcomes[0].position < answer.stop:
            self._outcomes.popleft()
        return self._outcomes.popleft() if self._outcomes and self._outcomes[0].position == answer.stop else None

    @property
    def waiting(self) -> int:
        """How many have come that may be had."""
        return max(0, self._arrived - self._given)

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to be had, ever."""
        return self.total is not None and self._given >= self.total


class SharedFinished(Finished[Any]):
    """Outcomes of all batches of one name that its key may claim; other processes get from the same queue."""

    def __init__(self, session: Session, name: str) -> None:
        super().__init__()
        self._session = session
        self._name = name
        self._reader = new_worker_id()
        self._taps: dict[bytes, Tap | None] = {}
        """By batch; None: it is over."""
        self._news = threading.Event()
        self._looking = threading.Lock()
        self._look_at = 0.0
        self._interval = LOOK_INTERVAL

    def get(self, block: bool = True, timeout: float | None = None) -> Outcome[Any]:
        """The next outcome that no other process has got; `block`, `timeout` and the errors are those of
        `Finished.get`. Raises ValueError, queue.Empty."""
        if timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        left = timeout if block else 0
        deadline = None if left is None else time.monotonic() + left
        if not self._looking.acquire(timeout=-1 if left is None else left):
            raise queue.Empty
        try:
            return self._next_outcome(deadline)
        finally:
            self._looking.release()

    def _next_outcome(self, deadline: float | None) -> Outcome[Any]:
        while True:
            self._news.clear()
            if time.monotonic() >= self._look_at:
                self._look()
            outcome = self._outcome()
            if outcome is not None:
                return outcome
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                raise queue.Empty
            self._session.ensure_usable()
            self._news.wait(max(0.0, min(self._look_at, deadline or self._look_at) - now))

    def _outcome(self) -> Outcome[Any] | None:
        with self._moved:
            if self._ready:
                self._waiting -= 1
                return self._ready.popleft()
        for tap in self._open_taps():
            outcome = tap.next_outcome()
            if outcome is not None:
                self._interval = LOOK_INTERVAL
                with self._moved:
                    self._undone += 1
                return outcome
        return None

    def _look(self) -> None:
        """For batches of the name that are new, and for what is over."""
        for line in reversed(find_batches(self._session, "", BATCHES)):
            if line.spec.name == self._name:
                self._look_at_batch(line)
        self._look_at = time.monotonic() + self._interval
        self._interval = min(2 * self._interval, LOOK_INTERVAL_MAX)

    def _look_at_batch(self, line: BatchLine) -> None:
        if line.batch not in self._taps:
            self._taps[line.batch] = self._new_tap(line)
        tap = self._taps[line.batch]
        if tap is not None:
            tap.total = line.total
            if tap.is_over:
                tap.close()
                self._taps[line.batch] = None

    def _new_tap(self, line: BatchLine) -> Tap | None:
        """None: nothing is to be had of it, for it is over, or another key's."""
        try:
            given = claim(self._session, line, self._reader, 0).stop
        except Refused:
            return None
        is_over = line.total is not None and given >= line.total
        return None if is_over else Tap(self._session, line, self._reader, self._news.set)

    def _open_taps(self) -> list[Tap]:
        return [tap for tap in list(self._taps.values()) if tap is not None]

    def _came(self, jobs: int) -> None:
        super()._came(jobs)
        self._news.set()

    def qsize(self) -> int:
        """About how many outcomes wait to be got; other processes may get them."""
        return self._waiting + sum(tap.waiting for tap in self._open_taps())

    def empty(self) -> bool:
        """Whether no outcome waits to be got, as far as is known."""
        return not self.qsize()


def claim(session: Session, line: BatchLine, reader: bytes, received: int) -> Claimed:
    """One more outcome for this reader, of the first `received` ones. Refused: it is another key's batch."""
    answer, _ = session.fetch(lambda number: Claim(number, line.batch, reader, 1, received, line.claim))
    assert isinstance(answer, Claimed)
    return answer
