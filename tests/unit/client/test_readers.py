"""Readers of rows: in the order of recording, in the order of jobs, and what they hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.client.readers import ArrivalReader, OrderReader, RowReader
from penstock.errors import NoSuchBatch
from penstock.job.payload import decode_values
from penstock.job.spec import JobState, Stamp
from penstock.wire.frames import join
from penstock.wire.messages import Credit, Fetch, Fetched, Follow, Unfollow
from support.recording_client import BATCH, World, failure, head, rows, values


def read(reader: RowReader, deadline: float | None = 0.0) -> list[Any]:
    """The values of the next row."""
    row = reader.next_row(deadline)
    assert row is not None
    return decode_values(row.body, "pickle")


@pytest.fixture
def world() -> World:
    """A session on a recording wire."""
    return World()


def test_rows_come_as_they_are_recorded(world: World) -> None:
    """Until all jobs were handed out."""
    reader = ArrivalReader(world, BATCH)
    reader.close_at(3)
    world.arrive("results", *rows(0, values(1, "b", "c"), values(0, "a")))
    assert [read(reader), read(reader), reader.next_row()] == [["b", "c"], ["a"], None]


def test_rows_come_in_the_order_of_their_jobs(world: World) -> None:
    """However they were recorded."""
    reader = OrderReader(world, BATCH)
    reader.close_at(4)
    world.arrive("results", *rows(0, values(2, "c"), values(0, "a", "b"), values(3, "d")))
    assert [read(reader), read(reader), read(reader), reader.next_row()] == [["a", "b"], ["c"], ["d"], None]


def test_a_reader_waits_until_its_deadline(world: World) -> None:
    """Then it is TimeoutError, and it can go on later."""
    reader = OrderReader(world, BATCH)
    with pytest.raises(TimeoutError):
        reader.next_row(0.0)
    world.arrive("results", *rows(0, values(0, "a")))
    assert read(reader) == ["a"]


def test_a_reader_that_does_not_read_gets_no_credit(world: World) -> None:
    """What was read is given back in shares."""
    reader = ArrivalReader(world, BATCH, window=4000)
    assert world.wire.taken() == [Follow(BATCH, 0, 4000, 1, parts=True)]
    world.arrive("results", *rows(0, *(values(index, bytes(600)) for index in range(5))))
    assert world.wire.taken() == []
    costs = [row.cost for row in reader._rows]
    read(reader)
    read(reader)
    assert world.wire.taken() == [Credit(BATCH, costs[0] + costs[1])]


def test_what_came_in_behind_a_slow_job_is_given_up_and_fetched_when_its_turn_comes(world: World) -> None:
    """A job that takes long stops nobody, and memory stays bounded."""
    reader = OrderReader(world, BATCH, window=4000)
    reader.close_at(12)
    behind = [values(index, bytes(500)) for index in range(1, 12)]
    for place, one in enumerate(behind):
        world.arrive("results", *rows(place, one))
        assert reader._held < 4000
    assert sum(message.bytes for message in world.wire.taken() if isinstance(message, Credit)) > 4000
    world.arrive("results", *rows(len(behind), values(0, b"slow")))
    assert read(reader) == [b"slow"]
    _answer_fetches(world, dict(zip(range(1, 12), behind, strict=True)))
    assert [read(reader, None) for _ in range(11)] == [[bytes(500)]] * 11
    assert reader.next_row() is None


def test_a_gap_that_reading_comes_to_has_room(world: World) -> None:
    """The window was full before its reader came to the job that is missing: nothing more arrives by itself then."""
    reader = OrderReader(world, BATCH, window=4000)
    reader.close_at(8)
    behind = {index: values(index, bytes(500)) for index in range(3, 8)}
    world.arrive("results", *rows(0, values(0, "a"), values(1, "b"), *behind.values()))
    world.wire.taken()
    assert [read(reader), read(reader)] == [["a"], ["b"]]
    assert world.wire.taken() == []
    with pytest.raises(TimeoutError):
        reader.next_row(0.0)
    (credit,) = world.wire.taken()
    assert isinstance(credit, Credit)
    assert credit.bytes > 2000
    world.arrive("results", *rows(7, values(2, "c")))
    _answer_fetches(world, behind)
    assert read(reader) == ["c"]
    assert [read(reader, None) for _ in behind] == [[bytes(500)]] * 5
    assert reader.next_row() is None


def test_what_was_opened_again_while_it_was_fetched_is_not_handed_out(world: World) -> None:
    """The session's thread may be told so before the reading one has what it asked for."""
    reader = OrderReader(world, BATCH, window=100)
    reader.close_at(3)
    world.arrive("results", *rows(0, values(1, bytes(500)), values(2, bytes(500))))
    world.arrive("results", *rows(2, values(0, "a")))
    assert read(reader) == ["a"]
    _answer_fetches(world, {1: values(1, "old"), 2: values(2, "c")})
    send = world.wire.send

    def opening_too(name: str, message: Any, *parts: bytes | memoryview, peer: bytes = b"") -> bool:
        done = send(name, message, *parts, peer=peer)
        if isinstance(message, Fetch):
            world.later.append(lambda: world.arrive("results", *rows(3, opened(1, 2))))
        return done

    world.wire.send = opening_too  # type: ignore[method-assign]
    with pytest.raises(TimeoutError):
        reader.next_row(0.0)
    newer, body = values(1, "new")
    world.arrive("results", *rows(4, (replace(newer, stamp=Stamp(1, 1)), body)))
    assert [read(reader), read(reader, None), reader.next_row()] == [["new"], ["c"], None]


