"""`Pipeline`: what users hold. An executor, and all that a pipeline can beyond one."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from penstock.client.backend import engine_at
from penstock.client.batch import ALL_JOBS, Batch
from penstock.client.batch_input import Digest
from penstock.client.batch_opening import after_as_id, opening_of
from penstock.client.command_arguments import Command, template_of, words_of
from penstock.client.engine import Engine
from penstock.client.functions import Function
from penstock.client.futures import JobFuture, failed
from penstock.client.locate import locate
from penstock.client.longest_first import Cost, map_longest_first
from penstock.client.options import around_of, depends_on_now, spec_of
from penstock.client.pipeline_views import group_of, in_group
from penstock.client.records import BatchStatus, PipelineStatus, WorkerInfo
from penstock.job import current_job
from penstock.job.command import CommandTemplate
from penstock.job.spec import BatchSpec
from penstock.station.config import TERM_GRACE

if TYPE_CHECKING:
    from penstock.client.inline import Inline

T = TypeVar("T")


class Submitter(Executor):
    """An executor with job options: `Pipeline`, and what `Pipeline.options` returns."""

    def __init__(self, engine: Engine | Inline, options: Mapping[str, Any], group: bytes = b"") -> None:
        """`group` names what shares its limit; it is made if it is not given."""
        self._engine = engine
        self._options = after_as_id(engine, options)
        spec = spec_of(self._options, client=engine.client.word)
        self._group = group or group_of(engine.client.word, spec)
        self._fixed_spec = in_group(spec, self._group)
        self._moves = depends_on_now(self._options)
        self._around = around_of(options)

    def __reduce__(self) -> Any:
        raise TypeError("a Pipeline cannot be sent to a job: inside a job, make one there")

    @property
    def _spec(self) -> BatchSpec:
        """What calls are submitted with; by then their processes can find what they need of this client."""
        client = self._engine.client
        client.share_key()
        return in_group(spec_of(self._options, client=client.word), self._group) if self._moves else self._fixed_spec

    def options(self, **options: Any) -> Submitter:
        """The same pipeline, with these job options for whatever is submitted through what this returns.

        A ``limit`` counts all of it together, and what comes through views of that view that have none of their own.
        An ``initializer`` runs once in each slot for it. Calls run in ``cwd`` (default: where the worker is), with
        ``env`` added to their environment.

        Raises TypeError: an unknown option; ValueError: a wrong value.
        """
        group = b"" if "limit" in options else self._group
        return Submitter(self._engine, {**self._options, **options}, group)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` as a job. The Future also has a ``job_id``.

        What cannot be pickled is the error of the Future, which is done then. Raises RuntimeError after `shutdown`.
        """
        return self._engine.submit(self._spec, self._around.prepare(fn), args, kwargs)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        cost: Cost | None = None,
    ) -> Iterator[T]:
        """``map(fn, *iterables)`` as jobs that begin now; the values in order, each raising what its job raised.

        An input with a length is submitted whole; another one as far ahead of the reader as is worthwhile, and the rest
        of it by `shutdown`. With a `buffersize` so many jobs are ahead, and `shutdown` draws no more. `timeout`:
        seconds from this call until TimeoutError. `chunksize` is found by itself. `cost`: how long a job is likely to
        take, a function of its arguments or a list of numbers; the longest go first, the input is drawn whole, and
        values wait in this process for their turn.
        """
        return self._map(fn, iterables, timeout, chunksize, buffersize, cost, ordered=True)

    def imap_unordered(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        cost: Cost | None = None,
    ) -> Iterator[T]:
        """As `map`, with the values as they come."""
        return self._map(fn, iterables, timeout, chunksize, buffersize, cost, ordered=False)

    def _map(
        self,
        fn: Callable[..., T],
        iterables: Sequence[Iterable[Any]],
        timeout: float | None,
        chunksize: int | None,
        buffersize: int | None,
        cost: Cost | None,
        *,
        ordered: bool,
    ) -> Iterator[T]:
        if chunksize is not None and not isinstance(chunksize, int):
            raise TypeError("chunksize must be an integer or None")
        if chunksize is not None and chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        if cost is not None and (chunksize or buffersize):
            raise ValueError("cost= cuts its chunks by cost, from the whole input: leave out chunksize and buffersize")
        spec = self._spec
        if spec.once:
            raise ValueError("once is for submit, batch and command: what a map came to is gone when it has been read")
        function = self._engine.function(self._around.prepare(fn), spec)
        if cost is not None:
            return map_longest_first(self._engine, spec, function, iterables, cost, timeout, ordered=ordered)
        return self._engine.map(
            spec,
            function,
            iterables,
            timeout=timeout,
            chunksize=chunksize,
            buffersize=buffersize,
            ordered=ordered,
        )

    def batch(
        self,
        target: Callable[..., Any] | Command | CommandTemplate,
        *iterables: Iterable[Any],
        digest: Digest | None = None,
        **options: Any,
    ) -> Batch:
        """Submit a batch and return when it is accepted: from then on it does not need this client.

        `target` is a function, called with the items of `iterables` as in `map`; or a command template, a list like
        ``["gzip", "{}"]``, into which the items go. Options are those of `options`; commands also have ``check``, and
        no ``initializer``. `digest` makes 16 bytes of what a job is given; kept with the batch, they tell later which
        jobs it has (``penstock run --resume``). Raises PicklingError that names the job, or whatever an iterable
        raises; then nothing of the batch is left.
        """
        if not iterables:
            raise TypeError("batch needs the inputs of its jobs, batch(target, items); for one job there is submit")
        group = b"" if "limit" in options else self._group
        options = {**self._options, **after_as_id(self._engine, options)}
        opening = opening_of(self._engine, target, options, group)
        return self._engine.batch(opening.spec, opening.function, opening.inputs(iterables), digest)

    def command(self, argv: Command, **options: Any) -> Future[Any]:
        """Run one command as a job, without a shell; its value is a CommandResult.

        It runs in this process' folder or `cwd`, in the worker's environment and `env`. A non-zero exit raises
        CommandFailed, unless ``check=False``. Other options are those of `options`.
        """
        is_limited = "limit" in options
        template, options = template_of((), {**self._options, **after_as_id(self._engine, options)})
        spec = spec_of(options, kind="command")
        spec = in_group(spec, group_of(self._engine.client.word, spec) if is_limited else self._group)
        try:
            words = words_of(argv)
            if not words:
                raise ValueError("a command begins with a program")
        except (TypeError, ValueError) as error:
            return failed(error)
        return self._engine.command(spec, Function.of(template.encode()), words)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing ends by leaving a view: its Pipeline goes on."""


class Pipeline(Submitter):
    """A pipeline, embedded or running elsewhere, as a concurrent.futures.Executor.

    `url`: ``tcp://host:port`` or ``ipc:///folder`` of a running one; ``"local"`` starts one on this machine, for as
    long as this object is used; ``"inline"`` runs each job in the caller, at once, whatever its options say; None
    is where `key` belongs, else the environment's PENSTOCK_URL, else local. `key`: a key file or folder, for a pipeline
    that wants one; it alone is enough; None is the environment's PENSTOCK_KEY. For local ones are `slots`, jobs at once
    (default: the cores there are), `data`, the folder to keep batches in (default: none is kept), `grace`, seconds
    between SIGTERM and SIGKILL, and `pass_output`: what jobs print is also shown here. `ship`: to a running one the
    source of your own modules goes along with the functions that use them; without, they must be on the workers.

    Raises NoPipeline: nobody answers at the URL; Refused: the key is not let in; ConfigError: the URL or the key is
    none, or there is no room for so many slots; ValueError: `slots` or `data` with a running pipeline.
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
        if current_job.is_loading():
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
        super().__init__(engine_at(url, loaded, slots, data, pass_output=pass_output, ship=ship, grace=grace), {})
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
        """Where it is."""
        return self._engine.url

    @property
    def engine(self) -> Engine | Inline:
        """What stands behind it, for the other interfaces of penstock: nothing a program needs."""
        return self._engine

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more jobs; with `wait`, return when all of this client's have ended. Else they go on, also beyond the
        end of the program: an embedded pipeline's exit waits for them, a running one has accepted them when this
        returns.

        `cancel_futures` cancels those that have not started.
        """
        self._engine.leave(wait=wait, cancel_futures=cancel_futures)
        self._finalizer.detach()

    def terminate_workers(self) -> None:
        """Leave at once, as ProcessPoolExecutor's of Python 3.14: what has not started is cancelled, what runs raises
        JobDied. The slots of an embedded pipeline are sent SIGTERM, and killed after their grace; on a running pipeline
        only the jobs of this client's futures and maps are ended."""
        self._engine.end_workers("terminate_workers", at_once=False)
        self._finalizer.detach()

    def kill_workers(self) -> None:
        """As `terminate_workers`, and embedded slots are killed at once."""
        self._engine.end_workers("kill_workers", at_once=True)
        self._finalizer.detach()

    def attach(self, batch: str) -> Batch:
        """A handle on any batch: by its id, a unique beginning or end of it, its name (the newest) or ``last``.

        Raises NoSuchBatch: none fits, or several; NoPipeline: no answer.
        """
        if not isinstance(batch, str):
            raise TypeError(f"a batch is found by its id or name, not by {type(batch).__name__}")
        return self._engine.attach(batch)

    def cancel(self, job: Future[Any] | Batch | str) -> int:
        """End a job (its Future, or ``BATCH:INDEX``) or a batch, also if running; returns how many jobs had not been
        given to a worker. Raises NoSuchBatch; ValueError: no job is named so."""
        if isinstance(job, JobFuture):
            job.expect_cancel()
        return self._engine.cancel(*self._jobs(job))

    def retry(self, job: Future[Any] | Batch | str) -> int:
        """Open a job again (its Future, or ``BATCH:INDEX``), or all of a batch that ended without success; returns how
        many that were. A Future stays as it is: `attach` the batch for what comes of it now.

        Raises NoLongerKept: the arguments are gone, nothing was opened; NoSuchBatch; ValueError: no job is named so.
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

    def workers(self) -> list[WorkerInfo]:
        """The workers that are connected."""
        return list(self.status().workers)

    def status(self) -> PipelineStatus:
        """How the pipeline stands."""
        return self._engine.status()

    def batches(self, match: str = "", limit: int = 50) -> list[BatchStatus]:
        """The newest batches; `match` as in `attach`."""
        return self._engine.batches(match, limit)

    def drain(self, worker: str) -> None:
        """Let the worker of this name or id finish what it runs, hand back the rest and leave. Raises NoSuchWorker."""
        self._engine.drain(worker)

    def flush(self, timeout: float | None = None) -> None:
        """Return when all that was submitted so far is durably accepted. Raises TimeoutError after `timeout` s; what a
        single submit since the last flush was refused for (OnceMismatch, NoSuchWorker): it is the Future's error too.
        """
        self._engine.flush(timeout)
