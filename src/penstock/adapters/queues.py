"""The two queues of the tutorials: jobs go into the dispatched one, their outcomes come out of the finished one.

Promises:

1. Each outcome is given to one getter, in the order in which the jobs ended.
2. With a `maxsize` no more jobs than that are open: `put` waits, or raises queue.Full.
3. An argument that cannot be pickled is the error of its outcome.
4. `dispatched.join` waits for the jobs, `finished.join` for those who get: until each outcome is reported done with.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Generic, ParamSpec, TypeVar, Unpack, overload

from penstock.adapters.finished_queue import Finished, SharedFinished
from penstock.client import Pipeline, Submitter
from penstock.client.options import UnnamedCallOptions
from penstock.client.records import Outcome
from penstock.slot.job_report import cause_of

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")


class Job(Generic[T]):
    """A call to be put: ``Job(fn, *args, **kwargs)``."""

    __slots__ = ("args", "fn", "kwargs")

    def __init__(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> None:
        self.fn: Callable[..., T] = fn
        self.args: tuple[Any, ...] = args
        self.kwargs: dict[str, Any] = kwargs


class Dispatched(Generic[A]):
    """Jobs that have not ended, with the methods of queue.Queue."""

    def __init__(
        self, jobs: Submitter, finished: Finished[Any], run: Callable[[A], Any] | None = None, maxsize: int = 0
    ) -> None:
        self.maxsize = maxsize
        self._jobs = jobs
        self._finished = finished
        self._run = run
        self._open = 0
        self._moved = threading.Condition()

    def put(self, item: A, block: bool = True, timeout: float | None = None) -> None:
        """Dispatch a job: an argument of `run`, else a Job. Raises queue.Full: `maxsize` jobs are open, also after
        `timeout` seconds; TypeError: it is no Job."""
        if timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        if self._run is None and not isinstance(item, Job):
            raise TypeError(f"put a penstock.Job, or say what to run: queues(run=...), not {type(item).__name__}")
        with self._moved:
            if not self._moved.wait_for(lambda: not self.full(), timeout if block else 0):
                raise queue.Full
            self._open += 1
        try:
            future = self._submit(item)
        except BaseException:
            self._left()
            raise
        future.add_done_callback(self._ended)

    def put_nowait(self, item: A) -> None:
        """`put` without waiting."""
        self.put(item, block=False)

    def _submit(self, item: A) -> Future[Any]:
        if self._run is not None:
            return self._jobs.submit(self._run, item)
        assert isinstance(item, Job), "put has looked"
        return self._jobs.submit(item.fn, *item.args, **item.kwargs)

    def _ended(self, future: Future[Any]) -> None:
        if not getattr(future, "job_id", ""):
            error = future.exception()
            cause = "" if error is None else cause_of(error)
            self._finished.add(
                Outcome(job_id="", index=0, position=0, state="failed", error=error, cause=cause, attempts=0)
            )
        self._left()

    def _left(self) -> None:
        with self._moved:
            self._open -= 1
            self._moved.notify_all()

    def join(self, timeout: float | None = None) -> None:
        """Wait until all that was put has ended. Raises TimeoutError after `timeout` seconds."""
        with self._moved:
            if not self._moved.wait_for(lambda: not self._open, timeout):
                raise TimeoutError(f"{self._open} jobs have not ended in {timeout:g} s")

    def qsize(self) -> int:
        """How many have not ended."""
        return self._open

    def empty(self) -> bool:
        """Whether all that was put has ended."""
        return not self._open

    def full(self) -> bool:
        """Whether `maxsize` jobs are open."""
        return 0 < self.maxsize <= self._open


Queues = AbstractContextManager[tuple[Dispatched[A], Finished[T]]]


@overload
def queues(
    url: str | None = None,
    run: None = None,
    name: str | None = None,
    *,
    maxsize: int = 0,
    **options: Unpack[UnnamedCallOptions],
) -> Queues[Job[Any], Any]: ...


@overload
def queues(
    url: str | None = None,
    *,
    run: Callable[[A], T],
    name: str | None = None,
    maxsize: int = 0,
    **options: Unpack[UnnamedCallOptions],
) -> Queues[A, T]: ...


@overload
def queues(
    url: str | None,
    run: Callable[[A], T],
    name: str | None = None,
    *,
    maxsize: int = 0,
    **options: Unpack[UnnamedCallOptions],
) -> Queues[A, T]: ...


@contextmanager
def queues(
    url: str | None = None,
    run: Callable[..., Any] | None = None,
    name: str | None = None,
    *,
    maxsize: int = 0,
    **options: Any,
) -> Iterator[tuple[Dispatched[Any], Finished[Any]]]:
    """``(dispatched, finished)``: put jobs into one, get their outcomes from the other.

    `url` is as in Pipeline. With `run` plain items are put, each an argument of that function; without, Jobs.
    With a `name` other processes hold the same queues, on a running pipeline: each outcome is given to one of them.
    `maxsize`: so many jobs are open at once, 0: any number. `options` are job options. Leaving waits for the open jobs;
    leaving by an exception ends them where the pipeline is embedded. Raises NoPipeline; TypeError, ValueError: an
    option.
    """
    if run is not None and not callable(run):
        raise TypeError(f"run must be a function, not {type(run).__name__}")
    if name is not None:
        options["name"] = name
    with ExitStack() as stack:
        pipeline = stack.enter_context(Pipeline(url))
        jobs = pipeline.options(**options)
        session = pipeline.engine.session
        if name is None or session is None:
            finished: Finished[Any] = Finished()
            pipeline.engine.on_outcome(finished.on_row)
        else:
            finished = SharedFinished(session, name)
        try:
            yield Dispatched(jobs, finished, run, maxsize), finished
        except GeneratorExit:  # nobody holds the block any more: what was put goes on, as of a forgotten Pipeline
            stack.pop_all()
            pipeline.shutdown(wait=False)