def _answer_fetches(world: World, stored: dict[int, Any]) -> None:
    """From now on the sink answers each Fetch."""

    def answer(fetch: Fetch) -> tuple[Fetched, bytes | memoryview]:
        some = [stored[index] for index in range(fetch.start, fetch.stop)]
        return Fetched(fetch.number, tuple(head for head, _ in some)), join([body for _, body in some])

    _answer_each(world, answer)


def _answer_each(world: World, answer: Callable[[Fetch], tuple[Fetched, bytes | memoryview]]) -> None:
    """From now on the sink answers each Fetch so."""
    send = world.wire.send

    def answering(name: str, message: Any, *parts: bytes | memoryview, peer: bytes = b"") -> bool:
        done = send(name, message, *parts, peer=peer)
        if isinstance(message, Fetch):
            world.later.append(lambda: world.arrive("results", *answer(message)))
        return done

    world.wire.send = answering  # type: ignore[method-assign]


def test_what_is_gone_from_the_sink_is_an_error(world: World) -> None:
    """The batch was deleted while it was read."""
    reader = OrderReader(world, BATCH, window=100)
    world.arrive("results", *rows(0, values(1, bytes(500))))
    world.arrive("results", *rows(1, values(0, b"")))
    assert read(reader) == [b""]
    world.later.append(lambda: world.arrive("results", Fetched(1, ())))
    with pytest.raises(NoSuchBatch, match="are gone"):
        reader.next_row(0.0)


def test_a_discarding_reader_takes_everything_and_tells_the_end(world: World) -> None:
    """Nothing is kept, nothing waits for credit."""
    done: list[bool] = []
    reader = ArrivalReader(world, BATCH, window=100)
    world.arrive("results", *rows(0, values(0, bytes(500))))
    reader.discard(lambda: done.append(True))
    world.wire.taken()
    world.arrive("results", *rows(1, values(1, bytes(500)), values(2, 0), number=2))
    assert done == []
    reader.close_at(3)
    assert done == [True]


