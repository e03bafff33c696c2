"""A batch that grows while it is read: which jobs are handed in, and when."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest

from penstock.client import streamed_batch
from penstock.client.follow import Follower, Row
from penstock.client.functions import Function
from penstock.client.readers import ArrivalReader, OrderReader, RowReader
from penstock.client.streamed_batch import Growing
from penstock.client.submit_pacing import Pace
from penstock.job.spec import BatchSpec
from penstock.wire.desk_messages import BatchClose, ChunkHead, Forget
from support.recording_client import head
from support.stations import LIMIT, until


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


def begun(session: Session, items: Iterator[Any], pace: Pace | None = None) -> Growing:
    """A batch of commands."""
    function = Function.of(b"f")
    batch = Growing(session, BatchSpec(kind="command"), function, items, 2, pace=pace)  # type: ignore[arg-type]
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
    monkeypatch.setattr(streamed_batch, "AHEAD", 50)
    session = Session()
    batch = begun(session, iter(lambda: [b"y"], None))
    until(lambda: session.jobs >= 50)
    assert session.jobs <= 50 + streamed_batch.READ_AHEAD
    batch._stop()
    assert session.is_closed
    assert batch.is_cut


class Gate:
    """Lets through so many jobs."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.begun_at: list[float] = []

    def left(self, now: float) -> float:  # noqa: ARG002 - as a Gate has it
        """Seconds."""
        return 0 if self.jobs else 0.01

    def begun(self, now: float) -> None:
        """One more."""
        self.jobs -= 1
        self.begun_at.append(now)


def has_jobs(session: Session, jobs: int) -> bool:
    """Whether so many were submitted."""
    return session.jobs == jobs


def paced(*gates: Gate, at_once: int = 3, as_read: bool = True) -> Pace:
    """As for --halt; else as for --pipe."""
    return Pace(lambda: at_once, gates, read_ahead=1000, as_read=as_read)


def test_with_a_pace_no_more_jobs_are_open_than_can_run() -> None:
    """One is submitted for each whose outcome was read, each by itself; how many there will be is known at once."""
    session, totals = Session(), list[int]()
    batch = begun(session, iter([[b"x"]] * 10), paced())
    batch.when_complete(totals.append)
    until(lambda: bool(totals))
    assert (session.jobs, session.is_closed, batch.total, totals) == (3, False, None, [10])
    for passed in range(1, 11):
        batch._pass(passed)
        until(partial(has_jobs, session, min(10, 3 + passed)))
    until(lambda: session.is_closed)
    assert [head.count for head in session.parts if isinstance(head, ChunkHead)] == [1] * 10
    assert batch.total == 10


class HastySession(Session):
    """Has the outcomes of all that is open as soon as somebody wants to read them."""

    def follow(self, follower: Follower) -> None:
        """They come before the caller does anything else."""
        done = range(self.jobs)
        heads = [head(index, index + 1, batch=follower.batch) for index in done]
        follower.reader.take([Row(one, one.start, one.stop, 0, b"", one.start + 1) for one in heads], 0)


@pytest.mark.parametrize("kind", [OrderReader, ArrivalReader])
def test_outcomes_that_come_at_once_make_room_for_more_jobs(kind: type[RowReader]) -> None:
    """Nothing else would come that could: the reader's thread may stand still just when the reading begins."""
    session = HastySession()
    batch = begun(session, iter([[b"x"]] * 10), paced(as_read=False))
    until(lambda: session.jobs == 3)
    batch._reader(kind)
    until(lambda: session.jobs == 6)
    batch._stop()


def test_who_stops_a_paced_batch_finds_nothing_submitted_after_it() -> None:
    """Though places are free by then, and more input is there."""
    session = Session()
    batch = begun(session, iter([[b"x"]] * 10), paced())
    until(lambda: session.jobs == 3)
    batch._stop()
    batch._pass(3)
    assert (session.jobs, session.is_closed, batch.total) == (3, True, 3)


def test_a_gate_keeps_jobs_back() -> None:
    """Until it lets them through: it is asked again, and told of each."""
    session, gate = Session(), Gate(2)
    batch = begun(session, iter([[b"x"]] * 5), paced(gate, at_once=5))
    until(lambda: len(gate.begun_at) == 2)
    assert (session.jobs, session.is_closed) == (2, False)
    gate.jobs = 3
    until(lambda: session.is_closed)
    assert (session.jobs, len(gate.begun_at), batch.error) == (5, 5, None)
