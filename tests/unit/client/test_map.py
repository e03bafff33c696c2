"""`map`: what is drawn when, what comes in which order, and what is left behind."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import pytest

from penstock.client.batch_input import Feed
from penstock.client.functions import Function
from penstock.client.map import Map, Pace
from penstock.errors import JobCancelled, RemoteError, StoreError
from penstock.job.spec import BatchSpec
from penstock.wire.desk_messages import Accepted, AskGone, Forget, Gone, GoneLine, Submit
from penstock.wire.messages import Unfollow
from penstock.wire.records import Message
from support.recording_client import World, failure, rows, submitted, values

SPEC = BatchSpec(transient=True)
ALL = Pace(None, grows=False, one_by_one=False)


class Mapping:
    """One map on a recording wire, with a ventilator that accepts everything."""

    def __init__(self, items: Iterable[Any], pace: Pace = ALL, target: int = 1, *, ordered: bool = True) -> None:
        self.world = World()
        self.wire = self.world.wire
        self.jobs: list[Any] = []
        self.closed_at: int | None = None
        self.recorded = 0
        self.runs = False
        """Whether each job ends when it is submitted, with its argument as its value."""
        send = self.wire.send

        def accepting(name: str, message: Message, *parts: bytes | memoryview, peer: bytes = b"") -> bool:
            send(name, message, *parts, peer=peer)
            if isinstance(message, Submit):
                self._accept(message, b"".join(parts))
            return True

        self.wire.send = accepting  # type: ignore[method-assign]
        feed = Feed(self.world, SPEC, Function.of(b"f"), [iter(items)], "item", target, target)
        self.batch = feed.batch
        self.run = Map(self.world, feed, SPEC, pace, ordered=ordered, timeout=0.0)
        self.results: Generator[Any, None, None] = self.run.results()
        self.run.watch(self.results)

    def _accept(self, submit: Submit, payload: bytes) -> None:
        for first, items in submitted(submit, payload):
            self.jobs += items
            if self.runs:
                message, body = self._rows(values(first, *items))
                self.world._courier._channels["results"].on_message(message, body)
        for closed in submit.closes:
            self.closed_at = closed.total
        self.world._courier._on_answer(Accepted(submit.number))

    def record(self, *outcomes: Any) -> None:
        """Outcomes come in."""
        self.world.arrive("results", *self._rows(*outcomes))

    def _rows(self, *outcomes: Any) -> Any:
        some = [(_of(head, self.batch), body) for head, body in outcomes]
        self.recorded += len(some)
        return rows(self.recorded - len(some), *some, batch=self.batch)

    @property
    def left(self) -> list[type[Message]]:
        """What was said of leaving."""
        return [type(message) for _, message in self.wire.sent if isinstance(message, Forget | Unfollow)]


def _of(head: Any, batch: bytes) -> Any:
    import msgspec

    return msgspec.structs.replace(head, batch=batch)


def numbers(count: int, drawn: list[int]) -> Iterator[int]:
    """An input without a length."""
    for number in range(count):
        drawn.append(number)
        yield number


def test_an_input_with_a_length_is_submitted_whole_at_the_call() -> None:
    """In chunks, and closed; nobody has to read."""
    mapping = Mapping(range(100), target=30)
    assert (mapping.jobs, mapping.closed_at) == (list(range(100)), 100)


def test_values_come_in_order_and_nothing_is_left() -> None:
    """The batch is forgotten at the end."""
    mapping = Mapping(range(4), target=2)
    mapping.record(values(2, "c", "d"), values(0, "a", "b"))
    assert list(mapping.results) == ["a", "b", "c", "d"]
    assert mapping.left == [Unfollow, Forget]


def test_unordered_values_come_as_they_are_recorded() -> None:
    """For `imap_unordered`."""
    mapping = Mapping(range(4), ordered=False)
    mapping.record(values(2, "c", "d"), values(0, "a", "b"))
    assert list(mapping.results) == ["c", "d", "a", "b"]


def test_an_empty_input_ends_at_once() -> None:
    """It is closed with no jobs."""
    mapping = Mapping([])
    assert list(mapping.results) == []
    assert mapping.closed_at == 0


def test_an_input_without_a_length_goes_a_bounded_number_of_jobs_ahead() -> None:
    """Reading draws more."""
    drawn: list[int] = []
    mapping = Mapping(numbers(100, drawn), Pace(8, grows=False, one_by_one=False), 2)
    assert len(drawn) == 8
    mapping.record(values(0, "a", "b"))
    assert [next(mapping.results) for _ in range(2)] == ["a", "b"]
    assert len(drawn) == 8
    with pytest.raises(TimeoutError):
        next(mapping.results)
    assert len(drawn) == 10


def test_a_buffersize_draws_one_for_each_value_read() -> None:
    """As in Python 3.14: before the value is handed out."""
    drawn: list[int] = []
    mapping = Mapping(numbers(100, drawn), Pace(3, grows=False, one_by_one=True))
    assert len(drawn) == 3
    mapping.record(values(0, "a", "b"))
    next(mapping.results)
    assert len(drawn) == 4
    next(mapping.results)
    assert len(drawn) == 5


def test_chunks_grow_while_reading_is_quick() -> None:
    """Small ones first, so that the first value comes soon."""
    drawn: list[int] = []
    mapping = Mapping(numbers(10_000, drawn), Pace(8, grows=True, one_by_one=False), 1)
    assert len(drawn) == 8
    mapping.record(values(0, *mapping.jobs))
    mapping.runs = True
    assert [next(mapping.results) for _ in range(1000)] == list(range(1000))
    assert mapping.run._feed.cutter.target >= 32


def test_the_error_of_the_input_comes_at_its_place() -> None:
    """What was submitted before goes on."""

    def items() -> Iterator[int]:
        yield from range(3)
        raise KeyError("input")

    mapping = Mapping(items())
    assert (mapping.jobs, mapping.closed_at) == ([0, 1, 2], 3)
    mapping.record(values(0, "a", "b", "c"))
    assert [next(mapping.results) for _ in range(3)] == ["a", "b", "c"]
    with pytest.raises(KeyError, match="input"):
        next(mapping.results)


def test_the_error_of_a_job_comes_at_its_place_and_cancels_the_rest() -> None:
    """As in the standard library."""
    mapping = Mapping(range(4))
    mapping.record(values(0, "a"), failure(1, "KeyError: 1"), values(2, "c"))
    assert next(mapping.results) == "a"
    with pytest.raises(RemoteError, match="KeyError: 1"):
        next(mapping.results)
    assert mapping.left == [Unfollow, Forget]


def test_closed_after_its_first_value_it_cancels_the_rest() -> None:
    """Nothing is kept of it."""
    mapping = Mapping(range(4))
    mapping.record(values(0, "a"))
    next(mapping.results)
    mapping.results.close()
    assert mapping.left == [Unfollow, Forget]


def test_dropped_unread_it_runs_to_its_end() -> None:
    """Then it is forgotten."""
    mapping = Mapping(range(4))
    mapping.results = iter(())  # type: ignore[assignment]
    gc.collect()
    assert mapping.left == []
    mapping.recorded = 0
    batch = mapping.batch
    some = [(_of(head, batch), body) for head, body in (values(0, "a", "b"), values(2, "c", "d"))]
    mapping.world.arrive("results", *rows(0, *some, batch=batch, number=2))
    assert mapping.left == [Unfollow, Forget]


def test_a_map_that_was_cancelled_while_its_client_was_away_says_so() -> None:
    """Behind the values that came, instead of waiting for ever."""
    mapping = Mapping(range(4))
    mapping.record(values(0, "a"))
    mapping.world.now += 100.0
    mapping.world.turn()
    (question,) = [one for one in mapping.wire.taken("desk") if isinstance(one, AskGone)]
    line = GoneLine(mapping.batch, "JobCancelled", "it was cancelled, for its client was out of reach for 60 s")
    mapping.world.arrive("desk", Gone(question.number, (line,)))
    assert next(mapping.results) == "a"
    with pytest.raises(JobCancelled, match="out of reach for 60 s"):
        next(mapping.results)


class Large:
    """A value that can be watched."""


@pytest.mark.parametrize("pace", [ALL, Pace(8, grows=False, one_by_one=True)])
def test_a_value_that_was_given_is_kept_no_longer(pace: Pace) -> None:
    """A row of many is not held until its last one."""
    mapping = Mapping(range(3), pace)
    mapping.record(values(0, Large(), Large(), Large()))
    for _ in range(3):
        value = next(mapping.results)
        seen = weakref.ref(value)
        del value
        assert seen() is None


def test_what_the_ventilator_refuses_is_raised_at_its_place() -> None:
    """After the values that came."""
    mapping = Mapping(range(4))
    mapping.record(values(0, "a"))
    mapping.world._refusals[mapping.batch](StoreError("the disk is full"))
    assert next(mapping.results) == "a"
    with pytest.raises(StoreError, match="disk"):
        next(mapping.results)


def test_leaving_draws_the_rest_of_the_input() -> None:
    """`shutdown(wait=True)` submits what nobody has read so far."""
    drawn: list[int] = []
    mapping = Mapping(numbers(50, drawn), Pace(8, grows=False, one_by_one=False), 2)
    mapping.run.draw_rest()
    assert (len(drawn), mapping.closed_at) == (50, 50)


def test_results_can_be_read_after_leaving() -> None:
    """They were taken in before."""
    mapping = Mapping(range(4))
    mapping.record(values(0, *range(4)))
    mapping.run.absorb()
    mapping.world.failure = ConnectionError("left")
    assert list(mapping.results) == [0, 1, 2, 3]


def test_pieces_go_on_after_an_error() -> None:
    """For a reader that wants to know of every job; at the end nothing is left."""
    mapping = Mapping([1, 2, 3])
    mapping.record(values(0, 1), failure(1, "no"), values(2, 3))
    first, second, third = (mapping.run.next_piece(0) for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.values, second.values, third.values) == ([1], [], [3])
    assert isinstance(second.error, RemoteError)
    assert (second.start, second.jobs) == (1, 1)
    assert mapping.run.next_piece(0) is None
    assert mapping.left


def test_a_piece_that_is_late_can_be_waited_for_again() -> None:
    """The timeout ends the waiting, not the map."""
    mapping = Mapping([1])
    with pytest.raises(TimeoutError):
        mapping.run.next_piece(0)
    mapping.record(values(0, 1))
    piece = mapping.run.next_piece(0)
    assert piece is not None
    assert piece.values == [1]


def test_a_map_whose_pipeline_was_left_fails_its_reader() -> None:
    """Behind what has come, and draws no more."""
    drawn: list[int] = []
    mapping = Mapping(numbers(100, drawn), Pace(2, grows=False, one_by_one=False))
    mapping.record(values(0, 1))
    before = len(drawn)
    mapping.run.fail(StoreError("gone"))
    assert mapping.run.next_piece(0) is not None
    with pytest.raises(StoreError, match="gone"):
        mapping.run.next_piece(0)
    assert len(drawn) == before