def test_a_failed_reader_hands_out_what_it_has_and_then_raises(world: World) -> None:
    """The ventilator refused the rest."""
    reader = ArrivalReader(world, BATCH)
    world.arrive("results", *rows(0, values(0, "a")))
    reader.fail(OSError("disk full"))
    assert read(reader) == ["a"]
    with pytest.raises(OSError, match="disk full"):
        reader.next_row()


def test_a_failed_session_ends_the_waiting(world: World) -> None:
    """With its own error."""
    reader = ArrivalReader(world, BATCH)
    world.failure = ConnectionError("all gone")
    with pytest.raises(ConnectionError, match="all gone"):
        reader.next_row()


def test_a_closed_reader_follows_no_longer(world: World) -> None:
    """The sink is told."""
    reader = ArrivalReader(world, BATCH)
    reader.close()
    assert world.wire.taken() == [Follow(BATCH, 0, reader.window, 1, parts=True), Unfollow(BATCH)]


def opened(start: int, stop: int) -> tuple[Any, bytes]:
    """Jobs that a retry opened again."""
    return head(start, stop, final=False, state=JobState.QUEUED, stamp=Stamp(1, 0)), b""


def test_rows_end_when_every_job_has_an_outcome_that_holds(world: World) -> None:
    """What a retry supersedes while it waits to be read is not handed out, and what it had superseded before neither;
    the opening of that is waited for."""
    reader = ArrivalReader(world, BATCH)
    reader.close_at(3)
    gone = (head(0, 1, final=False, state=JobState.FAILED), b"")
    world.arrive("results", *rows(0, gone, failure(1, "no"), values(2, "c")))
    world.arrive("results", *rows(3, opened(1, 2)))
    assert read(reader) == ["c"]
    world.arrive("results", *rows(4, values(1, "b")))
    assert read(reader) == ["b"]
    with pytest.raises(TimeoutError):
        reader.next_row(0.0)
    world.arrive("results", *rows(5, opened(0, 1), values(0, "a")))
    assert [read(reader), reader.next_row()] == [["a"], None]


def test_in_order_the_newer_outcome_counts_where_it_comes_in_time(world: World) -> None:
    """One that was handed out is not handed out again."""
    reader = OrderReader(world, BATCH)
    reader.close_at(4)
    cancelled = (head(1, 4, state=JobState.CANCELLED), b"")
    world.arrive("results", *rows(0, values(0, "a"), cancelled, opened(2, 3)))
    assert read(reader) == ["a"]
    row = reader.next_row(0.0)
    assert row is not None
    assert (row.start, row.stop) == (1, 2)
    world.arrive("results", *rows(3, opened(0, 2), values(0, "A", "B"), values(2, "c")))
    assert read(reader) == ["c"]
    row = reader.next_row(0.0)
    assert row is not None
    assert (row.start, row.stop, row.offset, reader.next_row()) == (3, 4, 2, None)


def test_what_was_given_up_is_fetched_as_it_holds(world: World) -> None:
    """The newest generation of all that is recorded, in as many answers as it takes."""
    reader = OrderReader(world, BATCH, window=100)
    reader.close_at(3)
    world.arrive("results", *rows(0, failure(1, "x" * 500), failure(2, "x" * 500)))
    world.arrive("results", *rows(2, values(0, "a"), opened(1, 2)))
    assert read(reader) == ["a"]
    stamp = Stamp(1, 1)
    newer, body = values(1, "b")
    world.arrive("results", *rows(4, (replace(newer, stamp=stamp), body)))
    assert read(reader) == ["b"]
    old = failure(2, "no")
    some, last = values(2, "c")

    def answer(fetch: Fetch) -> tuple[Fetched, bytes | memoryview]:
        if fetch.cursor == (0, 0):
            return Fetched(fetch.number, (replace(some, stamp=stamp),), (2, 7)), last
        return Fetched(fetch.number, (old[0], opened(2, 3)[0])), b""

    _answer_each(world, answer)
    assert [read(reader), reader.next_row()] == [["c"], None]
