"""`Future.cancel`: who waits for the ventilator, and what it is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from penstock.client import future_cancel
from penstock.client.future_cancel import Cancelling
from penstock.errors import NoSuchBatch
from penstock.wire.desk_messages import Cancel, Cancelled
from penstock.wire.records import Message

BATCH, OTHER = b"b" * 16, b"o" * 16


class Session:
    """A connection on which the test answers."""

    def __init__(self) -> None:
        self.is_connected = True
        self.is_lost_by_asking = False
        self.asked: list[Message] = []
        self.answers: list[Future[Any]] = []
        self.says: int | Exception | None = None
        """What the ventilator says at once: how many jobs were cancelled; None: nothing."""
        self.calls: list[Callable[[], None]] = []

    def request(self, make: Callable[[int], Message]) -> Future[Any]:
        """Ask it."""
        answer: Future[Any] = Future()
        self.asked.append(make(len(self.asked) + 1))
        self.answers.append(answer)
        self.is_connected = not self.is_lost_by_asking
        if isinstance(self.says, Exception):
            answer.set_exception(self.says)
        elif self.says is not None:
            answer.set_result((Cancelled(len(self.asked), self.says), b""))
        return answer

    def call(self, action: Callable[[], None]) -> None:
        """At the next turn of the session's thread, which is the test's."""
        self.calls.append(action)

    def turn(self) -> list[tuple[bytes, int, int]]:
        """It has a turn: what it asks."""
        calls, self.calls, self.asked = self.calls, [], []
        for action in calls:
            action()
        assert all(isinstance(one, Cancel) and one.unstarted_only for one in self.asked)
        return [(one.batch, one.start, one.stop) for one in self.asked if isinstance(one, Cancel)]


@pytest.fixture
def session() -> Session:
    """Connected."""
    return Session()


@pytest.mark.parametrize(("says", "is_cancelled"), [(1, True), (0, False), (NoSuchBatch("gone"), False)])
def test_the_ventilator_says_whether(session: Session, says: Any, is_cancelled: bool) -> None:
    """Asked for one job, and waited for."""
    session.says = says
    assert Cancelling(session).cancel(BATCH, 3) is is_cancelled
    assert session.asked == [Cancel(1, BATCH, 3, 4, unstarted_only=True)]
    assert session.calls == []


def test_in_an_event_loop_nobody_waits_and_neighbours_travel_together(session: Session) -> None:
    """All that came before the thread's turn are one call, and one message for each stretch."""
    cancels = Cancelling(session)

    async def ends() -> list[bool]:
        return [cancels.cancel(BATCH, index) for index in (*range(500), 700)] + [cancels.cancel(OTHER, 0)]

    assert set(asyncio.run(ends())) == {False}
    assert len(session.calls) == 1
    assert session.turn() == [(BATCH, 0, 500), (BATCH, 700, 701), (OTHER, 0, 1)]
    asyncio.run(ends())
    assert session.turn(), "the next ones are asked for, too"


def test_while_the_ventilator_is_away_nobody_waits(session: Session) -> None:
    """It is asked when it is back."""
    session.is_connected = False
    assert not Cancelling(session).cancel(BATCH, 1)
    assert session.turn() == [(BATCH, 1, 2)]


def test_who_waits_stops_when_the_connection_is_lost(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: the request is made again with the connection."""
    monkeypatch.setattr(future_cancel, "PATIENCE", 1000.0)

    session.is_lost_by_asking = True
    assert not Cancelling(session).cancel(BATCH, 1)


def test_for_a_silent_ventilator_is_waited_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """All others are not; and once more when it has answered."""
    monkeypatch.setattr(future_cancel, "PATIENCE", 0.0)
    cancels = Cancelling(session)
    assert not cancels.cancel(BATCH, 0)
    for index in range(1, 100):
        assert not cancels.cancel(BATCH, index)
    assert len(session.answers) == 1
    assert session.turn() == [(BATCH, 1, 100)]
    for answer in session.answers:
        answer.set_result((Cancelled(1, 1), b""))
    monkeypatch.setattr(future_cancel, "PATIENCE", 1000.0)
    session.says = 1
    assert cancels.cancel(BATCH, 200)


def test_what_nobody_waits_for_makes_nobody_silent(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request of an event loop that is not answered yet says nothing of the ventilator."""
    cancels = Cancelling(session)

    async def ends() -> bool:
        return cancels.cancel(BATCH, 1)

    assert not asyncio.run(ends())
    session.turn()
    monkeypatch.setattr(time, "monotonic", lambda: 1e9)
    session.says = 1
    assert cancels.cancel(BATCH, 2)
