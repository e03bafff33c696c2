"""`Pool` over an inline pipeline: the rules that need no processes. What it has in common is in tests/contract."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from jobs.common import square
from jobs.contract import tell, thirds, told
from penstock import Pool, errors
from penstock.adapters.pool import AsyncResult, WaitTimeout


@pytest.fixture
def pool() -> Iterator[Pool]:
    """Terminated at the end."""
    with Pool(url="inline") as made:
        yield made


def test_it_works_without_stations(pool: Pool) -> None:
    """All ways of calling."""
    assert pool.apply(pow, (2, 10), {"mod": 1000}) == 24
    assert pool.map(square, range(5)) == [0, 1, 4, 9, 16]
    assert pool.starmap(pow, [(2, 3), (3, 2)]) == [8, 9]
    assert list(pool.imap(square, iter([1, 2]))) == [1, 4]
    with pytest.raises(KeyError):
        pool.map(thirds, [1, 2, 3])


def test_an_error_of_an_imap_does_not_end_it(pool: Pool) -> None:
    """It comes at its place."""
    found = pool.imap(thirds, [1, 3, 4])
    assert next(found) == 1
    with pytest.raises(KeyError):
        next(found)
    assert list(found) == [4]


def test_an_initializer_runs_once_for_each_pool() -> None:
    """Before the first job, whatever functions there are."""
    before = len(told())
    for word in ("one", "two"):
        with Pool(initializer=tell, initargs=[word], url="inline") as pool:
            assert pool.map(square, [1, 2]) == [1, 4]
            pool.apply(square, (3,))
            assert pool.apply(told)[before:] == ["one", "two"][: len(told()) - before]
    assert told()[before:] == ["one", "two"]


def test_a_callback_that_raises_leaves_nobody_waiting() -> None:
    """The result is ready all the same."""
    result: AsyncResult[int] = AsyncResult(lambda _: 1 / 0, None)
    with pytest.raises(ZeroDivisionError):
        result.settle(5, None)
    assert (result.ready(), result.get(0)) == (True, 5)


def test_a_cancelled_job_is_an_error() -> None:
    """For the callback, too."""
    seen: list[object] = []
    future: Future[int] = Future()
    result: AsyncResult[int] = AsyncResult(None, seen.append)
    future.add_done_callback(result.settle_by)
    future.cancel()
    with pytest.raises(errors.JobCancelled):
        result.get(0)
    assert len(seen) == 1


def test_its_timeout_is_both_kinds() -> None:
    """Programs catch one or the other."""
    assert issubclass(WaitTimeout, multiprocessing.TimeoutError)
    assert issubclass(WaitTimeout, TimeoutError)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [({"processes": 0}, ValueError), ({"maxtasksperchild": -1}, ValueError), ({"initializer": 3}, TypeError)],
)
def test_what_cannot_be_had_is_said(wrong: dict[str, int], error: type[Exception]) -> None:
    """Before anything is started."""
    with pytest.raises(error):
        Pool(url="inline", **wrong)  # type: ignore[arg-type]  # wrong on purpose
