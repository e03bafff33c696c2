"""joblib's jobs on a pipeline: import this module, and name the backend.

::

    import joblib
    import penstock.joblib

    with joblib.parallel_config(backend="penstock", url="tcp://head:5555", n_jobs=-1):
        joblib.Parallel()(joblib.delayed(fit)(part) for part in parts)

``url=`` and ``key=`` are those of `Pipeline`. ``n_jobs=-1`` means all slots that the pipeline has at the call, any
other number limits how many jobs run at once. An embedded pipeline has a slot for each core, or as many as ``n_jobs``
says if that is more. One job at a time runs without a pipeline, and nested calls run one after the other in the slot of
the outer one.

``initializer=``, ``initargs=``, ``inner_max_num_threads=`` and ``idle_worker_timeout=`` (seconds) are those of joblib's
own backend for processes. The pipeline is kept for the next call until that wants another initializer or number of
threads, until it has not been used for the idle time (300 s), until the program ends, or until `shutdown` is called.
``max_nbytes=``, ``mmap_mode=`` and ``temp_folder=`` are for large arrays among the arguments on an embedded pipeline:
see adapters/mapped_arrays.py.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from copy import copy
from functools import partial
from itertools import groupby
from typing import Any

from joblib import register_parallel_backend
from joblib._parallel_backends import (
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
)
from joblib.parallel import default_parallel_config

from penstock.adapters.joblib_jobs import begin, run
from penstock.adapters.mapped_arrays import Arrays, File
from penstock.adapters.reused_pipelines import IDLE_TIME, Begin, Reused, end_all, reuse
from penstock.client import Submitter
from penstock.client.locate import locate
from penstock.errors import PenstockError
from penstock.station.capacity import default_slots

OF_JOBLIB: set[str] = {*default_parallel_config, "context"}
"""The options that joblib gives every backend."""


def shutdown() -> None:
    """End the pipelines that are kept for the next call to joblib, and all jobs that still run there."""
    end_all()


class Call:
    """The jobs of one joblib.Parallel that have not ended."""

    def __init__(self, reused: Reused, view: Submitter, arrays: Arrays) -> None:
        """`reused`: the pipeline. `view`: what its jobs are submitted through. `arrays`: puts large arrays of the
        arguments into files."""
        self.reused = reused
        self.arrays = arrays
        self._view = view
        self._open: dict[Future[Any], list[File]] = {}

    def submit(self, batch: Any) -> Future[Any]:
        """Submit a `batch` of calls that joblib has put together, as one job; returns its Future."""
        batch = copy(batch)
        batch.items, files = self.arrays.mapped(batch.items)
        future = self.reused.submit(self._view, run, batch)
        self._open[future] = files
        future.add_done_callback(self._ended)
        return future

    def _ended(self, future: Future[Any]) -> None:
        self.arrays.release(self._open.pop(future))

    @property
    def is_done(self) -> bool:
        """Whether all of its jobs have ended."""
        return not self._open

    def abort(self) -> None:
        """End all of its jobs, running ones too; neighbours are cancelled by one request."""
        pipeline = self.reused.pipeline
        places = []
        for future in list(self._open):
            with suppress(ValueError):  # it ended at once
                future.expect_cancel()  # type: ignore[attr-defined]  # it is a JobFuture
                places.append(future.place)  # type: ignore[attr-defined]
        runs = groupby(enumerate(sorted(places)), key=lambda at: (at[1][0], at[1][1] - at[0]))
        for (batch, _), found in runs:
            indexes = [index for _, (_, index) in found]
            with suppress(PenstockError, RuntimeError):  # it cannot be reached: then nothing waits for these
                pipeline.engine.cancel(batch, indexes[0], indexes[-1] + 1)


class InSlot(SequentialBackend):  # type: ignore[misc]  # joblib has no types
    """The backend of nested calls, which runs them one after the other. Each batch brings it along, and so this module:
    a nested call may name the backend "penstock" too."""


class Backend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]  # joblib has no types
    """The backend that joblib knows as "penstock"; programs name it, and joblib calls its methods. One object may serve
    several joblib.Parallel at once, each with jobs of its own."""

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    default_n_jobs = -1

    def __init__(
        self,
        url: str | None = None,
        key: str | os.PathLike[str] | None = None,
        *,
        initializer: Callable[..., Any] | None = None,
        initargs: Iterable[Any] = (),
        idle_worker_timeout: float | None = None,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
    ) -> None:
        """`url` and `key`: the pipeline, as in `Pipeline`. `initializer`: a function that is called with `initargs`
        once in each slot's process. `idle_worker_timeout`: seconds for which the pipeline is kept unused (300).
        `inner_max_num_threads`: how many threads numerical libraries use in a slot. `nesting_level`: joblib's own."""
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self._place = url, key
        self._how = {
            "initializer": initializer,
            "initargs": tuple(initargs),
            "idle_worker_timeout": idle_worker_timeout,
        }
        self._calls: weakref.WeakKeyDictionary[Any, Call] = weakref.WeakKeyDictionary()

    def __reduce__(self) -> Any:
        how = {**self._how, "nesting_level": self.nesting_level, "inner_max_num_threads": self.inner_max_num_threads}
        return partial(Backend, *self._place, **how), ()

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        """Get ready for the jobs of `parallel`, a joblib.Parallel. `n_jobs`: how many run at once, -1 for all slots.
        `options`: those of the backend, and joblib's own.

        Returns how many jobs run at once. Raises TypeError for an unknown option, and FallbackToBackend where one
        job at a time runs, for which no pipeline is needed.
        """
        unknown = options.keys() - OF_JOBLIB - self._how.keys()
        if unknown:
            known = ", ".join(sorted(self._how))
            raise TypeError(f"the backend penstock has no option {', '.join(sorted(unknown))}; known are {known}")
        effective = self.effective_n_jobs(n_jobs)
        if effective == 1 and (n_jobs == 1 or self._is_local):
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        if effective > 1:
            how = {**self._how, **{name: value for name, value in options.items() if name in self._how}}
            reused = self._reused(effective, **how)
            limit = None if n_jobs == -1 or effective == reused.slots else effective
            self._calls[parallel] = Call(reused, reused.pipeline.options(limit=limit), self._arrays(reused, **options))
        return effective

    def _reused(
        self,
        effective: int,
        *,
        initializer: Callable[..., Any] | None,
        initargs: Iterable[Any],
        idle_worker_timeout: float | None,
    ) -> Reused:
        started = Begin(initializer, tuple(initargs))
        if self.inner_max_num_threads is not None:
            started = Begin(begin, (self._prepare_worker_env(effective), *started))
        idle_time = IDLE_TIME if idle_worker_timeout is None else idle_worker_timeout
        return reuse(*self._place, slots=effective, begin=started, idle_time=idle_time)

    def _arrays(
        self,
        reused: Reused,
        *,
        max_nbytes: int | None = None,
        mmap_mode: str | None = None,
        temp_folder: str | None = None,
        **_: Any,
    ) -> Arrays:
        """What puts large arrays into files, for slots of this machine. Without a folder of the user's the files lie in
        the pipeline's, which is removed however that ends."""
        folder = temp_folder or os.environ.get("JOBLIB_TEMP_FOLDER") or reused.pipeline.url.removeprefix("ipc://")
        most = max_nbytes if self._is_local and mmap_mode is not None else None
        return Arrays(os.path.abspath(os.path.expanduser(folder)), most, mmap_mode or "")

    @property
    def _is_local(self) -> bool:
        return locate(*self._place)[0] == "local"

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many jobs run at once for this `n_jobs`: -1 means all slots, -2 all but one. Raises ValueError for 0."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is not None and n_jobs > 0:
            return n_jobs
        slots = default_slots() if self._is_local else reuse(*self._place).pipeline.engine.slots()
        return max(1, slots + 1 + (-1 if n_jobs is None else n_jobs))

    def submit(self, func: Callable[[], Any], callback: Callable[[Future[Any]], Any] | None = None) -> Future[Any]:
        """Run `func`, some calls that joblib has put together, as one job. Returns its Future, with which `callback` is
        called when it has ended."""
        parallel = getattr(callback, "parallel", self.parallel)
        call = self._calls.get(parallel)
        if call is None or not call.reused.is_usable():
            self.configure(parallel.n_jobs, parallel, **parallel._backend_kwargs)  # noqa: SLF001 - as loky's does
            call = self._calls[parallel]
        future = call.submit(func)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    apply_async = submit

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """The values of the calls whose Future is `out`; raises the exception of one that failed."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: ARG002 - it always is
        """Cancel the jobs of each joblib.Parallel that is being aborted: one of them failed, or nobody wants the rest.
        `ensure_ready` is joblib's; the backend can always be used again."""
        for parallel, call in list(self._calls.items()):
            if parallel._aborting:  # noqa: SLF001 - joblib does not say which one it is
                call.abort()

    def terminate(self) -> None:
        """Forget each joblib.Parallel that has no more jobs, or is being aborted, and remove its files."""
        for parallel, call in list(self._calls.items()):
            if call.is_done or parallel._aborting:  # noqa: SLF001
                del self._calls[parallel]
                call.arrays.close()
        self.reset_batch_stats()

    def get_nested_backend(self) -> tuple[Any, None]:
        """The backend of nested calls, which run one after the other, since a slot is one processor; and None, for as
        many jobs at once as that backend likes."""
        return InSlot(nesting_level=(self.nesting_level or 0) + 1), None


register_parallel_backend("penstock", Backend)
