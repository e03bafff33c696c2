"""The Future of one job."""

from __future__ import annotations

import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from penstock.errors import JobCancelled
from penstock.job import job_id

if TYPE_CHECKING:
    from penstock.client.streams import Stream


class JobFuture(Future[Any]):
    """A Future of one job; ``job_id`` is its public name (empty: it could not be submitted)."""

    _deciding = threading.Lock()

    def __init__(self, stream: Stream | None, index: int, batch: bytes = b"") -> None:
        super().__init__()
        self._stream = stream
        self._batch = batch
        self._index = index
        self._cancel_asked = False

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

    def result(self, timeout: float | None = None) -> Any:
        """As of every Future; RuntimeError from a Future's callback, where it could not come."""
        self._ensure_may_wait(timeout)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As of every Future; RuntimeError from a Future's callback, where it could not come."""
        self._ensure_may_wait(timeout)
        return super().exception(timeout)

    def _ensure_may_wait(self, timeout: float | None) -> None:
        if timeout is None and self._stream is not None and not self.done():
            self._stream.ensure_may_wait()

    def cancel(self) -> bool:
        """Cancel the job if it has not started, also where it waits at a worker; False: it is running, or done.

        From a Future's callback the answer cannot be waited for: the job is cancelled if it can be, and this is False.
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
            if not self.done() and super().cancel():
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


def failed(error: BaseException) -> JobFuture:
    """The Future of a job that could not be submitted."""
    future = JobFuture(None, 0)
    future.set_exception(error)
    return future
