"""Mistakes that everybody makes once: the error says what to do, from every way of submitting."""

from __future__ import annotations

import asyncio
import functools
import multiprocessing
import pickle
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from penstock import Pipeline
from penstock.client.functions import Functions
from penstock.client.serialization_errors import call


def plain(*_: object) -> int:
    """Anything."""
    return 1


async def later(x: int) -> int:
    return x


async def some(x: int) -> AsyncIterator[int]:
    yield x


class Later:
    async def __call__(self, x: int) -> int:
        return x

    async def method(self, x: int) -> int:
        return x


class Held:
    """Has something in it."""

    def __init__(self, value: object) -> None:
        self.value = value

    def get(self) -> object:
        return self.value


@pytest.fixture
def pipeline() -> Iterator[Pipeline]:
    """In this process."""
    with Pipeline("inline") as inline:
        yield inline


@pytest.mark.parametrize(
    "function",
    [later, some, functools.partial(later, 1), functools.partial(functools.partial(some), 1), Later(), Later().method],
)
def test_an_async_def_is_told_to_be_wrapped(pipeline: Pipeline, function: Callable[..., Any]) -> None:
    """The error of a submit's Future, raised by map, batch and for an initializer; also through a view."""
    error = pipeline.submit(function, 1).exception(0)
    assert isinstance(error, TypeError)
    assert "asyncio.run(" in str(error)
    for submit in (
        lambda: pipeline.map(function, [1]),
        lambda: pipeline.batch(function, [1]),
        lambda: pipeline.options(env={"A": "1"}).map(function, [1]),
        lambda: pipeline.options(initializer=function),
    ):
        with pytest.raises(TypeError, match="is an async def"):
            submit()


def test_what_only_looks_async_is_taken(pipeline: Pipeline) -> None:
    """A wrapper that runs it, a class."""

    @functools.wraps(later)
    def run(x: int) -> int:
        return asyncio.run(later(x))

    assert pipeline.submit(run, 3).result(0) == 3
    assert isinstance(pipeline.submit(Later).result(0), Later)


LOCKS = [threading.Lock(), threading.RLock(), threading.Event(), threading.Semaphore()]


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (Future(), "pass future.result()"),
        ([{"x": Held(Future())}], "pass future.result()"),
        *[(lock, "multiprocessing.Manager()") for lock in LOCKS],
        *[(make(), "multiprocessing.Manager()") for make in (multiprocessing.Lock, multiprocessing.Queue, queue.Queue)],
        (ThreadPoolExecutor(1), "inside a job, make one there"),
        ((n for n in range(3)), "pass a list"),
    ],
)  # fmt: skip
def test_an_argument_that_cannot_be_sent_says_what_to_do(pipeline: Pipeline, value: object, advice: str) -> None:
    """Of a submit, of a map, and deep inside of another value; the argument is still named."""
    error = pipeline.submit(plain, 1, value).exception(0)
    assert isinstance(error, pickle.PicklingError)
    assert str(error).startswith("argument 2 (")
    assert advice in str(error)
    with pytest.raises(pickle.PicklingError, match=r"^the argument \(") as raised:
        list(pipeline.map(plain, [value]))
    assert advice in str(raised.value)


def test_a_pipeline_is_made_inside_of_the_job(pipeline: Pipeline, tmp_path: Path) -> None:
    """Itself, a view of it, and a file that is written to."""
    with (tmp_path / "file").open("w") as file:
        for value, advice in (
            (pipeline, "inside a job, make one there"),
            (pipeline.options(retries=1), "inside a job, make one there"),
            (file, "pass its path"),
        ):
            error = pipeline.submit(plain, value).exception(0)
            assert str(error).count(advice) == 1


def test_an_initializers_argument_is_named() -> None:
    """And not the function that it is for."""
    lock = multiprocessing.Lock()
    with Pipeline("inline") as pipeline:
        view = pipeline.options(initializer=plain, initargs=(1, lock))
        error = view.submit(abs, -1).exception(0)
        assert isinstance(error, pickle.PicklingError)
        assert str(error).startswith("argument 2 of the initializer plain (Lock) cannot be serialized by pickle: ")
        assert str(error).endswith("pass a multiprocessing.Manager()'s instead")
        with pytest.raises(pickle.PicklingError, match="argument 2 of the initializer plain"):
            view.map(abs, [-1])
        held = pipeline.options(initializer=functools.partial(plain, threading.Lock()))
        assert "the initializer functools.partial" in str(held.submit(abs, -1).exception(0))


def test_what_a_function_holds_is_explained_too(pipeline: Pipeline) -> None:
    """In a closure, a partial, or the object of a method."""
    lock = threading.Lock()

    def holding() -> object:
        return lock

    for function in (holding, functools.partial(plain, lock), Held(lock).get):
        assert "make one in the job" in str(pipeline.submit(function).exception(0))


def test_other_errors_are_left_as_they_are() -> None:
    """A value whose own code refuses, in its own words."""

    class Refuses:
        def __reduce__(self) -> Any:
            raise ValueError("not me")

    with pytest.raises(pickle.PicklingError, match=r"not me$"):
        call(Functions(), plain, [Refuses()], {}, "pickle")
