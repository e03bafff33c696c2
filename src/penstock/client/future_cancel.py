"""`Future.cancel`: what is asked of the ventilator, and who waits for the answer.

Promises:

1. True is only said of a job that has not started and never will; False may be said of one that is cancelled all the
   same, and then its Future is, as soon as its outcome is here.
2. Nobody waits in an event loop, nor while the ventilator is away, and all together only once for one that is silent.
3. What is asked without waiting travels together: neighbours in one message.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from penstock.errors import PenstockError
from penstock.job.imported_modules import imported
from penstock.job.spans import SpanSet
from penstock.wire.bounds import RECALL_PATIENCE
from penstock.wire.desk_messages import Cancel
from penstock.wire.records import Message

PATIENCE = RECALL_PATIENCE + 0.5
"""Seconds after which a ventilator without an answer is silent: it answers within RECALL_PATIENCE."""
LOOK_INTERVAL = 0.05
"""Seconds between two looks of who waits at whether the ventilator is connected at all."""


class Asking(Protocol):
    """The part of a session that cancelling uses."""

    @property
    def is_connected(self) -> bool:
        """Whether the ventilator is connected."""

    def request(self, make: Callable[[int], Message]) -> Future[Any]:
        """Ask the ventilator; its answer is the result."""

    def call(self, action: Callable[[], None]) -> None:
        """Run this in the session's thread at its next turn."""


class Cancelling:
    """Cancels jobs for all Futures of a session, and remembers which questions are not answered."""

    def __init__(self, session: Asking) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._wanted: dict[bytes, SpanSet] = {}
        """Jobs that are to be cancelled, and the ventilator has not been told."""
        self._asked_at: dict[Future[Any], float] = {}
        """Those that somebody waits for, the oldest first."""

    def cancel(self, batch: bytes, index: int) -> bool:
        """Whether this job is known to be cancelled before it started."""
        if is_in_event_loop() or not self._session.is_connected or self._is_silent():
            self._ask_soon(batch, index)
            return False
        try:
            answer = self._session.request(partial(_cancel, batch, index, index + 1))
            return self._await(answer)
        except (PenstockError, RuntimeError):  # it has been left, or the batch is gone
            return False

    def _is_silent(self) -> bool:
        with self._lock:
            oldest = next(iter(self._asked_at.values()), None)
        return oldest is not None and time.monotonic() > oldest + PATIENCE

    def _await(self, answer: Future[Any]) -> bool:
        asked_at = time.monotonic()
        with self._lock:
            self._asked_at[answer] = asked_at
        answer.add_done_callback(self._answered)
        while self._session.is_connected and time.monotonic() < asked_at + PATIENCE:
            with suppress(TimeoutError):
                return bool(answer.result(LOOK_INTERVAL)[0].jobs)
        return False

    def _answered(self, answer: Future[Any]) -> None:
        with self._lock:
            self._asked_at.pop(answer, None)

    def _ask_soon(self, batch: bytes, index: int) -> None:
        with self._lock:
            is_first = not self._wanted
            self._wanted.setdefault(batch, SpanSet()).add(index, index + 1)
        if is_first:
            self._session.call(self._ask)

    def _ask(self) -> None:
        """Ask for all that was wanted since the last time (in the session's thread)."""
        with self._lock:
            wanted, self._wanted = self._wanted, {}
        for batch, jobs in wanted.items():
            for start, stop in jobs:
                with suppress(PenstockError, RuntimeError):
                    self._session.request(partial(_cancel, batch, start, stop))


def _cancel(batch: bytes, start: int, stop: int, number: int) -> Cancel:
    return Cancel(number, batch, start, stop, unstarted_only=True)


def is_in_event_loop() -> bool:
    """Whether other coroutines stand still while this one waits."""
    asyncio = imported("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
