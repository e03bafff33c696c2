"""The two queues of the tutorials: jobs are put into the dispatched one, their outcomes come out of the finished one.

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
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack

from penstock.adapters.finished_queue import Finished, SharedFinished
from penstock.client import Pipeline, Submitter
from penstock.client.options import UnnamedCallOptions
from penstock.client.records import Outcome
from penstock.slot.job_report import cause_of

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault  # Python has it from 3.13 on; a checker always has

    A = TypeVarWithDefault("A", default="Job[Any]")
    T = TypeVarWithDefault("T", default=Any)
else:
    A = TypeVar("A")
    T = TypeVar("T")
P = ParamSpec("P")


class Job(Generic[T]):
    """A call that is put into the dispatched queue of `queues`: ``fn(*args, **kwargs)``."""

    __slots__ = ("args", "fn", "kwargs")

    def __init__(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """`fn`: the function; `args` and `kwargs`: what it is called with, which must be picklable."""
        self.fn: Callable[..., T] = fn
        self.args: tuple[Any, ...] = args
        self.kwargs: dict[str, Any] = kwargs


class Dispatched(Generic[A]):
    """The queue that jobs are put into, with the methods of queue.Queue. It holds those that have not ended."""

    def __init__(
        self, jobs: Submitter, finished: Finished[Any], run: Callable[[A], Any] | None = None, maxsize: int = 0
    ) -> None:
        """Programs call `queues` instead. `jobs`: what submits. `finished`: it gets the outcomes of jobs that cannot
        be submitted. `run`: the function that items are arguments of; None: items are Jobs. `maxsize`: how many jobs
        may be open at once; 0: any number."""
        self.maxsize = maxsize
        self._jobs = jobs
        self._finished = finished
        self._run = run
        self._open = 0
        self._moved = threading.Condition()

    def put(self, item: A, block: bool = True, timeout: float | None = None) -> None:
        """Dispatch a job.

        - `item`: the argument of `run`, where `queues` was given one, else a Job.
        - `block`: wait while `maxsize` jobs are open.
        - `timeout`: wait so many seconds at most (None: without end).

        Raises queue.Full when there is no room (in time), TypeError when the `item` is no Job, and ValueError for a
        negative timeout.
        """
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
        """Dispatch the job `item` as `put` does, without waiting. Raises queue.Full when `maxsize` jobs are open."""
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
        """Wait until all jobs that were put have ended. Raises TimeoutError after `timeout` seconds (None: it waits
        without end)."""
        with self._moved:
            if not self._moved.wait_for(lambda: not self._open, timeout):
                raise TimeoutError(f"{self._open} jobs have not ended in {timeout:g} s")

    def qsize(self) -> int:
        """How many jobs have not ended."""
        return self._open

    def empty(self) -> bool:
        """Whether all jobs that were put have ended."""
        return not self._open

    def full(self) -> bool:
        """Whether `maxsize` jobs are open."""
        return 0 < self.maxsize <= self._open


@contextmanager
def queues(
    url: str | None = None,
    run: Callable[[A], T] | None = None,
    name: str | None = None,
    *,
    maxsize: int = 0,
    **options: Unpack[UnnamedCallOptions],
) -> Iterator[tuple[Dispatched[A], Finished[T]]]:
    """Two queues, for a `with`: jobs are put into one, and their outcomes come out of the other.

    - `url`: the pipeline, as in `Pipeline` (default: PENSTOCK_URL, else an embedded one).
    - `run`: a function; plain items are put then, each an argument of it. Without it Jobs are put.
    - `name`: other processes that say the same name hold the same queues, on a running pipeline; each outcome is given
      to one of them.
    - `maxsize`: how many jobs may be open at once; `put` waits for room then (0: any number).
    - `options`: the job options, those of `Pipeline.options`.

    Leaving the block waits for the open jobs; leaving it by an exception ends them where the pipeline is embedded.
    Returns a context manager whose value is ``(dispatched, finished)``. Raises NoPipeline, TypeError for a `run` that
    is no function, and the errors of `Pipeline.options`. Example::

        with penstock.queues(run=abs) as (dispatched, finished):
            dispatched.put(-1)
            print(finished.get().value)
    """
    if run is not None and not callable(run):
        raise TypeError(f"run must be a function, not {type(run).__name__}")
    with ExitStack() as stack:
        pipeline = stack.enter_context(Pipeline(url))
        jobs = pipeline.options(**options) if name is None else pipeline.options(**options, name=name)
        session = pipeline.engine.session
        if name is None or session is None:
            finished: Finished[Any] = Finished()
            pipeline.engine.on_outcome(finished.on_row)
        else:
            finished = SharedFinished(session, name)
        try:
            yield Dispatched(jobs, finished, run, maxsize), finished
        except GeneratorExit:  # nobody holds the block any more: what was put runs on, as of a forgotten Pipeline
            stack.pop_all()
            pipeline.shutdown(wait=False)
