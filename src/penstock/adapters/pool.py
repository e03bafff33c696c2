"""`Pool`: the interface and the meaning of multiprocessing.Pool, over a Pipeline.

What differs, on purpose: a process that dies fails its job after `max_crashes` tries, and nothing waits for it; `imap`
draws a bounded way ahead of its reader; results that `terminate` leaves without a value raise JobCancelled.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from penstock.client import Pipeline
from penstock.client.backend import Pieces
from penstock.client.functions import Function
from penstock.client.locate import locate
from penstock.errors import JobCancelled
from penstock.job.run_limit import Limited
from penstock.job.spec import ID_BYTES, BatchSpec
from penstock.job.wrappers import Initializer, Prepared, Surroundings

A = TypeVar("A")
T = TypeVar("T")

ErrorCallback = Callable[[BaseException], object]


class WaitTimeout(multiprocessing.TimeoutError, TimeoutError):  # noqa: N818 - a state of the world, caught as either base
    """What was waited for has not come in time; it may still come."""


class AsyncResult(Generic[T]):
    """A result that is under way, as multiprocessing.pool.AsyncResult."""

    def __init__(self, callback: Callable[[T], object] | None, error_callback: ErrorCallback | None) -> None:
        self._callback = callback
        self._error_callback = error_callback
        self._done = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None

    def ready(self) -> bool:
        """Whether it is here."""
        return self._done.is_set()

    def successful(self) -> bool:
        """Whether it is a value. Raises ValueError: it is not here yet."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._error is None

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it is here, or for `timeout` seconds."""
        self._done.wait(timeout)

    def get(self, timeout: float | None = None) -> T:
        """The value, or what the job raised. Raises multiprocessing.TimeoutError after `timeout` seconds."""
        if not self._done.wait(timeout):
            raise WaitTimeout
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[no-any-return]  # a T

    def settle(self, value: Any, error: BaseException | None) -> None:
        """It is here: the callback is told, then whoever waits."""
        self._value, self._error = value, error
        callback, error_callback = self._callback, self._error_callback
        self._callback = self._error_callback = None
        try:
            if error is None and callback is not None:
                callback(value)
            elif error is not None and error_callback is not None:
                error_callback(error)
        finally:
            self._done.set()

    def settle_by(self, future: Future[T]) -> None:
        """It came as a Future."""
        cancelled = JobCancelled("the pool was terminated before it ended") if future.cancelled() else None
        error = cancelled or future.exception()
        self.settle(None if error is not None else future.result(), error)


class IMapIterator(Generic[T]):
    """The values of `imap` and `imap_unordered`. An error comes at its place, and the values behind it can be read."""

    def __init__(self, run: Pieces) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._values: deque[T] = deque()
        self._error: BaseException | None = None
        self._errors = 0
        run.watch(self)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return self.next()

    def next(self, timeout: float | None = None) -> T:
        """The next value. Raises multiprocessing.TimeoutError after `timeout` seconds: ask again."""
        with self._lock:
            while not self._values:
                if self._errors and self._error is not None:
                    self._errors -= 1
                    raise self._error
                self._take(timeout)
            return self._values.popleft()

    def _take(self, timeout: float | None) -> None:
        try:
            piece = self._run.next_piece(timeout)
        except TimeoutError:
            raise WaitTimeout from None
        if piece is None:
            raise StopIteration
        self._values.extend(piece.values)
        self._error = piece.error
        self._errors = 0 if piece.error is None else piece.jobs


class Pool:
    """multiprocessing.Pool's interface: embedded in this process, or on the running pipeline at `url`.

    `processes`: how many jobs run at once, by default as many as there are cores; on a running pipeline so many of
    this pool's, by default as many as it has slots. `initializer`: called with `initargs` once in each process before
    its first job; what it raises is the error of the jobs. `maxtasksperchild`: after so many jobs of this pool a
    process makes room for a new one; each call is one, whatever the chunksize. `context` is accepted and changes
    nothing: slots are started in a way of their own. `url` is as in Pipeline.

    Raises ValueError: a number below 1; TypeError: the initializer is not callable; NoPipeline: nobody answers.
    """

    _running = False

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., Any] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: object = None,  # noqa: ARG002 - programs that name one go on as they are
        *,
        url: str | None = None,
    ) -> None:
        if processes is not None and processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int) or maxtasksperchild < 1):
            raise ValueError("maxtasksperchild must be a positive int or None")
        self._key = os.urandom(ID_BYTES)
        self._initializer = None if initializer is None else Initializer(self._key, initializer, tuple(initargs))
        self._limit = maxtasksperchild
        self._terminated = False
        self._collectors: list[threading.Thread] = []
        where, _ = locate(url, None)
        limit = None if where == "local" else processes
        self._pipeline = Pipeline(where, slots=processes if where == "local" else None)
        word = self._pipeline.engine.client.word
        self._spec = BatchSpec(limit=limit, limit_group=b"" if limit is None else self._key, client=word)
        self._running = True

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:  # the module may be gone by then
        if self._running:
            warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, stacklevel=1, source=self)

    def __repr__(self) -> str:
        return f"<penstock.Pool {self._pipeline.url}{'' if self._running else ' closed'}>"

    def __reduce__(self) -> Any:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def __enter__(self) -> Self:
        self._ensure_running()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.terminate()

    # ------------------------------------------------------------------------------------- single calls

    def apply(self, func: Callable[..., T], args: Iterable[Any] = (), kwds: Mapping[str, Any] | None = None) -> T:
        """``func(*args, **kwds)`` in a process of the pool."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., T],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] | None = None,
        callback: Callable[[T], object] | None = None,
        error_callback: ErrorCallback | None = None,
    ) -> AsyncResult[T]:
        """`apply` without waiting. Callbacks run in another thread, before the result is ready; they must not wait."""
        self._ensure_running()
        result: AsyncResult[T] = AsyncResult(callback, error_callback)
        future = self._pipeline.engine.submit(self._spec, self._prepared(func), tuple(args), dict(kwds or {}))
        future.add_done_callback(result.settle_by)
        return result

    # ------------------------------------------------------------------------------------- many calls

    def map(self, func: Callable[[A], T], iterable: Iterable[A], chunksize: int | None = None) -> list[T]:
        """``list(map(func, iterable))``; when all jobs have ended, one that failed is raised."""
        return self.map_async(func, iterable, chunksize).get()

    def map_async(
        self,
        func: Callable[[A], T],
        iterable: Iterable[A],
        chunksize: int | None = None,
        callback: Callable[[list[T]], object] | None = None,
        error_callback: ErrorCallback | None = None,
    ) -> AsyncResult[list[T]]:
        """`map` without waiting; the callback is given the whole list."""
        return self._map_async(func, iterable, "item", chunksize, callback, error_callback)

    def starmap(
        self, func: Callable[..., T], iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[T]:
        """As `map`; each item is the arguments of one call."""
        return self.starmap_async(func, iterable, chunksize).get()

    def starmap_async(
        self,
        func: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[T]], object] | None = None,
        error_callback: ErrorCallback | None = None,
    ) -> AsyncResult[list[T]]:
        """`starmap` without waiting."""
        return self._map_async(func, iterable, "star", chunksize, callback, error_callback)

    def imap(self, func: Callable[[A], T], iterable: Iterable[A], chunksize: int = 1) -> IMapIterator[T]:
        """The values in order. An input without a length, also an endless one, is drawn as it is read."""
        return self._imap(func, iterable, chunksize, ordered=True)

    def imap_unordered(self, func: Callable[[A], T], iterable: Iterable[A], chunksize: int = 1) -> IMapIterator[T]:
        """As `imap`, with the values as they come."""
        return self._imap(func, iterable, chunksize, ordered=False)

    def _imap(self, func: Callable[[A], T], iterable: Iterable[A], chunksize: int, *, ordered: bool) -> IMapIterator[T]:
        self._ensure_running()
        _check_chunksize(chunksize)
        # 1 is but the default here: chunks find their size by themselves, and never hold up their jobs
        size = chunksize if chunksize > 1 else None
        run = self._pipeline.engine.start_map(
            self._spec, self._function(func), [iterable], chunksize=size, ordered=ordered
        )
        return IMapIterator(run)

    def _map_async(
        self,
        func: Callable[..., T],
        iterable: Iterable[Any],
        form: str,
        chunksize: int | None,
        callback: Callable[[list[T]], object] | None,
        error_callback: ErrorCallback | None,
    ) -> AsyncResult[list[T]]:
        self._ensure_running()
        _check_chunksize(chunksize)
        items: Sequence[Any] = iterable if hasattr(iterable, "__len__") else list(iterable)  # type: ignore[assignment]
        result: AsyncResult[list[T]] = AsyncResult(callback, error_callback)
        try:
            run = self._pipeline.engine.start_map(
                self._spec, self._function(func), [items], form=form, chunksize=chunksize, ordered=False
            )
        except Exception as error:  # noqa: BLE001 - pickling runs the user's code; it is the error of the result
            result.settle(None, error)
            return result
        self._collect(result, run, len(items))
        return result

    def _collect(self, result: AsyncResult[Any], run: Pieces, count: int) -> None:
        thread = threading.Thread(target=_collect, args=(result, run, count), name="penstock-pool", daemon=True)
        self._collectors = [one for one in self._collectors if one.is_alive()]
        self._collectors.append(thread)
        thread.start()

    def _prepared(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with what this pool does before and after each run."""
        self._pipeline.engine.client.share_key()
        if self._limit is not None:
            func = Limited(self._key, self._limit, func)
        if self._initializer is None:
            return func
        return Prepared(func, self._initializer, Surroundings())

    def _function(self, func: Callable[..., Any]) -> Function:
        return self._pipeline.engine.function(self._prepared(func), self._spec)

    # ------------------------------------------------------------------------------------- leaving

    def _ensure_running(self) -> None:
        if not self._running:
            raise ValueError("Pool not running")

    def close(self) -> None:
        """Take no more; what was given runs to its end."""
        self._running = False

    def terminate(self) -> None:
        """Take no more, and end what runs (of a running pipeline: what this pool has given it)."""
        self._running = False
        if not self._terminated:
            self._terminated = True
            self._pipeline.engine.terminate()

    def join(self) -> None:
        """Wait until all has ended, after `close` or `terminate`. Raises ValueError: before."""
        if self._running:
            raise ValueError("Pool is still running")
        for thread in self._collectors:
            thread.join()
        if not self._terminated:
            self._terminated = True
            self._pipeline.shutdown()


def _check_chunksize(chunksize: int | None) -> None:
    if chunksize is not None and chunksize < 1:
        raise ValueError(f"Chunksize must be 1+, not {chunksize:n}")


def _collect(result: AsyncResult[Any], run: Pieces, count: int) -> None:
    """Read a map to its end; its result is all of the values, or the error that came first."""
    values = [None] * count
    first: BaseException | None = None
    try:
        while (piece := run.next_piece()) is not None:
            first = piece.error if first is None else first  # an exception may be false
            values[piece.start : piece.start + piece.jobs] = piece.values or [None] * piece.jobs
    except BaseException as error:  # noqa: BLE001 - an error of the input, or the pipeline was left
        first = error if first is None else first
    result.settle(None if first is not None else values, first)
