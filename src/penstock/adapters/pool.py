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
from penstock.client.map import MapRequest
from penstock.errors import JobCancelled
from penstock.job.run_limit import Limited
from penstock.job.spec import ID_BYTES, BatchSpec
from penstock.job.wrappers import Initializer, Prepared, Surroundings

A = TypeVar("A")
T = TypeVar("T")

ErrorCallback = Callable[[BaseException], object]


class WaitTimeout(multiprocessing.TimeoutError, TimeoutError):  # noqa: N818 - a state of the world, caught as either base
    """The result has not come in time; it may still come. It is a multiprocessing.TimeoutError, and a TimeoutError."""


class AsyncResult(Generic[T]):
    """A result that is under way, as multiprocessing.pool.AsyncResult. `Pool.apply_async` and its like return it."""

    def __init__(self, callback: Callable[[T], object] | None, error_callback: ErrorCallback | None) -> None:
        """`callback` is called with the value, `error_callback` with the error, before the result is ready; None: none
        is called."""
        self._callback = callback
        self._error_callback = error_callback
        self._done = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None

    def ready(self) -> bool:
        """Whether the result is here."""
        return self._done.is_set()

    def successful(self) -> bool:
        """Whether the result is a value, no error. Raises ValueError if it is not here yet."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._error is None

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the result is here, or for `timeout` seconds; None: without end."""
        self._done.wait(timeout)

    def get(self, timeout: float | None = None) -> T:
        """The value; raises what the job raised, or multiprocessing.TimeoutError (WaitTimeout) after `timeout` seconds.
        None: it waits without end."""
        if not self._done.wait(timeout):
            raise WaitTimeout
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[no-any-return]  # a T

    def settle(self, value: Any, error: BaseException | None) -> None:
        """Call the callback with the `value`, or with the `error` if there is one, then wake those who wait."""
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
        """Take the result of a `future` that is done; one that was cancelled is a JobCancelled."""
        cancelled = JobCancelled("the pool was terminated before it ended") if future.cancelled() else None
        error = cancelled or future.exception()
        self.settle(None if error is not None else future.result(), error)


class IMapIterator(Generic[T]):
    """The iterator over values that `Pool.imap` and `Pool.imap_unordered` return. It raises the error of a job in its
    place, and the values behind it can still be read."""

    def __init__(self, run: Pieces) -> None:
        """`run`: the map that is read."""
        self._run = run
        self._lock = threading.Lock()
        self._results: deque[tuple[Any, BaseException | None]] = deque()
        run.watch(self)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return self.next()

    def next(self, timeout: float | None = None) -> T:
        """The next value, or the error of its job. Raises StopIteration behind the last one, and
        multiprocessing.TimeoutError (WaitTimeout) after `timeout` seconds (None: it waits without end): ask again."""
        with self._lock:
            while not self._results:
                self._take(timeout)
            value, error = self._results.popleft()
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]  # a T

    def _take(self, timeout: float | None) -> None:
        try:
            piece = self._run.next_piece(timeout)
        except TimeoutError:
            raise WaitTimeout from None
        if piece is None:
            raise StopIteration
        values = piece.values if piece.error is None else [None] * piece.jobs
        self._results.extend((value, piece.error) for value in values)


