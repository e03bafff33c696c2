"""joblib's over a Pipeline: ``import penstock.joblib``, and ``joblib.parallel_config(backend="penstock")``.

``url=`` there is as in Pipeline. ``n_jobs=-1`` is all slots that the pipeline has at the call, any other number is the
limit of how many run at once. Nested calls run one
after the other, in the slot of the outer one.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from joblib import register_parallel_backend
from joblib._parallel_backends import AutoBatchingMixin, ParallelBackendBase, SequentialBackend

from penstock.client import Pipeline, Submitter


def run(batch: Callable[[], Any]) -> Any:
    """A job: some calls that joblib has put together."""
    return batch()


class Backend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]  # joblib has no types
    """What joblib calls. It holds a Pipeline from `configure` to `terminate`."""

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(self, url: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._url = url
        self._pipeline: Pipeline | None = None
        self._jobs: Submitter | None = None
        self._open: set[Future[Any]] = set()

    def __reduce__(self) -> Any:
        return Backend, (self._url,)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_: Any) -> int:
        """Called before the first job; returns how many run at once."""
        self.parallel = parallel
        if self._pipeline is None:
            self._pipeline = Pipeline(self._url)
        effective = self.effective_n_jobs(n_jobs)
        self._jobs = self._pipeline.options(limit=None if n_jobs == -1 else effective)
        return effective

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many jobs run at once: -1 is all slots, -2 all but one. Raises ValueError for 0."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is not None and n_jobs > 0:
            return n_jobs
        return max(1, self._slots() + 1 + (-1 if n_jobs is None else n_jobs))

    def _slots(self) -> int:
        if self._pipeline is not None:
            return self._pipeline.engine.slots()
        with Pipeline(self._url) as pipeline:
            return pipeline.engine.slots()

    def submit(self, func: Callable[[], Any], callback: Callable[[Future[Any]], Any] | None = None) -> Future[Any]:
        """Dispatch some calls."""
        assert self._jobs is not None, "joblib configures a backend first"
        future = self._jobs.submit(run, func)
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    apply_async = submit

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """The values of some calls, or the exception of one."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """One has failed: the others need not end."""
        for future in list(self._open):
            future.cancel()
        if not ensure_ready:
            self.terminate()

    def terminate(self) -> None:
        """No more jobs will come."""
        pipeline, self._pipeline, self._jobs = self._pipeline, None, None
        if pipeline is not None:
            pipeline.engine.terminate()

    def get_nested_backend(self) -> tuple[Any, None]:
        """A slot is one processor: what is nested runs one after the other."""
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None


register_parallel_backend("penstock", Backend)
