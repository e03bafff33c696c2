"""The Future of one job."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

from penstock.errors import JobCancelled
from penstock.job.spec import job_id

T = TypeVar("T")

log: logging.Logger = logging.getLogger("concurrent.futures")


class Submitted(Protocol):
    """What a Future asks of whoever submitted its job."""

    @property
    def is_delivering(self) -> bool:
        """Whether the caller is in the thread that settles futures."""

    def ensure_may_wait(self) -> None:
        """RuntimeError: the caller is in a callback that others wait for."""

    def cancel(self, index: int) -> bool:
        """Whether the job will not start any more."""


class JobFuture(Future[T]):
    """A concurrent.futures.Future of one job, which `Pipeline.submit` and `Pipeline.command` return."""

    _deciding = threading.Lock()

    def __init__(self, stream: Submitted | None, index: int, batch: bytes = b"") -> None:
        """Programs call `Pipeline.submit` instead. `stream`: who submitted the job, None if it cannot be cancelled.
        `index`: its place in its batch. `batch`: the id of that, empty if the job was never submitted."""
        super().__init__()
        self._stream = stream
        self._batch = batch
        self._index = index
        self._cancel_asked = False
        self._is_cancelled = False

    @property
    def job_id(self) -> str:
        """The name of the job, ``BATCH:INDEX``; empty if it could not be submitted."""
        return job_id(self._batch, self._index) if self._batch else ""

    @property
    def place(self) -> tuple[bytes, int]:
        """The id of the job's batch, and its index there. Raises ValueError if it could not be submitted."""
        if not self._batch:
            raise ValueError("this job was never submitted: its error says why")
        return self._batch, self._index

    def result(self, timeout: float | None = None) -> T:
        """The value of the job, or the exception that it raised.

        Raises TimeoutError after `timeout` seconds (None: it waits without end), CancelledError when it is cancelled,
        and RuntimeError in the callback of a Future, in whose thread the value would come.
        """
        self._ensure_may_wait(timeout)
        value = super().result(timeout)
        error = super().exception(0)
        if error is not None:  # one that is false: Python 3.11 takes it for none
            raise error
        return value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The exception that the job raised, None if it has a value. `timeout` and the errors are those of `result`."""
        self._ensure_may_wait(timeout)
        return super().exception(timeout)

    def __await__(self) -> Generator[Any, None, T]:
        """``await future`` in asyncio: the value of the job, or its exception; the event loop goes on meanwhile. A task
        that is cancelled while it waits cancels the job, as `cancel` does."""
        from asyncio import wrap_future  # noqa: PLC0415 - who awaits has it, others need not wait for it

        return wrap_future(self).__await__()

    def _ensure_may_wait(self, timeout: float | None) -> None:
        if timeout is None and self._stream is not None and not self.done():
            self._stream.ensure_may_wait()

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Call ``fn(future)`` when the job has ended. Callbacks run one after the other in a thread of their own, where
        `fn` must not wait for another Future; what it raises is logged."""
        super().add_done_callback(partial(_call, fn))

    def cancel(self) -> bool:
        """Cancel the job if it has not started, even where it waits at a worker already.

        Returns whether it has never started and never will. False when it runs, has ended, was started before (a retry
        waits, its worker was lost), or nobody can tell yet: in an event loop, and while the ventilator is away, the
        answer is not waited for. It may be cancelled all the same, and then so is the Future, once the outcome comes.
        """
        if self.done() or self._stream is None:
            return self.cancelled()
        self.expect_cancel()
        if not self._stream.cancel(self._index):
            return False
        self.set_cancelled()
        return self.cancelled()

    def expect_cancel(self) -> None:
        """From now on an outcome "cancelled" makes this Future cancelled, not failed with JobCancelled."""
        self._cancel_asked = True

    def set_cancelled(self) -> None:
        """Make this Future cancelled, once: its job was cancelled here, or its outcome says so."""
        with self._deciding:
            is_first, self._is_cancelled = not self._is_cancelled, True
        if is_first and not self.done() and super().cancel():
            self.set_running_or_notify_cancel()

    def settle(self, value: Any, error: BaseException | None) -> None:
        """Give this Future its result, `value`, or its `error`."""
        with suppress(InvalidStateError):  # it was cancelled meanwhile
            if error is None:
                self.set_result(value)
            elif self._cancel_asked and isinstance(error, JobCancelled):
                self.set_cancelled()
            else:
                self.set_exception(error)

    @property
    def is_delivering(self) -> bool:
        """Whether the caller is in the thread that settles this Future."""
        return self._stream is not None and self._stream.is_delivering


def _call(fn: Callable[[Future[Any]], object], future: Future[Any]) -> None:
    """What is no Exception would end the thread, and keep the next callbacks from running."""
    try:
        fn(future)
    except Exception:
        raise  # concurrent.futures logs it
    except BaseException:
        if not (isinstance(future, JobFuture) and future.is_delivering):
            raise
        log.exception("exception calling callback for %r", future)


def failed(error: BaseException) -> JobFuture[Any]:
    """The Future of a job that could not be submitted."""
    future: JobFuture[Any] = JobFuture(None, 0)
    future.set_exception(error)
    return future
