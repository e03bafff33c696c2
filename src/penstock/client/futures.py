"""The Future of one job."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

from penstock.errors import JobCancelled
from penstock.job.spec import job_id

T = TypeVar("T")

log = logging.getLogger("concurrent.futures")


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
    """A Future of one job; ``job_id`` is its public name (empty: it could not be submitted)."""

    _deciding = threading.Lock()

    def __init__(self, stream: Submitted | None, index: int, batch: bytes = b"") -> None:
        super().__init__()
        self._stream = stream
        self._batch = batch
        self._index = index
        self._cancel_asked = False
        self._is_cancelled = False

    @property
    def job_id(self) -> str:
        """``BATCH:INDEX``."""
        return job_id(self._batch, self._index) if self._batch else ""

    @property
    def place(self) -> tuple[bytes, int]:
        """The batch and the index; ValueError: it could not be submitted."""
        if not self._batch:
            raise ValueError("this job was never submitted: its error says why")
        return self._batch, self._index

    def result(self, timeout: float | None = None) -> T:
        """As of every Future; RuntimeError from a Future's callback, where it could not come."""
        self._ensure_may_wait(timeout)
        value = super().result(timeout)
        error = super().exception(0)
        if error is not None:  # one that is false: Python 3.11 takes it for none
            raise error
        return value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As of every Future; RuntimeError from a Future's callback, where it could not come."""
        self._ensure_may_wait(timeout)
        return super().exception(timeout)

    def _ensure_may_wait(self, timeout: float | None) -> None:
        if timeout is None and self._stream is not None and not self.done():
            self._stream.ensure_may_wait()

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """As of every Future. Callbacks run in a thread of their own, one after the other; what one raises there is
        logged and ends nothing, also SystemExit."""
        super().add_done_callback(partial(_call, fn))

    def cancel(self) -> bool:
        """Cancel the job if it has not started, also where it waits at a worker; False: it is running, or done, or
        nobody knows yet.

        The ventilator is asked, but not waited for where others would stand still: in an event loop, and while it is
        away. Then this is False, and the Future is cancelled when it turns out that the job is.
        """
        if self.done() or self._stream is None:
            return self.cancelled()
        self.expect_cancel()
        if self._stream.cancel(self._index):
            self.set_cancelled()
        return self.cancelled()

    def expect_cancel(self) -> None:
        """Should the job come back cancelled, then so is this Future."""
        self._cancel_asked = True

    def set_cancelled(self) -> None:
        """The job is cancelled: here, or as its outcome says, whichever comes first."""
        with self._deciding:
            is_first, self._is_cancelled = not self._is_cancelled, True
        if is_first and not self.done() and super().cancel():
            self.set_running_or_notify_cancel()

    def settle(self, value: Any, error: BaseException | None) -> None:
        """The outcome is here."""
        with suppress(InvalidStateError):  # it was cancelled meanwhile
            if error is None:
                self.set_result(value)
            elif self._cancel_asked and isinstance(error, JobCancelled):
                self.set_cancelled()
            else:
                self.set_exception(error)

    @property
    def is_delivering(self) -> bool:
        """Whether the caller is in the thread that settles it."""
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
