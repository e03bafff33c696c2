"""`Submitter`: an executor with job options. A Pipeline is one, and so is what `Pipeline.options` returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, ParamSpec, TypeVar, Unpack, overload

from penstock.client.backend import Backend
from penstock.client.batch import Batch
from penstock.client.batch_input import Digest
from penstock.client.batch_opening import Target, after_as_id, opening_of
from penstock.client.command_arguments import Command, template_of, words_of
from penstock.client.functions import Function
from penstock.client.futures import JobFuture, failed
from penstock.client.longest_first import Cost, map_longest_first
from penstock.client.map import MapRequest
from penstock.client.options import CallOptions, CommandOptions, around_of, depends_on_now, spec_of
from penstock.client.pipeline_views import group_of, in_group
from penstock.client.records import CommandResult
from penstock.client.submit_packing import opened
from penstock.client.tracing import COMMAND, submitting
from penstock.job.command import CommandTemplate
from penstock.job.spec import BatchSpec

P = ParamSpec("P")
T = TypeVar("T")


class Submitter(Executor):
    """A pipeline with job options, as a concurrent.futures.Executor. `Pipeline.options` makes it; it owns nothing, and
    leaving it ends nothing."""

    def __init__(self, engine: Backend, options: Mapping[str, Any], group: bytes = b"") -> None:
        """Programs call `Pipeline.options` instead. `engine`: what stands behind the Pipeline. `options`: those of
        `Pipeline.options`. `group`: names what shares one limit; a new name is made if it is empty."""
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

    def options(self, **options: Unpack[CallOptions]) -> Submitter:
        """A view of the same pipeline: what is submitted through it has these job `options`, beside those of this one.

        A duration is a number of seconds, a timedelta, or text like ``90s``, ``5m``, ``1h30m``, ``2d``. An instant is
        an aware datetime, the same as ISO 8601 text, or a duration from now.

        - ``name``: text for people, by which the batch is found again.
        - ``priority``: a whole number; jobs with a larger one start first (0).
        - ``retries``: how often a job is tried again after a failure of its own, an exception or an exit code (0);
          ``retry_delay``: the duration before the first retry, which doubles with each further one (1 s).
        - ``max_crashes``: how often a process may die under a job before it is dead (3); 1: it is never started twice.
        - ``time_limit``: the duration after which a job is ended, with all processes that it has started (None).
        - ``not_before``, ``expires``: the instant before which no job starts, and the one from which none does: those
          that have not started by then are cancelled.
        - ``after``: a Batch, or the id or name of one, of which every job must have succeeded first.
        - ``worker``: the name of the worker or host that must run it; ``needs``: a tag or several that its worker must
          have; ``on_missing``: ``"wait"`` while no such worker is connected (default), or ``"fail"`` with NoSuchWorker.
        - ``limit``: how many jobs run at once at most, of all that is submitted through this view, and through views
          of it that have none of their own (None: as many as there are slots).
        - ``once``: a word under which one call is accepted once, however often it is submitted.
        - ``user``: the account to run as, where the worker allows it; ``cwd``: the folder to run in (default: the
          slot's); ``env``: a mapping of what is added to the environment.
        - ``initializer``, ``initargs``: called once in each slot's process before its first job of this view.
        - ``keep_output``: how many bytes of its stdout, and of its stderr, are kept (1 MiB): a number, ``"500k"``,
          ``"none"`` or ``"all"``; ``retain``: the duration for which results are kept after the end (7 days).
        - ``serializer``: ``"pickle"`` (default) or ``"msgpack"``, for arguments and values.

        Returns the view, an Executor too. Raises TypeError for an option that does not exist, ValueError for a wrong
        value, NoSuchBatch for an ``after`` that names none. Example::

            careful = pipeline.options(retries=2, time_limit="5m")
            careful.submit(fetch, url)
        """
        group = b"" if "limit" in options else self._group
        return Submitter(self._engine, {**self._options, **options}, group)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> JobFuture[T]:
        """Run ``fn(*args, **kwargs)`` as a job: `fn` may be any function, `args` and `kwargs` whatever can be pickled.

        Returns a concurrent.futures.Future that also has a ``job_id``. Where something cannot be pickled, the Future
        is done at once and has that error. Raises RuntimeError after `shutdown`.
        """
        with submitting(self._spec, fn) as spec:
            return self._engine.submit(spec, self._around.prepare(fn), args, kwargs)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        cost: Cost | None = None,
    ) -> Iterator[T]:
        """Run `fn` on the items of the `iterables`, as the built-in map does, in jobs that begin now.

        Without `buffersize` an input that has a length is submitted whole; another one is drawn as far ahead of the
        reader as is worthwhile, and the rest of it by `shutdown`.

        - `timeout`: seconds from this call; then the iterator raises TimeoutError.
        - `chunksize`: how many jobs travel together; a good size is found by itself.
        - `buffersize`: how many jobs are submitted ahead of the reader at most; `shutdown` draws no more then.
        - `cost`: how long each job is likely to take, in any unit: a function of its arguments, or a list with a
          number for each. The longest start first; the input is drawn whole, and values wait for their turn here.

        Returns an iterator over the values in the order of the input; it raises what a job raised in its place. Raises
        TypeError and ValueError for wrong sizes or costs, and ValueError for the option ``once``.
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
        """Run `fn` on the items of the `iterables`, and return an iterator over the values as they come.

        `timeout`, `chunksize`, `buffersize`, `cost` and the errors are those of `map`.
        """
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
            raise ValueError(
                "once is for submit, batch and command: the results of a map are not kept once they have been read"
            )
        function = self._engine.function(self._around.prepare(fn), spec)
        with submitting(spec, fn) as spec:
            request = MapRequest(spec, function, iterables, "", timeout, chunksize, buffersize, ordered)
            if cost is not None:
                return map_longest_first(self._engine, request, cost)
            run = self._engine.start_map(request)
        results = run.results()
        run.watch(results)
        return results

    @overload
    def batch(
        self,
        target: Callable[..., T],
        *iterables: Iterable[Any],
        digest: Digest | None = None,
        **options: Unpack[CallOptions],
    ) -> Batch[T]: ...

    @overload
    def batch(
        self,
        target: Command | CommandTemplate,
        *iterables: Iterable[Any],
        digest: Digest | None = None,
        **options: Unpack[CommandOptions],
    ) -> Batch[CommandResult]: ...

    def batch(
        self,
        target: Target,
        *iterables: Iterable[Any],
        digest: Digest | None = None,
        **options: Any,
    ) -> Batch[Any]:
        """Submit many jobs as one batch, and return once it is accepted: from then on it does not need this client.

        - `target`: a function, which is called with the items of the `iterables` as by `map`; or a command template, a
          list like ``["gzip", "{}"]``, in which each item replaces ``{}``.
        - `digest`: a function that makes 16 bytes of what one job is given. They are kept with the batch, and tell
          later which jobs it has, as ``penstock run --resume`` wants to know.
        - `options`: those of `Pipeline.options`; a ``limit`` counts the jobs of this batch alone. Commands have
          ``check`` too (see `command`), and no ``initializer``.

        Returns a Batch, from which values and outcomes can be read while it runs. Raises PicklingError, which names the
        job, and whatever an iterable raises: then nothing of the batch is left. Raises TypeError without iterables, and
        the errors of `Pipeline.options`. Example::

            batch = pipeline.batch(fetch, urls, name="pages", retries=2)
            for outcome in batch.failures():
                print(urls[outcome.index], outcome.cause)
        """
        if not iterables:
            raise TypeError("batch needs the inputs of its jobs, batch(target, items); for one job there is submit")
        group = b"" if "limit" in options else self._group
        options = {**self._options, **after_as_id(self._engine, options)}
        opening = opening_of(self._engine, target, options, group)
        with submitting(opening.spec, opened(opening.spec, opening.function).title or COMMAND) as spec:
            return self._engine.batch(spec, opening.function, opening.inputs(iterables), digest)

    def command(self, argv: Command, **options: Unpack[CommandOptions]) -> JobFuture[CommandResult]:
        """Run one command as a job: `argv` is a list of words, text, bytes or paths, and no shell takes it apart.

        It runs in this process' working folder, or in ``cwd``, with the worker's environment and ``env``. `options` are
        those of `Pipeline.options`, but for ``initializer``; with ``check=False`` an exit code other than 0 is no
        failure.

        Returns a Future of a CommandResult. It raises CommandFailed where the exit code is not 0, and has a TypeError
        or ValueError at once for an `argv` that is no command. Raises the errors of `Pipeline.options`.
        """
        is_limited = "limit" in options
        template, others = template_of((), {**self._options, **after_as_id(self._engine, options)})
        spec = spec_of(others, kind="command")
        spec = in_group(spec, group_of(self._engine.client.word, spec) if is_limited else self._group)
        try:
            words = words_of(argv)
            if not words:
                raise ValueError("a command begins with a program")
        except (TypeError, ValueError) as error:
            return failed(error)
        with submitting(spec, COMMAND) as spec:
            return self._engine.command(spec, Function.of(template.encode()), words)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Do nothing, whatever `wait` and `cancel_futures` are: the Pipeline goes on when a view of it is left."""
