"""What the pages ask of the stations, whoever looks: a question is asked once for all who have it, and has a deadline.

Promises:

1. However many pages are open, a question is asked at most once in FRESH seconds, and at most QUESTIONS at once.
2. Nobody waits longer than DEADLINE: without a station the answer is an error that says what is missing.
3. When a station is back, the next question is answered.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, NamedTuple, TypeVar

from penstock.client.command_line import Desk, ventilator_at
from penstock.errors import NoPipeline

T = TypeVar("T")

DEADLINE = 8.0
"""Seconds; a station that is there answers in milliseconds, and of one that is not the client knows after five."""
FRESH = 1.0
"""Seconds for which an answer serves all who ask the same."""
QUESTIONS = 50
"""Kept or under way."""
THREADS = 4
"""That wait for answers."""
RENEW_TIME = 10.0
"""Seconds for which a connection that has failed for good, as for a revoked key, says why before another is tried."""


class Asked(NamedTuple):
    """A question that is under way or answered, and when it was asked."""

    at: float
    answer: asyncio.Future[Any]


class Stations:
    """Those of the pipeline at this URL, asked with the key of the environment."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._pool = ThreadPoolExecutor(THREADS, "penstock-web")
        self._opening = threading.Lock()
        self._opened = ExitStack()
        self._desk: Desk | None = None
        self._renewed_at: float | None = None
        self._asked: dict[Hashable, Asked] = {}

    async def ask(self, name: Hashable, question: Callable[[Desk], T]) -> T:
        """The answer to `question`, which is known by its `name`. Raises PenstockError: there is none, and why."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._asked = {
            key: asked for key, asked in self._asked.items() if not asked.answer.done() or now - asked.at < FRESH
        }
        if (asked := self._asked.get(name)) is None:
            if len(self._asked) >= QUESTIONS:
                raise NoPipeline(f"{len(self._asked)} questions wait for {self.url} already: try again")
            asked = self._asked[name] = Asked(now, loop.run_in_executor(self._pool, self._answer, question))
            asked.answer.add_done_callback(_seen)
        try:
            answer: T = await asyncio.wait_for(asyncio.shield(asked.answer), DEADLINE)
        except TimeoutError:
            raise NoPipeline(f"{self.url}: no answer within {DEADLINE:g} s") from None
        return answer

    def _answer(self, question: Callable[[Desk], T]) -> T:
        desk = self._usable_desk()
        try:
            return question(desk)
        except NoPipeline:
            desk.ensure_reached()
            raise

    def _usable_desk(self) -> Desk:
        """The connection, a new one some time after the last one has failed for good."""
        with self._opening:
            if self._desk is not None and self._desk.has_failed and self._renewed_at is None:
                self._renewed_at = time.monotonic() + RENEW_TIME
            if self._desk is None or (self._renewed_at is not None and time.monotonic() >= self._renewed_at):
                self._opened.close()
                self._desk = self._opened.enter_context(ventilator_at(self.url))
                self._renewed_at = None
            return self._desk

    def close(self) -> None:
        """End the connection; who waits for an answer gets an error."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._opened.close()
        self._pool.shutdown()


def _seen(answer: asyncio.Future[Any]) -> None:
    """An error that nobody waits for any more is none."""
    if not answer.cancelled():
        answer.exception()
