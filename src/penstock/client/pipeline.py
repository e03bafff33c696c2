"""`Pipeline`: what users hold. An executor, and all that a pipeline can do beyond one."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any

from penstock.client import html
from penstock.client.backend import Backend
from penstock.client.batch import ALL_JOBS, Batch
from penstock.client.callback_thread import ensure_threads
from penstock.client.engine import Engine
from penstock.client.filtered_jobs import behind
from penstock.client.futures import JobFuture
from penstock.client.locate import locate
from penstock.client.records import BatchStatus, Event, Failures, JobInfo, PipelineStatus, WorkerInfo
from penstock.client.submitter import Submitter
from penstock.errors import PenstockError
from penstock.job import current_job
from penstock.job.filters import Filter
from penstock.station.config import TERM_GRACE


class Pipeline(Submitter):
    """A pipeline, embedded in this program or running elsewhere, as a concurrent.futures.Executor.

    - `url`: ``tcp://host:port`` or ``ipc:///folder`` of a running pipeline; ``"local"`` starts one on this machine, for
      as long as this object is used; ``"inline"`` runs each job in the caller, at once. None: the URL in the key file,
      else the environment's PENSTOCK_URL, else ``"local"``.
    - `key`: a key file, or a folder with one, for a pipeline that wants one (default: the environment's PENSTOCK_KEY).
    - `slots`: how many jobs an embedded pipeline runs at once (default: as many as this process may use cores).
    - `data`: the folder in which an embedded pipeline keeps its batches (default: it keeps none).
    - `pass_output`: whether what the jobs of an embedded pipeline print is shown here too.
    - `ship`: whether the source of your own modules is sent to a running pipeline along with the functions that use
      them; if not, they must be installed on the workers.
    - `grace`: the seconds that jobs of an embedded pipeline have between SIGTERM and SIGKILL.

    Leaving the block of a `with` waits for this client's jobs; leaving it by an exception cancels embedded work.

    Raises NoPipeline when nobody answers at the URL, Refused when the key is not accepted, ConfigError when the URL or
    the key file is wrong, ValueError for `slots` or `data` with a running pipeline or a wrong number of slots,
    TypeError for a URL that is no text or slots that are no number, and RuntimeError while a slot imports the module
    that makes it. Example::

        with Pipeline() as pipeline:
            print(pipeline.submit(pow, 2, 10).result())
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        slots: int | None = None,
        key: str | os.PathLike[str] | None = None,
        data: str | os.PathLike[str] | None = None,
        pass_output: bool = True,
        ship: bool = True,
        grace: float = TERM_GRACE,
    ) -> None:
        if current_job.here.loading:
            raise RuntimeError(
                "a Pipeline was made while a slot imports your module: make it in a function, or under "
                'if __name__ == "__main__"'
            )
        url, loaded = locate(url, key)
        if url != "local" and (slots is not None or data is not None):
            raise ValueError("slots= and data= are for an embedded pipeline: a running one has its own")
        if slots is not None and not isinstance(slots, int):
            raise TypeError(f"slots must be a whole number, not {type(slots).__name__}")
        if slots is not None and slots < 1:
            raise ValueError(f"slots must be a whole number from 1 on, not {slots!r}")
        if url == "inline":
            from penstock.client.inline import Inline  # noqa: PLC0415 - for tests and debuggers

            backend: Backend = Inline()
        else:
            ensure_threads()
            stations = None
            if url == "local":
                from penstock.client.local_stations import LocalStations  # noqa: PLC0415 - only these start processes

                where = None if data is None else Path(data)
                stations = LocalStations(slots, where, pass_output=pass_output, grace=grace)
                url = stations.url
            backend = Engine(url, stations, key=loaded, ship=ship)
        super().__init__(backend, {})
        self._finalizer = weakref.finalize(self, self._engine.leave_forgotten)
        self._finalizer.atexit = False  # what becomes of it then is the engine's business

    def __repr__(self) -> str:
        return f"<Pipeline {self._engine.url}>"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.shutdown()
        else:
            self._engine.leave_by(error)
            self._finalizer.detach()

    @property
    def url(self) -> str:
        """The URL of the pipeline; ``inline`` where each job runs in the caller."""
        return self._engine.url

    @property
    def engine(self) -> Backend:
        """What stands behind this object, for penstock's other interfaces. Programs do not need it."""
        return self._engine

    def _repr_html_(self) -> str:
        """In a notebook: how it stands, its workers, and its newest batches."""
        try:
            return html.of_pipeline(self.url, self.status(), self.batches(limit=html.BATCHES_SHOWN))
        except (PenstockError, RuntimeError) as error:  # it does not answer, or was left
            return f"<div><b>{escape(self.url)}</b><br>{escape(str(error))}</div>"

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more jobs.

        - `wait`: return when all jobs of this client have ended. Without it they go on, even beyond the end of the
          program: the interpreter's exit waits for those of an embedded pipeline, and a running one has accepted
          them when this returns.
        - `cancel_futures`: cancel the jobs of futures and maps that have not started.

        Raises RuntimeError when it would wait in the callback of a Future, which others wait for.
        """
        self._engine.leave(wait=wait, cancel_futures=cancel_futures)
        self._finalizer.detach()

    def terminate_workers(self) -> None:
        """Leave at once, as the method of ProcessPoolExecutor in Python 3.14: jobs that have not started are cancelled,
        and the futures of those that run raise JobDied. The slots of an embedded pipeline are sent SIGTERM, and killed
        after their grace; on a running pipeline only the jobs of this client's futures and maps are ended."""
        self._engine.end_workers("terminate_workers", at_once=False)
        self._finalizer.detach()

    def kill_workers(self) -> None:
        """Leave as `terminate_workers` does, but kill the slots of an embedded pipeline at once."""
        self._engine.end_workers("kill_workers", at_once=True)
        self._finalizer.detach()

    def attach(self, batch: str) -> Batch:
        """A handle on any batch, of this or another program: `batch` is its id, a beginning or end of the id that no
        other has, its name (the newest batch of that name), or ``last``.

        Raises NoSuchBatch when none or several fit, NoPipeline when there is no answer, and TypeError when `batch` is
        not text.
        """
        if not isinstance(batch, str):
            raise TypeError(f"a batch is found by its id or name, not by {type(batch).__name__}")
        return self._engine.attach(batch)

    def cancel(self, job: Future[Any] | Batch | str) -> int:
        """End a job or all jobs of a batch, even those that run: `job` is a Future of this pipeline, a Batch, the id or
        name of one, or ``BATCH:INDEX``.

        Returns how many of the jobs had not been given to a worker. Raises NoSuchBatch, ValueError when no job is
        named so, and TypeError for anything else.
        """
        if isinstance(job, JobFuture):
            job.expect_cancel()
        return self._engine.cancel(*self._jobs(job))

    def retry(self, job: Future[Any] | Batch | str) -> int:
        """Run again what ended without success: `job` is a Future of this pipeline, ``BATCH:INDEX``, a Batch, or the id
        or name of one, of which all such jobs are meant. A Future stays as it is: `attach` the batch for the new
        outcome.

        Returns how many jobs wait to run again. Raises NoLongerKept when their arguments are not kept any more (then
        none does), NoSuchBatch, ValueError when no job is named so, and TypeError for anything else.
        """
        batch, start, stop = self._jobs(job)
        return self._engine.attach(batch.hex()).retry(None if stop == ALL_JOBS else start)

    def _jobs(self, job: Future[Any] | Batch | str) -> tuple[bytes, int, int]:
        """The batch and the span that are named so."""
        if isinstance(job, JobFuture):
            batch, index = job.place
            return batch, index, index + 1
        if isinstance(job, Future):
            raise ValueError("this Future is not of this pipeline")  # noqa: TRY004 - its type is right, it is not
        if not isinstance(job, str | Batch):
            raise TypeError(f"a job is named by its Future, its Batch or BATCH:INDEX, not by {type(job).__name__}")
        name, _, place = (job if isinstance(job, str) else job.id).partition(":")
        if place and not place.isdecimal():
            raise ValueError(f"{job!r} names no job: write BATCH:INDEX")
        found = bytes.fromhex(self._engine.attach(name).id)
        return (found, int(place), int(place) + 1) if place else (found, 0, ALL_JOBS)

    def job(self, job: Future[Any] | str) -> JobInfo:
        """All that is known of one job: `job` is its Future, or ``BATCH:INDEX``. Raises NoSuchBatch when there is no
        such job, ValueError when none is named so, and TypeError for anything else."""
        batch, start, stop = self._jobs(job)
        if stop == ALL_JOBS:
            raise ValueError(f"{job!r} names a batch: write BATCH:INDEX")
        return self._engine.attach(batch.hex()).job(start)

    def jobs(self, where: str = "", limit: int = 100, after: str | None = None, *, full: bool = False) -> list[JobInfo]:
        """The jobs that fit a filter, waiting and running ones too: the newest batch first, and in it by index.

        - `where`: terms such as ``state=failed error~Timeout wait>5m``, of which each must hold; ``penstock guide
          commands`` explains all of them. Empty: every job fits.
        - `limit`: return at most so many.
        - `after`: the id of a job: go on behind it. A list shorter than `limit` was the last one.
        - `full`: do not shorten commands and arguments.

        Raises ConfigError (a ValueError) that names the fields there are for a wrong filter, ValueError for another
        limit than 1 or more and when `after` names no job, NoPipeline when there is no answer. Example::

            for job in pipeline.jobs("state=failed error~Timeout"):
                print(job.id, job.text, job.cause)
        """
        if limit < 1:
            raise ValueError(f"limit must be 1 or more, not {limit}")
        return self._engine.jobs(Filter.parse(where), behind(after), limit, full=full)

    def workers(self) -> list[WorkerInfo]:
        """The workers that are connected now. Raises NoPipeline when there is no answer."""
        return list(self.status().workers)

    def status(self) -> PipelineStatus:
        """The state of the pipeline now: jobs, batches and workers. Raises NoPipeline when there is no answer."""
        return self._engine.status()

    def batches(self, match: str = "", limit: int = 50) -> list[BatchStatus]:
        """The newest batches, at most `limit`: all, or those that `match` names as in `attach`. Raises NoPipeline when
        there is no answer."""
        return self._engine.batches(match, limit)

    def events(self, after: int = 0, *, follow: bool = False) -> Iterator[Event]:
        """What has happened, in order, behind the event with the number `after` (0: all that is kept, 100,000 events).
        With `follow` it goes on with what happens next, and waits for a ventilator that is away.

        Returns an iterator of Events. Raises NoPipeline when there is no answer, and PenstockError for a number that
        was not given yet. Example::

            for event in pipeline.events(after=last_seen, follow=True):
                ...
        """
        return self._engine.events(after, follow=follow)

    def last_event(self) -> int:
        """The number of the newest event; 0: nothing has happened. Raises NoPipeline when there is no answer."""
        return self._engine.last_event()

    def failures(self, *, batch: Batch | str = "") -> Failures:
        """The jobs that failed, timed out or are dead, grouped by their error: those of all batches, or of `batch`, a
        Batch or what names one in `attach`. Raises NoSuchBatch, and NoPipeline when there is no answer. Example::

            for group in pipeline.failures():
                print(group.jobs, group.error, group.examples[:1])
        """
        found = self._engine.attach(batch if isinstance(batch, str) else batch.id).id if batch != "" else ""
        return self._engine.failures(bytes.fromhex(found))

    def drain(self, worker: str) -> None:
        """Let a worker finish what it runs, hand back the other jobs and leave: `worker` is its name, the
        beginning of its id, or its host. Raises NoSuchWorker: none is called so, or several are."""
        self._engine.drain(worker)

    def pause(self) -> None:
        """Start no job of any batch any more, until `resume`; batches that are submitted meanwhile are accepted, and
        wait. Jobs that run go on, and their outcomes are recorded; what workers have not started is asked back from
        them. The pause outlasts restarts.

        Returns when the pause is on disk. A job that a worker was about to start at that moment may still start. Raises
        Refused on a pipeline with keys when yours is not an admin's, and on an inline pipeline.
        """
        self._engine.pause(resumes=False)

    def resume(self) -> None:
        """Let a pipeline that was paused go on; batches that were paused themselves stay so. Raises Refused as `pause`
        does."""
        self._engine.pause(resumes=True)

    def flush(self, timeout: float | None = None) -> None:
        """Return when all that was submitted so far is accepted and on disk, so that no crash can lose it.

        Raises TimeoutError after `timeout` seconds (None: it waits without end), and the error for which a single
        submit since the last flush was refused, such as OnceMismatch: it is the error of its Future too.
        """
        self._engine.flush(timeout)
