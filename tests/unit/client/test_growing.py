"""A batch that grows while it is read: which jobs are handed in, and when."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from penstock.client import growing
from penstock.client.functions import Function
from penstock.client.growing import Growing
from penstock.job import BatchSpec
from penstock.messages import BatchClose, ChunkHead, Forget
from support import LIMIT, until


class Session:
    """Takes what is submitted."""

    def __init__(self) -> None:
        self.parts: list[Any] = []
        self.said: list[Any] = []

    def submit(self, parts: list[Any]) -> None:
        """All of it is accepted."""
        self.parts += [part.record for part in parts]

    def say(self, message: Any) -> None:
        """A word without an answer."""
        self.said.append(message)

    def accepted(self) -> Future[None]:
        """At once."""
        answer: Future[None] = Future()
        answer.set_result(None)
        return answer

    def wait_for(self, answer: Future[None], timeout: float | None) -> None:
        """It is there."""
        answer.result(timeout)

    def on_refusal(self, batch: bytes, then: Any) -> None:
        """Nothing is refused."""

    @property
    def jobs(self) -> int:
        """How many were submitted."""
        return sum(head.count for head in self.parts if isinstance(head, ChunkHead))

    @property
    def is_closed(self) -> bool:
        """Whether no more will come."""
        return any(isinstance(head, BatchClose) for head in self.parts)


def begun(session: Session, items: Iterator[Any]) -> Growing:
    """A batch of commands."""
    batch = Growing(session, BatchSpec(kind="command"), Function.of(b"f"), items, 2)  # type: ignore[arg-type]
    batch.begin()
    return batch


def slowly(*, after: int, then: threading.Event) -> Iterator[list[bytes]]:
    """So many items, and one more when somebody says so."""
    yield from ([b"%d" % number] for number in range(after))
    assert then.wait(LIMIT)
    yield [b"last"]


def test_an_input_that_comes_at_once_is_submitted_whole() -> None:
    """Then it is known how many jobs there are."""
    session = Session()
    batch = begun(session, iter([[b"a"]] * 100))
    assert (session.jobs, session.is_closed, batch.total) == (100, True, 100)
    batch._stop()
    assert not batch.is_cut


def test_what_is_there_is_submitted_before_the_rest_has_come() -> None:
    """And the total is told when it is known."""
    session, more, totals = Session(), threading.Event(), list[int]()
    batch = begun(session, slowly(after=100, then=more))
    until(lambda: session.jobs == 100)
    batch.when_complete(totals.append)
    assert (batch.total, session.is_closed, totals) == (None, False, [])
    more.set()
    until(lambda: bool(totals))
    assert (session.jobs, session.is_closed, totals, batch.error) == (101, True, [101], None)


def test_an_error_that_comes_at_once_leaves_nothing() -> None:
    """It is raised, and the batch is forgotten."""
    session = Session()
    with pytest.raises(ValueError, match="no input"):
        begun(session, failing([b"good"]))
    assert [type(message) for message in session.said] == [Forget]


def failing(*items: list[bytes]) -> Iterator[Any]:
    """Items, and no more."""
    yield from items
    raise ValueError("no input")


def test_it_reads_no_further_ahead_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """An input without an end is read as far as its outcomes are."""
    monkeypatch.setattr(growing, "AHEAD", 50)
    session = Session()
    batch = begun(session, iter(lambda: [b"y"], None))
    until(lambda: session.jobs >= 50)
    assert session.jobs <= 50 + growing.READ_AHEAD
    batch._stop()
    assert session.is_closed
    assert batch.is_cut