class Pool:
    """A pool of processes with the interface of multiprocessing.Pool, embedded here or on a running pipeline.

    - `processes`: how many jobs run at once (default: as many as there are cores); on a running pipeline how many of
      this pool's jobs do (default: as many as it has slots).
    - `initializer`: a function that is called with `initargs` once in each process before its first job; what it
      raises is the error of the jobs.
    - `maxtasksperchild`: after so many jobs of this pool a process is replaced by a new one; each call is one job,
      whatever the chunksize.
    - `context`: accepted for programs that name one, and not used: slots are started in a way of their own.
    - `url`: the pipeline, as in `Pipeline` (default: PENSTOCK_URL, else an embedded one).

    Leaving the block of a `with` calls `terminate`. Once the pool is closed all methods that take jobs raise
    ValueError. Raises ValueError for a number below 1, TypeError for an initializer that cannot be called, and
    NoPipeline when nobody answers at the URL. Example::

        with Pool(4) as pool:
            print(pool.map(abs, [-1, -2]))
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
        """Call ``func(*args, **kwds)`` in a process of the pool, where `args` are its arguments and `kwds` its keyword
        arguments. Returns its value; raises what `func` raises."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., T],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] | None = None,
        callback: Callable[[T], object] | None = None,
        error_callback: ErrorCallback | None = None,
    ) -> AsyncResult[T]:
        """Call ``func(*args, **kwds)`` in a process of the pool, without waiting for it.

        Returns an AsyncResult. `callback` is called with the value, or `error_callback` with the error, in another
        thread before the result is ready; neither may wait for another result.
        """
        self._ensure_running()
        result: AsyncResult[T] = AsyncResult(callback, error_callback)
        future = self._pipeline.engine.submit(self._spec, self._prepared(func), tuple(args), dict(kwds or {}))
        future.add_done_callback(result.settle_by)
        return result

    # ------------------------------------------------------------------------------------- many calls

    def map(self, func: Callable[[A], T], iterable: Iterable[A], chunksize: int | None = None) -> list[T]:
        """Call `func` with each item of `iterable`, and return the list of values in that order; raises the error of a
        job when all have ended. `chunksize`: how many items travel together; a good size is found by itself."""
        return self.map_async(func, iterable, chunksize).get()

    def map_async(
        self,
        func: Callable[[A], T],
        iterable: Iterable[A],
        chunksize: int | None = None,
        callback: Callable[[list[T]], object] | None = None,
        error_callback: ErrorCallback | None = None,
    ) -> AsyncResult[list[T]]:
        """Call `func` with each item of `iterable`, without waiting. `chunksize` is that of `map`.

        Returns an AsyncResult of the list of values. `callback` is called with that list, or `error_callback` with the
        error that came first.
        """
        return self._map_async(func, iterable, "item", chunksize, AsyncResult(callback, error_callback))

    def starmap(
        self, func: Callable[..., T], iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[T]:
        """Call `func` with each item of `iterable` as its arguments, ``func(*item)``; `chunksize`, what is returned and
        what is raised are those of `map`."""
        return self.starmap_async(func, iterable, chunksize).get()

    def starmap_async(
        self,
        func: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[T]], object] | None = None,
        error_callback: ErrorCallback | None = None,
    ) -> AsyncResult[list[T]]:
        """Call ``func(*item)`` for each item of `iterable`, without waiting; `chunksize`, `callback`, `error_callback`
        and what is returned are those of `map_async`."""
        return self._map_async(func, iterable, "star", chunksize, AsyncResult(callback, error_callback))

    def imap(self, func: Callable[[A], T], iterable: Iterable[A], chunksize: int = 1) -> IMapIterator[T]:
        """Call `func` with each item of `iterable`; an input without a length, even an endless one, is drawn as the
        values are read. `chunksize`: how many items travel together; 1 leaves it to the pool.

        Returns an iterator over the values in the order of the input.
        """
        return self._imap(func, iterable, chunksize, ordered=True)

    def imap_unordered(self, func: Callable[[A], T], iterable: Iterable[A], chunksize: int = 1) -> IMapIterator[T]:
        """Call `func` with each item of `iterable`, and return an iterator over the values as they come; `chunksize` is
        that of `imap`."""
        return self._imap(func, iterable, chunksize, ordered=False)

    def _imap(self, func: Callable[[A], T], iterable: Iterable[A], chunksize: int, *, ordered: bool) -> IMapIterator[T]:
        self._ensure_running()
        _check_chunksize(chunksize)
        # 1 is but the default here: chunks find their size by themselves, and never hold up their jobs
        size = chunksize if chunksize > 1 else None
        request = MapRequest(self._spec, self._function(func), [iterable], chunksize=size, ordered=ordered)
        return IMapIterator(self._pipeline.engine.start_map(request))

    def _map_async(
        self,
        func: Callable[..., T],
        iterable: Iterable[Any],
        form: str,
        chunksize: int | None,
        result: AsyncResult[list[T]],
    ) -> AsyncResult[list[T]]:
        self._ensure_running()
        _check_chunksize(chunksize)
        items: Sequence[Any] = iterable if hasattr(iterable, "__len__") else list(iterable)  # type: ignore[assignment]
        try:
            function = self._function(func)
            request = MapRequest(self._spec, function, [items], form, chunksize=chunksize, ordered=False)
            run = self._pipeline.engine.start_map(request)
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
        """Take no more jobs; those that were given run to their end."""
        self._running = False

    def terminate(self) -> None:
        """Take no more jobs, and end all of this pool's that have not ended."""
        self._running = False
        if not self._terminated:
            self._terminated = True
            self._pipeline.engine.terminate()

    def join(self) -> None:
        """Wait until all jobs have ended, after `close` or `terminate`. Raises ValueError before one of these."""
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
