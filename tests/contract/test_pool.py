"""`penstock.Pool` does what multiprocessing.Pool does: each case runs on both, and what is seen is the same."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import sys
import threading
import time
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from jobs.common import square
from jobs.contract import Falsy, FalsyTell, die, falsy, keyword, lock, nap, note, process, tell, thirds, told
from penstock import Pipeline, Pool, errors
from support.stations import LIMIT, until


def caught(call: Callable[[], object], *kinds: type[BaseException]) -> str:
    """Which of these a call raises."""
    try:
        call()
    except kinds as error:
        return next(kind.__name__ for kind in kinds if isinstance(error, kind))
    return "nothing"


def failing(kind: type[Exception] = LookupError) -> Iterator[int]:
    """An input that breaks off."""
    yield 1
    yield 2
    raise kind("no more")


# ------------------------------------------------------------------------------------- cases on one open pool


def calls(pool: Any) -> object:
    """apply and apply_async with positional and keyword arguments."""
    return pool.apply(pow, (2, 10), {"mod": 1000}), pool.apply_async(keyword, [1], {"y": 2}).get(LIMIT)


def maps(pool: Any) -> object:
    """map in order, of sized inputs, iterators and nothing, with any chunksize."""
    return [
        pool.map(square, range(100)),
        pool.map(square, iter(range(10))),
        pool.map(square, []),
        pool.map(square, range(10), 3),
        pool.map_async(square, {3}).get(LIMIT),
    ]


def starmaps(pool: Any) -> object:
    """starmap: each item is the arguments of a call."""
    return (
        pool.starmap(pow, [(2, 3), [3, 2]]),
        pool.starmap(pow, zip(range(5), range(5), strict=True), chunksize=2),
        pool.starmap_async(pow, []).get(LIMIT),
    )


def imaps(pool: Any) -> object:
    """imap in order, imap_unordered whole."""
    return (
        list(pool.imap(square, range(100))),
        list(pool.imap(square, (n for n in range(100)), chunksize=7)),
        sorted(pool.imap_unordered(square, iter(range(100)))),
        list(pool.imap(square, [])),
    )


def imap_goes_on_after_an_error(pool: Any) -> object:
    """The error comes at its place."""
    found, seen = pool.imap(thirds, range(7)), []
    while True:
        try:
            seen.append(next(found))
        except KeyError as error:
            seen.append(str(error))
        except StopIteration:
            return seen


def errors_are_themselves(pool: Any) -> object:
    """With the remote traceback as the cause."""
    try:
        pool.apply(thirds, (3,))
    except KeyError as error:
        return error.args, "in thirds" in str(error.__cause__)
    return None


def a_map_ends_before_it_fails(pool: Any, folder: Path) -> object:
    """All of its jobs have run when the error of one is raised."""
    trace = folder / f"trace-{id(pool)}"
    kind = caught(lambda: pool.starmap(note, [(str(trace), n) for n in range(20)], chunksize=1), ValueError)
    return kind, sorted(map(int, trace.read_text().split()))


def inputs_that_break(pool: Any) -> object:
    """Their error comes out: of a map at once, of an imap at its place."""
    found = pool.imap(square, failing())
    return (
        caught(lambda: pool.map(square, failing()), LookupError),
        next(found),
        next(found),
        caught(lambda: next(found), LookupError),
    )


def callbacks(pool: Any) -> object:
    """The fitting one is called, before the result is ready."""
    seen: list[object] = []
    results = [
        pool.apply_async(square, (3,), callback=seen.append, error_callback=lambda _: seen.append("wrong")),
        pool.apply_async(thirds, (3,), callback=lambda _: seen.append("wrong"), error_callback=seen.append),
        pool.map_async(square, [1, 2], callback=seen.append),
        pool.map_async(thirds, [3, 1], 1, error_callback=seen.append),
        pool.starmap_async(pow, [(2, 2)], callback=seen.append),
        pool.starmap_async(pow, [(2, 2), ("x", 1)], error_callback=seen.append),
    ]
    for result in results:
        result.wait(LIMIT)
    return sorted(map(repr, seen)), [result.successful() for result in results]


def results(pool: Any) -> object:
    """ready, successful, wait and get before and after the result came."""
    result = pool.apply_async(nap, (0.5,))
    before = (
        result.ready(),
        caught(result.successful, ValueError),
        result.wait(0.01),
        caught(lambda: result.get(0.01), multiprocessing.TimeoutError),
    )
    failed = pool.map_async(thirds, [1, 3])
    twice = caught(lambda: failed.get(LIMIT), KeyError), caught(lambda: failed.get(0), KeyError), failed.successful()
    return before, result.get(LIMIT), result.get(), result.wait(0), result.ready(), result.successful(), twice


def errors_that_are_false(pool: Any) -> object:
    """They are errors, of whatever was asked for."""
    told: list[object] = []
    result = pool.map_async(
        falsy, [1, 3], 1, callback=told.append, error_callback=lambda error: told.append(str(error))
    )
    result.wait(LIMIT)
    asked = [
        lambda: pool.apply(falsy, (3,)),
        lambda: pool.map(falsy, range(5)),
        lambda: pool.starmap(falsy, [(3,), (3,)], 1),
        lambda: list(pool.imap(falsy, [3])),
        lambda: list(pool.imap_unordered(falsy, [3])),
        lambda: pool.map(square, failing(Falsy)),
        lambda: list(pool.imap(square, failing(Falsy))),
    ]
    return [caught(one, Falsy) for one in asked], told, result.successful()


def imap_with_a_timeout(pool: Any) -> object:
    """It can be asked again."""
    found = pool.imap(nap, [0.5])
    first = caught(lambda: found.next(0.01), multiprocessing.TimeoutError)
    value = found.next(timeout=LIMIT)
    ended = [caught(lambda: found.next(LIMIT), StopIteration) for _ in range(2)]
    return first, value, ended, list(found), iter(found) is found


def what_cannot_be_pickled(pool: Any) -> object:
    """Arguments and values: the error of the result, and the pool goes on."""
    return (
        caught(pool.apply_async(square, (threading.Lock(),)).get, Exception),
        caught(lambda: pool.map(lock, [1]), Exception),
        caught(lambda: pool.map(square, [1, threading.Lock()]), Exception),
        caught(lambda: pickle.dumps(pool), NotImplementedError),
        pool.apply(square, (3,)),
    )


def wrong_use(pool: Any) -> object:
    """The same exceptions."""
    return (
        caught(lambda: pool.imap(square, [1], 0), ValueError),
        caught(lambda: pool.imap_unordered(square, [1], -1), ValueError),
        caught(lambda: pool.map(square, 5), TypeError),
        caught(lambda: pool.starmap(square, [5]), TypeError),
        caught(lambda: pool.apply(square, (1, 2)), TypeError),
        caught(lambda: pool.apply(5), TypeError),
        caught(lambda: pool.apply(square, 5), TypeError),
        caught(lambda: pool.map(5, [1]), TypeError),
        caught(lambda: pool.imap(square, [1], "2"), TypeError),
        caught(lambda: next(pool.imap(square, 5)), TypeError),
        caught(pool.join, ValueError),
    )


def threads(pool: Any) -> object:
    """Several use it at once."""
    seen: dict[int, list[int]] = {}

    def use(n: int) -> None:
        seen[n] = pool.map(square, range(n, n + 50)) + list(pool.imap(square, range(n)))

    some = [threading.Thread(target=use, args=(n,)) for n in range(4)]
    for thread in some:
        thread.start()
    for thread in some:
        thread.join(LIMIT)
    return seen


OPEN = [
    calls,
    maps,
    starmaps,
    imaps,
    imap_goes_on_after_an_error,
    errors_are_themselves,
    inputs_that_break,
    callbacks,
    results,
    errors_that_are_false,
    imap_with_a_timeout,
    what_cannot_be_pickled,
    wrong_use,
    threads,
]


@pytest.fixture(scope="module")
def theirs(standard: Any) -> Iterator[Any]:
    """One of the standard library for all cases."""
    with standard.pool() as pool:
        yield pool


@pytest.fixture(scope="module")
def ours(door: Any) -> Iterator[Any]:
    """One of ours."""
    with door.pool() as pool:
        yield pool


@pytest.mark.parametrize("case", OPEN)
def test_an_open_pool_does_the_same(case: Callable[[Any], object], theirs: Any, ours: Any) -> None:
    """What the case sees."""
    assert case(ours) == case(theirs)


def test_a_map_ends_before_it_fails(theirs: Any, ours: Any, folder: Path) -> None:
    """The jobs behind the one that failed have run, too."""
    assert a_map_ends_before_it_fails(ours, folder) == a_map_ends_before_it_fails(theirs, folder)


# ------------------------------------------------------------------------------------- cases of a pool's life


def closed(make: Callable[..., Any]) -> object:
    """A closed pool takes nothing, and ends what it has, also what nobody has read."""
    pool = make()
    waiting = pool.map_async(nap, [0.05] * 4)
    drawn = pool.imap(square, (n for n in range(50)))
    pool.close()
    refused = [
        caught(call, ValueError)
        for call in (
            lambda: pool.apply(square, (1,)),
            lambda: pool.map_async(square, [1]),
            lambda: pool.imap(square, [1]),
            pool.__enter__,
        )
    ]
    pool.join()
    pool.join()
    return refused, waiting.ready(), waiting.get(0), list(drawn)


def terminated(make: Callable[..., Any]) -> object:
    """Its block ends at once, whatever runs."""
    start = time.monotonic()
    with make() as pool:
        pool.map_async(nap, [60] * 10)
        pool.apply_async(nap, (60,))
    pool.terminate()
    pool.join()
    return caught(lambda: pool.apply(square, (1,)), ValueError), time.monotonic() - start < LIMIT


def initialized(make: Callable[..., Any]) -> object:
    """Once in each process, before its first job, whatever runs there."""
    with make(tell, ("word",)) as pool:
        first = {tuple(pool.apply(told)) for _ in range(10)}
        return first, {tuple(result.get(LIMIT)) for result in [pool.apply_async(told) for _ in range(10)]}


def renewed(make: Callable[..., Any]) -> object:
    """No process runs more jobs than it may, whichever way they come; then another one goes on."""
    with make(tell, ("word",), 2) as pool:
        ran = Counter(pool.map(process, range(12), chunksize=1))
        ran.update(pool.imap_unordered(process, range(4)))
        ran.update(pool.apply(process) for _ in range(2))
        failed = caught(lambda: pool.map(thirds, [3, 3, 3, 3, 3], 1), KeyError)
        return max(ran.values()) <= 2, sum(ran.values()), failed, pool.apply(told)


def read_after_it_was_closed(make: Callable[..., Any]) -> object:
    """What was begun goes on: results, and values that nobody has read yet."""
    pool = make()
    result = pool.starmap_async(pow, [(2, n) for n in range(20)], 3)
    values, some = pool.imap(square, range(30)), pool.imap_unordered(square, range(30), 4)
    pool.close()
    seen = next(values), sorted(some), list(values), result.get(LIMIT)
    pool.join()
    return seen


def left_again(make: Callable[..., Any]) -> object:
    """Whatever is said after the end changes nothing."""
    closed, ended = make(), make()
    closed.close()
    said = [closed.close(), closed.join(), closed.terminate(), closed.join(), closed.close()]
    said += [ended.terminate(), ended.terminate(), ended.close(), ended.join()]
    refused = [caught(pool.__enter__, ValueError) for pool in (closed, ended)]
    return said, refused, caught(lambda: ended.starmap(pow, [(1, 2)]), ValueError)


def initialized_by_what_is_false(make: Callable[..., Any]) -> object:
    """It is called all the same."""
    with make(FalsyTell(), ("hello",)) as pool:
        return pool.apply(told)[-1:]


def forgotten(make: Callable[..., Any]) -> object:
    """One that is garbage while it runs is warned of, and none that was closed or terminated.

    A thread of the pool may hold it for a moment after the call returned (multiprocessing's reader of results
    wakes the caller before it lets go of the result, and so of the pool), so the case waits until it is gone,
    or warned of (the warning holds it).
    """
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for ending in ("close", "terminate", ""):
            pool = make()
            pool.apply(abs, (-1,))
            if ending:
                getattr(pool, ending)()
                pool.join()
            gone = weakref.ref(pool)
            del pool
            until(lambda: gc.collect() >= 0 and (seen or gone() is None))  # noqa: B023  (it is called within the turn)
    return [(warning.category.__name__, str(warning.message)[:36]) for warning in seen]


def badly_made(make: Callable[..., Any]) -> object:
    """The same exceptions."""
    return (
        caught(lambda: make("no function"), TypeError),
        caught(lambda: make(None, (), 0), ValueError),
        caught(lambda: make(None, (), "2"), ValueError),
    )


LIVES = [
    closed,
    terminated,
    initialized,
    initialized_by_what_is_false,
    forgotten,
    renewed,
    read_after_it_was_closed,
    left_again,
    badly_made,
]


@pytest.mark.parametrize("case", LIVES)
def test_a_pool_lives_the_same(case: Callable[[Callable[..., Any]], object], standard: Any, door: Any) -> None:
    """What the case sees."""
    assert case(door.pool) == case(standard.pool)


# ------------------------------------------------------------------------------------- better than the original


def test_a_killed_process_hangs_nothing(ours: Any) -> None:
    """Its job fails after three tries, the others have their values."""
    dead = ours.map_async(die, [1])
    alive = ours.map_async(square, range(10))
    with pytest.raises(errors.JobDied, match="SIGSEGV"):
        dead.get(LIMIT)
    assert alive.get(LIMIT) == [n * n for n in range(10)]
    found = ours.imap(die, [1])
    with pytest.raises(errors.JobDied):
        found.next(LIMIT)


def test_a_job_that_wants_to_exit_hangs_nothing(ours: Any) -> None:
    """It is the error of that call, and its process goes on."""
    for function, arguments in ((sys.exit, (3,)), (exec, ("raise KeyboardInterrupt",))):
        with pytest.raises(errors.JobExited):
            ours.apply_async(function, arguments).get(LIMIT)
    assert ours.apply(square, (3,)) == 9


def test_an_endless_input_is_drawn_as_it_is_read(ours: Any) -> None:
    """Some way ahead."""
    drawn = count()
    found = ours.imap(square, drawn)
    assert [next(found) for _ in range(1000)] == [n * n for n in range(1000)]
    assert next(drawn) < 100_000


def test_terminate_leaves_nobody_waiting(door: Any) -> None:
    """What had no value raises JobCancelled."""
    pool = door.pool()
    left = [pool.apply_async(nap, (60,)), pool.map_async(nap, [60] * 3)]
    found = pool.imap(nap, [60])
    pool.terminate()
    for wait in (left[0].get, left[1].get, found.next):
        with pytest.raises(errors.JobCancelled):
            wait(LIMIT)


def test_terminate_ends_what_the_pool_has_given_a_running_pipeline(running: str) -> None:
    """And nothing else: another's jobs run on."""
    with Pool(url=running) as other:
        kept = other.apply_async(nap, (1.0,))
        pool = Pool(url=running)
        for _ in range(4):
            pool.apply_async(nap, (60,))
        pool.map_async(nap, [60] * 4)
        with Pipeline(running) as pipeline:
            until(lambda: pipeline.status().leased >= 2, what="both slots are busy")
        pool.terminate()
        assert kept.get(LIMIT) == 1.0
        assert other.apply_async(square, (3,)).get(LIMIT) == 9


def test_a_context_is_taken(running: str) -> None:
    """Programs that name one go on as they are."""
    with Pool(url=running, context=multiprocessing.get_context("spawn")) as pool:
        assert pool.map(square, range(3)) == [0, 1, 4]


def test_lambdas_and_closures_travel(ours: Any) -> None:
    """No pool of the standard library takes them."""
    n = 3
    assert ours.map(lambda x: x + n, [1, 2]) == [4, 5]


def test_what_an_initializer_raises_is_the_error_of_the_jobs(door: Any) -> None:
    """A pool of the standard library starts processes for ever then."""
    with door.pool(thirds, (0,)) as pool, pytest.raises(KeyError):
        pool.apply_async(square, (1,)).get(LIMIT)
