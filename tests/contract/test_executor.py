"""`Pipeline` is an executor as ProcessPoolExecutor is one: each case runs on both, and what is seen is the same."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    CancelledError,
    Executor,
    Future,
    as_completed,
    wait,
)
from pathlib import Path
from typing import Any

import pytest

from jobs.common import square
from jobs.contract import inside, keyword, lock, marked_nap, nap, thirds
from support.stations import LIMIT, until


def caught(call: Callable[[], object], *kinds: type[BaseException]) -> str:
    """Which of these a call raises."""
    try:
        call()
    except kinds as error:
        return next(kind.__name__ for kind in kinds if isinstance(error, kind))
    return "nothing"


def submits(executor: Executor) -> object:
    """Values, positional and keyword arguments."""
    return executor.submit(pow, 2, 10, mod=1000).result(LIMIT), executor.submit(keyword, 1, y=2).result(LIMIT)


def futures(executor: Executor) -> object:
    """done, result, exception, with and without a timeout."""
    future = executor.submit(nap, 1.5)
    before = future.done(), caught(lambda: future.result(0.01), TimeoutError), future.cancelled()
    failed = executor.submit(thirds, 3)
    return (
        before,
        future.result(LIMIT),
        future.exception(),
        future.done(),
        repr(failed.exception(LIMIT)),
        caught(failed.result, KeyError),
        "in thirds" in str(failed.exception().__cause__),  # type: ignore[union-attr]  # it failed
    )


def callbacks(executor: Executor) -> object:
    """Called with the future, also when it is done already; what one raises disturbs nobody."""
    seen: list[object] = []
    future = executor.submit(square, 3)
    future.add_done_callback(lambda done: seen.append(done.result()))
    future.result(LIMIT)
    until(lambda: seen)
    future.add_done_callback(lambda done: seen.append(done is future))
    return seen


def waits(executor: Executor) -> object:
    """wait and as_completed."""
    quick, long = executor.submit(square, 2), executor.submit(nap, 2.0)
    both: list[Future[Any]] = [quick, long]
    first = wait(both, LIMIT, FIRST_COMPLETED)
    some = [executor.submit(square, n) for n in range(20)]
    return (
        first.done == {quick},
        caught(lambda: list(as_completed([long], 0.01)), TimeoutError),
        sorted(future.result() for future in as_completed(some, LIMIT)),
        wait(some, LIMIT).not_done,
    )


def waits_for_an_error(executor: Executor) -> object:
    """FIRST_EXCEPTION is over as soon as one has failed, ALL_COMPLETED when all have ended; one future twice is one."""
    long: Future[Any] = executor.submit(nap, 2.0)
    bad: Future[Any] = executor.submit(thirds, 3)
    first = wait([long, bad, bad], LIMIT, FIRST_EXCEPTION)
    every = wait([long, bad], LIMIT, ALL_COMPLETED)
    return (
        bad in first.done,
        long in first.not_done,
        len(every.done),
        every.not_done,
        len(list(as_completed([bad, bad]))),
    )


def cancels(executor: Executor) -> object:
    """A job that waits can be cancelled, once and for all; one that is done cannot."""
    done = executor.submit(square, 2)
    done.result(LIMIT)
    long = [executor.submit(nap, 0.6) for _ in range(4)]
    waiting = [executor.submit(nap, 0.01) for _ in range(50)]
    last, seen = waiting[-1], []
    last.add_done_callback(lambda future: seen.append(future.cancelled()))
    return (
        (last.cancel(), last.cancel(), last.cancelled(), last.done(), last.running(), seen),
        caught(lambda: last.result(LIMIT), CancelledError),
        caught(lambda: last.exception(LIMIT), CancelledError),
        last in wait(waiting, LIMIT).done,
        (done.cancel(), done.cancelled(), done.result()),
        [future.result(LIMIT) for future in long],
    )


def maps(executor: Executor) -> object:
    """In order, of several inputs, to the shortest."""
    return (
        list(executor.map(square, range(100))),
        list(executor.map(pow, [1, 2, 3], (2, 2), timeout=LIMIT)),
        list(executor.map(square, iter(range(20)), chunksize=3)),
        list(executor.map(square, [])),
        list(executor.map(keyword, [])),
    )


def maps_that_fail(executor: Executor) -> object:
    """The error comes at its place and ends the map; so does a timeout."""
    found = executor.map(thirds, [1, 2, 3, 4])
    seen = [next(found), next(found), caught(lambda: next(found), KeyError), caught(lambda: next(found), StopIteration)]
    late = executor.map(nap, [0.01, 5.0], timeout=2.5)
    return (
        seen,
        next(late),
        caught(lambda: next(late), TimeoutError),
        caught(lambda: executor.map(square, [1], chunksize=0), ValueError),
    )


def maps_that_are_closed(executor: Executor) -> object:
    """The rest is cancelled, nothing more comes, and the executor goes on."""
    found: Any = executor.map(nap, [0.01] * 5)
    first = next(found), found.close(), caught(lambda: next(found), StopIteration)
    return first, executor.submit(square, 3).result(LIMIT)


def wrong_use(executor: Executor) -> object:
    """The same exceptions; those of a call may be its future's, or come when it is made."""
    anything: Any = executor
    return (
        caught(anything.submit, TypeError),
        caught(lambda: anything.submit(5).result(LIMIT), TypeError),
        caught(lambda: list(anything.map(5, [1])), TypeError),
        caught(lambda: anything.map(square, 5), TypeError),
        caught(lambda: anything.map(square, [1], chunks=2), TypeError),
        caught(lambda: anything.submit(square, 1, 2).result(LIMIT), TypeError),
        list(anything.map(square)),
    )


