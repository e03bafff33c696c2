"""What `map` promises, embedded and on a running pipeline of two workers: what is drawn, what runs, what comes when."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import CancelledError
from itertools import count
from typing import Any

import pytest

from jobs.common import square
from jobs.contract import nap, thirds
from penstock import Pipeline
from support.stations import LIMIT, until


@pytest.fixture(scope="module")
def ours(door: Any) -> Iterator[Pipeline]:
    """One pipeline for all cases."""
    with door.executor() as executor:
        yield executor


def numbers(drawn: list[int], stop: int | None = None) -> Iterator[int]:
    """An input without a length that tells what was drawn of it; endless unless there is a `stop`."""
    for number in count():
        if number == stop:
            return
        drawn.append(number)
        yield number


def broken() -> Iterator[int]:
    """An input that breaks off."""
    yield from (1, 2)
    raise LookupError("no more")


def transient(pipeline: Pipeline) -> list[str]:
    """The maps that are kept: nothing else was submitted under no name."""
    return [status.id for status in pipeline.batches() if not status.name]


def test_an_input_with_a_length_runs_though_nobody_reads(ours: Pipeline) -> None:
    """From the call on; dropped unread it leaves nothing, and its values can be read as long as somebody holds it."""
    before = set(transient(ours))
    found = ours.map(square, range(200))
    (mine,) = set(transient(ours)) - before
    assert ours.attach(mine).wait(LIMIT).succeeded == 200
    assert list(found) == [n * n for n in range(200)]
    dropped = ours.map(square, range(200))
    del dropped
    gc.collect()
    until(lambda: set(transient(ours)) <= before, what="both are forgotten")


def test_closed_after_its_first_value_it_cancels_the_rest(ours: Pipeline) -> None:
    """What runs too: a slot is free again at once."""
    found: Any = ours.map(nap, [0.0] + [600.0] * 20)
    assert next(found) == 0.0
    found.close()
    with pytest.raises(StopIteration):
        next(found)
    assert ours.submit(square, 3).result(LIMIT) == 9


def test_an_endless_input_is_drawn_as_it_is_read(ours: Pipeline) -> None:
    """Some way ahead, also of values that come as they are done."""
    for begin in (ours.map, ours.imap_unordered):
        drawn: list[int] = []
        found: Any = begin(square, numbers(drawn))
        assert len([next(found) for _ in range(100)]) == 100
        found.close()
        assert len(drawn) < 100_000


def test_a_buffersize_is_what_it_is_in_python_3_14(ours: Pipeline) -> None:
    """So many ahead at the call; one more is drawn as each value is asked for."""
    drawn: list[int] = []
    found: Any = ours.map(square, numbers(drawn), buffersize=3)
    assert drawn == [0, 1, 2]
    assert [(next(found), len(drawn)) for _ in range(3)] == [(0, 4), (1, 5), (4, 6)]
    found.close()
    assert list(ours.map(square, range(5), buffersize=100)) == [0, 1, 4, 9, 16]
    for wrong, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError)):
        with pytest.raises(error, match="buffersize"):
            ours.map(square, numbers(drawn), buffersize=wrong)  # type: ignore[arg-type]  # that is the point
    assert len(drawn) == 6


def test_any_chunksize_gives_the_same(ours: Pipeline) -> None:
    """Also one beyond the input's length; none at all is refused before anything is drawn."""
    drawn: list[int] = []
    for size in (1, 3, 10, 10**9):
        assert list(ours.map(square, range(10), chunksize=size)) == [n * n for n in range(10)]
        assert list(ours.map(square, numbers(drawn, 10), chunksize=size)) == [n * n for n in range(10)]
    del drawn[:]
    for wrong, error in ((0, ValueError), (-3, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="chunksize"):
            ours.map(square, numbers(drawn), chunksize=wrong)  # type: ignore[arg-type]  # that is the point
    assert drawn == []


def test_a_timeout_counts_from_the_call_and_cancels_the_rest(ours: Pipeline) -> None:
    """It is the reader's: TimeoutError, and the pipeline goes on."""
    found = ours.map(nap, [0.0, 600.0, 600.0, 600.0], timeout=1)
    assert next(found) == 0.0
    with pytest.raises(TimeoutError):
        next(found)
    assert list(ours.map(square, [1, 2], timeout=LIMIT)) == [1, 4]


def test_an_error_of_the_input_comes_at_its_place(ours: Pipeline) -> None:
    """What was drawn before it goes on, and is read before it."""
    for found in (
        ours.map(square, broken()),
        ours.map(square, broken(), buffersize=10),
        ours.map(square, broken(), cost=lambda x: x),
    ):
        assert [next(found), next(found)] == [1, 4]
        with pytest.raises(LookupError, match="no more"):
            next(found)
    with pytest.raises(LookupError):
        ours.batch(square, broken())


def test_an_interrupted_call_leaves_nothing(ours: Pipeline) -> None:
    """Ctrl-C while the input is drawn: what was submitted before is cancelled."""
    before = set(transient(ours))

    def interrupted() -> Iterator[float]:
        yield from [600.0] * 20
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ours.map(nap, interrupted(), buffersize=100, chunksize=1)
    until(lambda: set(transient(ours)) <= before, what="it is forgotten")
    assert ours.submit(square, 3).result(LIMIT) == 9


@pytest.mark.parametrize(
    ("cost", "error"),
    [
        (lambda x: 1 // (x - 2), ZeroDivisionError),
        ([1.0, 2.0], ValueError),
        ([1.0, -1.0, 1.0], ValueError),
        ([1.0, float("nan"), 1.0], ValueError),
        (5, TypeError),
    ],
)
def test_a_cost_that_cannot_be_is_refused_at_the_call(ours: Pipeline, cost: Any, error: type[Exception]) -> None:
    """One that raises, is shorter than the input, or no finite number; then nothing was begun."""
    before = transient(ours)
    with pytest.raises(error):
        ours.map(square, [1, 2, 3], cost=cost)
    assert transient(ours) == before


def test_costs_change_the_order_of_running_only(ours: Pipeline) -> None:
    """Values come in order, an error at its place; unordered ones whole; a list may be longer than the input."""
    assert list(ours.map(square, range(20), cost=abs)) == [n * n for n in range(20)]
    assert list(ours.map(pow, [1, 2, 3], [2, 2, 2], cost=[3, 2, 1, 9, 9])) == [1, 4, 9]
    assert sorted(ours.imap_unordered(square, range(20), cost=lambda _: 0)) == [n * n for n in range(20)]
    found = ours.map(thirds, [1, 2, 3, 4], cost=lambda x: x)
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(KeyError):
        next(found)


def test_leaving_ends_what_nobody_has_asked_for(door: Any) -> None:
    """The rest of an input is drawn, but not beyond a buffersize; `cancel_futures` ends what has not started."""
    drawn: list[int] = []
    with door.executor() as executor:
        whole = executor.map(square, numbers(drawn, 1000))
        endless: Any = executor.map(square, numbers([]), buffersize=3)
        ends = executor.map(square, numbers([], 3), buffersize=3)
    assert list(whole) == [n * n for n in range(1000)]
    assert ([next(endless) for _ in range(3)], list(ends)) == ([0, 1, 4], [0, 1, 4])
    with pytest.raises(RuntimeError, match="after shutdown"):
        next(endless)
    executor = door.executor()
    found = executor.map(nap, [0.2] * 400)
    assert next(found) == 0.2
    executor.shutdown(cancel_futures=True)
    with pytest.raises(CancelledError):
        list(found)