def what_cannot_be_pickled(executor: Executor) -> object:
    """The error of that future; others go on."""
    held: Any = threading.Lock()
    bad = executor.submit(square, held)
    return (
        caught(lambda: bad.result(LIMIT), Exception),
        caught(lambda: executor.submit(lock).result(LIMIT), Exception),
        executor.submit(square, 3).result(LIMIT),
    )


def threads(executor: Executor) -> object:
    """Several use it at once."""
    seen: dict[int, list[int]] = {}

    def use(n: int) -> None:
        some = [executor.submit(square, n + i) for i in range(30)]
        seen[n] = [future.result(LIMIT) for future in some] + list(executor.map(square, range(n)))

    users = [threading.Thread(target=use, args=(n,)) for n in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join(LIMIT)
    return seen


def coroutines(executor: Executor) -> object:
    """asyncio waits for it, by wrap_future and by run_in_executor."""

    async def both() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(
            asyncio.wrap_future(executor.submit(square, 3)), loop.run_in_executor(executor, square, 4)
        )

    return asyncio.run(both())


def cancelled_coroutines(executor: Executor) -> object:
    """A coroutine that is cancelled cancels the job it waits for, and the executor goes on."""

    async def cancel() -> tuple[bool, bool]:
        *others, future = [executor.submit(nap, 0.1) for _ in range(20)]
        task = asyncio.ensure_future(asyncio.wait_for(asyncio.wrap_future(future), LIMIT))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        wait(others, LIMIT)
        return task.cancelled(), future.cancelled()

    return asyncio.run(cancel()), executor.submit(square, 3).result(LIMIT)


OPEN = [
    submits,
    futures,
    callbacks,
    waits,
    waits_for_an_error,
    cancels,
    maps,
    maps_that_fail,
    maps_that_are_closed,
    wrong_use,
    what_cannot_be_pickled,
    threads,
    coroutines,
    cancelled_coroutines,
]


@pytest.fixture(scope="module")
def theirs(standard: Any) -> Any:
    """One of the standard library for all cases."""
    with standard.executor() as executor:
        yield executor


@pytest.fixture(scope="module")
def ours(door: Any) -> Any:
    """One of ours."""
    with door.executor() as executor:
        yield executor


@pytest.mark.parametrize("case", OPEN)
def test_an_open_executor_does_the_same(case: Callable[[Executor], object], theirs: Any, ours: Any) -> None:
    """What the case sees."""
    assert case(ours) == case(theirs)


# ------------------------------------------------------------------------------------- cases of an executor's life


def left(make: Callable[[], Any]) -> object:
    """Leaving waits for all; then nothing is taken."""
    with make() as executor:
        some = [executor.submit(nap, 0.05) for _ in range(6)]
        found = executor.map(square, range(50))
    executor.shutdown()
    return [future.done() for future in some], list(found), caught(lambda: executor.submit(square, 1), RuntimeError)


def left_without_waiting(make: Callable[[], Any]) -> object:
    """What was submitted runs all the same."""
    executor = make()
    some = [executor.submit(nap, 0.05) for _ in range(6)]
    executor.shutdown(wait=False)
    refused = caught(lambda: executor.submit(square, 1), RuntimeError)
    return refused, [future.result(LIMIT) for future in some]


def left_by_cancelling(make: Callable[[], Any]) -> object:
    """Jobs that wait are cancelled, running ones end."""
    executor = make()
    mark = Path(tempfile.mkdtemp()) / "mark"
    first = executor.submit(marked_nap, str(mark), 0.7)
    until(mark.exists, what="the first has started")
    some: list[Future[float]] = [executor.submit(nap, 0.05) for _ in range(300)]
    mapped = executor.map(nap, [0.05] * 300)
    executor.shutdown(wait=True, cancel_futures=True)
    last = some[-1]
    ends = caught(last.result, CancelledError), caught(lambda: list(mapped), CancelledError)
    return first.result(0), last.cancelled(), ends, all(one.done() for one in some)


def left_by_an_error(make: Callable[[], Any]) -> object:
    """The error goes through, and nobody hangs."""

    def use() -> None:
        with make() as executor:
            executor.submit(square, 3).result(LIMIT)
            raise LookupError

    start = time.monotonic()
    return caught(use, LookupError), time.monotonic() - start < LIMIT


@pytest.mark.parametrize("case", [left, left_without_waiting, left_by_cancelling, left_by_an_error])
def test_an_executor_is_left_the_same(case: Callable[[Callable[[], Any]], object], standard: Any, door: Any) -> None:
    """What the case sees."""
    assert case(door.executor) == case(standard.executor)


def test_an_executor_can_be_made_inside_of_a_job(theirs: Any, ours: Any) -> None:
    """Of penstock it is always an embedded one."""
    assert ours.submit(inside, "penstock").result(LIMIT) == theirs.submit(inside, "standard").result(LIMIT)
