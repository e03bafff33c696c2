"""What stands behind a Pipeline that has stations: sessions, streams, maps, and the rules of leaving."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from penstock import payload
from penstock.authkeys import Client
from penstock.client.batch import Batch, cancel_jobs, find_batch, find_batches, pipeline_status_of, status_of
from penstock.client.feeding import Digest, Feed, joined
from penstock.client.functions import MAX_PART_BYTES, Function, Functions, too_large
from penstock.client.futures import JobFuture, failed
from penstock.client.mapping import CHUNKS_AHEAD, Map, input_length, pace_of
from penstock.client.once import batch_once, future_once
from penstock.client.outage import CONNECT_TIMEOUT
from penstock.client.session import Session
from penstock.client.streams import OnRow, Streams
from penstock.client.versions import Versions
from penstock.errors import JobCancelled, PenstockError
from penstock.job import BatchSpec
from penstock.messages import AskPipeline, DrainWorker, PipelineInfo
from penstock.outcome import BatchStatus, PipelineStatus

if TYPE_CHECKING:
    from penstock.keys import KeyFile
    from penstock.local import LocalStations

DEFAULT_SLOTS = 8
"""Assumed of a pipeline to which no worker is connected yet."""
EXIT_TIMEOUT = 30.0
"""Seconds an interpreter that exits waits for what it submitted to be accepted."""
INTERRUPTED_TIMEOUT = 2.0
"""Seconds who leaves by Ctrl-C waits for it."""
POLL_INTERVAL = 0.01
"""Seconds until the first look at whether an embedded pipeline has done everything; they double."""
WAIT_INTERVAL = 0.5
"""Seconds between two looks at whether a pipeline that is waited for is still there."""

_living: set[Engine] = set()


class Engine:
    """One client of one pipeline."""

    def __init__(
        self, url: str, stations: LocalStations | None = None, *, key: KeyFile | None = None, ship: bool = True
    ) -> None:
        """Raises NoPipeline: nobody answers; Refused: not with this key; ConfigError: not a URL."""
        self._pid = os.getpid()
        self.client = Client()
        self._stations = stations
        self._streams = Streams()
        self._functions = Functions.here() if stations else Functions.elsewhere(Versions(self), ship=ship)
        self._maps: weakref.WeakSet[Map] = weakref.WeakSet()
        self._left = self._gone = False
        self._closed = threading.Lock()
        self._finishing = threading.Lock()
        self._session = Session(url, self._streams, stations, key)
        self._streams.attach(self._session)
        self._session.on_failure(self._streams.fail)
        try:
            self._session.connect(CONNECT_TIMEOUT if stations is None else stations.start_time)
        except BaseException:
            self._close()
            raise
        if stations is not None:
            stations.up()
        _living.add(self)

    @property
    def url(self) -> str:
        """Where the pipeline is."""
        return self._session.url

    @property
    def session(self) -> Session:
        """Its connection, for what reads by itself."""
        return self._session

    def ensure_usable(self) -> None:
        """Raises RuntimeError: it has been left, or this is a forked child."""
        if self._left:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self._session.ensure_usable()

    # ------------------------------------------------------------------------------------- jobs

    def submit(
        self, spec: BatchSpec, target: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> JobFuture:
        """One call. What cannot be serialized is the error of the Future."""
        self.ensure_usable()
        try:
            function = self._functions.serialized(target, spec.serializer)
            item = payload.call_blob(args, kwargs, spec.serializer)
            function = self._functions.with_items(function, item, spec.serializer)
        except Exception as error:  # noqa: BLE001 - a __reduce__ may raise anything
            return failed(error)
        if len(item) > MAX_PART_BYTES:
            return failed(ValueError(f"the arguments: {too_large(item)}"))
        return self._submit(spec, function, item)

    def on_outcome(self, then: OnRow) -> None:
        """Tell this of each outcome of single submits, in the background thread, before the Future is settled."""
        self._streams.on_row = then

    def command(self, spec: BatchSpec, function: Function, words: list[bytes]) -> JobFuture:
        """One command; `function` is its template."""
        return self._submit(spec, function, msgspec.msgpack.encode(words))

    def _submit(self, spec: BatchSpec, function: Function, item: bytes) -> JobFuture:
        self.ensure_usable()
        if spec.once:
            return future_once(self._session, self._streams, spec, function, item)
        return self._streams.submit(spec, function, item)

    def function(self, target: Callable[..., Any], spec: BatchSpec) -> Function:
        """The function as it travels."""
        return self._functions.serialized(target, spec.serializer)

    def map(self, spec: BatchSpec, function: Function, iterables: Sequence[Iterable[Any]], **how: Any) -> Iterator[Any]:
        """`map`, or `imap_unordered`; `how` as `start_map` has it."""
        run = self.start_map(spec, function, iterables, **how)
        results = run.results()
        run.watch(results)
        return results

    def start_map(
        self,
        spec: BatchSpec,
        function: Function,
        iterables: Sequence[Iterable[Any]],
        *,
        form: str = "",
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        chunk: Callable[[int], int] | None = None,
        ordered: bool = True,
    ) -> Map:
        """A map to be read piece by piece; `form`: what an item is, if the number of iterables does not tell."""
        self.ensure_usable()
        target, pace = pace_of(input_length(iterables), self.slots(), chunksize, buffersize)
        spec = msgspec.structs.replace(spec, transient=True)
        feed = self._feed(spec, function, iterables, target, chunksize, form, chunk)
        run = Map(self._session, feed, spec, pace, ordered=ordered, timeout=timeout)
        self._maps.add(run)
        return run

    def batch(
        self, spec: BatchSpec, function: Function, iterables: Sequence[Iterable[Any]], digest: Digest | None = None
    ) -> Batch:
        """Submit a batch whole; returns once it is accepted. An error of the input is raised, and nothing is left."""
        self.ensure_usable()
        if spec.once:
            batch, total = batch_once(self._session, spec, function, iterables)
            return Batch(self._session, batch, spec, total)
        slots = self.slots()
        target, _ = pace_of(input_length(iterables), slots)
        feed = self._feed(spec, function, iterables, target, None, digest=digest)
        feed.submit_whole(CHUNKS_AHEAD * slots)
        return Batch(self._session, feed.batch, spec, feed.submitted)

    def _feed(
        self,
        spec: BatchSpec,
        function: Function,
        iterables: Sequence[Iterable[Any]],
        target: int,
        chunksize: int | None,
        form: str = "",
        chunk: Callable[[int], int] | None = None,
        digest: Digest | None = None,
    ) -> Feed:
        form = form or ("item" if len(iterables) == 1 else "star")
        along = partial(self._functions.with_items, serializer=spec.serializer if spec.kind == "call" else "")
        return Feed(self._session, spec, function, joined(iterables), form, target, chunksize, chunk, digest, along)

    # ------------------------------------------------------------------------------------- questions

    def slots(self) -> int:
        """Jobs that can run at once."""
        return self._stations.slots if self._stations is not None else self.status().slots or DEFAULT_SLOTS

    def status(self) -> PipelineStatus:
        """How the pipeline stands."""
        info: PipelineInfo = self._session.ask(AskPipeline)
        return pipeline_status_of(info, self.url)

    def batches(self, match: str, limit: int) -> list[BatchStatus]:
        """The newest that fit."""
        return [status_of(line) for line in find_batches(self._session, match, limit)]

    def attach(self, match: str) -> Batch:
        """A handle on a batch of this or another client. Raises NoSuchBatch: none fits, or several."""
        return find_batch(self._session, match)

    def closed(self, match: str) -> bytes:
        """The id of a batch that others are to come after: it takes in no more single submits. Raises NoSuchBatch."""
        found = bytes.fromhex(self.attach(match).id)
        if any(stream.batch == found for stream in self._streams.living()):
            self._streams.close_open()
        return found

    def drain(self, worker: str) -> None:
        """Let a worker finish and leave. Raises NoSuchWorker."""
        self._session.ask(lambda number: DrainWorker(number, worker))

    def cancel(self, batch: bytes, start: int, stop: int) -> int:
        """End these jobs, running ones too."""
        return cancel_jobs(self._session, batch, start, stop, running=True)

    def flush(self, timeout: float | None) -> None:
        """Wait until all that was submitted is accepted. Raises TimeoutError."""
        self.ensure_usable()
        self._streams.close_open()
        answer = self._session.accepted()
        deadline = None if timeout is None else time.monotonic() + timeout
        while not answer.done():
            left = WAIT_INTERVAL if deadline is None else min(WAIT_INTERVAL, deadline - time.monotonic())
            if left <= 0:
                raise TimeoutError("not everything was accepted in time")
            with suppress(TimeoutError, PenstockError):
                self._session.wait_for(answer, left)
            self._session.ensure_usable()

    # ------------------------------------------------------------------------------------- leaving

    def leave(self, *, wait: bool, cancel_futures: bool = False) -> None:
        """No more jobs are taken. Waits for acceptance, with `wait` for all outcomes."""
        if os.getpid() != self._pid:
            return
        first, self._left = not self._left, True
        if first and cancel_futures:
            for stream in self._streams.living():
                stream.cancel_all(unstarted_only=True)
            for run in list(self._maps):
                run.cancel_unstarted()
        if wait:
            self._finish()
        elif first:
            self._streams.close_open()
            with suppress(PenstockError, RuntimeError):  # nobody answers, or this is a callback that cannot wait
                self._session.wait_for(self._session.accepted(), None)
            threading.Thread(target=self._finish_quietly, name="penstock-leaving", daemon=True).start()

    def leave_by(self, error: BaseException | None) -> None:
        """Leave by an exception: embedded work is cancelled; a running pipeline's futures are waited for as every
        executor does, unless the user or the system wants to be gone."""
        if self._stations is not None:
            self.abandon()
        else:
            self.leave(wait=isinstance(error, Exception))

    def leave_forgotten(self) -> None:
        """Leave in the background: its Pipeline was garbage."""
        with suppress(RuntimeError):  # the interpreter is exiting
            threading.Thread(target=self.leave, kwargs={"wait": False}, name="penstock-leaving", daemon=True).start()

    def abandon(self, timeout: float = INTERRUPTED_TIMEOUT) -> None:
        """Leave at once: embedded work ends, a running pipeline keeps what it accepts within `timeout` seconds."""
        if os.getpid() != self._pid or self._gone:
            return
        self._left = True
        if self._stations is None:
            with suppress(PenstockError, RuntimeError):
                self._streams.close_open()
                self._session.wait_for(self._session.accepted(), timeout)
        self._close()

    def terminate(self) -> None:
        """Leave at once, and let nothing of what this client's futures and maps stand for run on."""
        if os.getpid() == self._pid and not self._left and self._stations is None:
            self._left = True
            with suppress(PenstockError, RuntimeError):  # nobody answers, or this is a callback that cannot wait
                self._streams.close_open()
                self._session.wait_for(self._session.accepted(), EXIT_TIMEOUT)
                for stream in self._streams.living():
                    stream.cancel_all(unstarted_only=False)
                for run in list(self._maps):
                    run.cancel()
                self.status()  # it answers when it has read what was said before
        self.abandon()

    def _finish(self) -> None:
        """Wait for everything, then close; who comes second waits for the first."""
        try:
            with nullcontext() if self._session.in_thread else self._finishing:
                if self._session.failure is None and not self._gone:
                    self._wait_for_all()
                self._close()
        except BaseException:
            self.abandon()
            raise

    def _finish_quietly(self) -> None:
        with suppress(Exception):
            self._finish()

    def _wait_for_all(self) -> None:
        self._streams.close_open()
        maps = list(self._maps)
        for run in maps:
            run.draw_rest()
        self._session.wait_for(self._session.accepted(), None)
        futures: list[Future[Any]] = list(self._streams.futures())
        while futures and self._session.failure is None:
            futures = list(wait(futures, WAIT_INTERVAL).not_done)
        if self._stations is not None:
            self._wait_until_idle()
        for run in maps:
            run.absorb()
        if maps and self._stations is None:
            self.status()  # it answers when it has read what was said before: which maps to forget

    def _wait_until_idle(self) -> None:
        interval = POLL_INTERVAL
        while (status := self.status()).queued or status.leased:
            time.sleep(interval)
            interval = min(2 * interval, WAIT_INTERVAL)

    def _close(self) -> None:
        left = JobCancelled("its pipeline was left before it ended")
        with self._closed:
            self._gone = True
            for run in list(self._maps):
                run.fail(left)
            _living.discard(self)
            self._session.close()
            if self._stations is not None:
                self._stations.stop()
        self._streams.fail(left)  # also what came in this moment


@atexit.register
def _leave_all() -> None:
    """At the interpreter's exit nothing is waited for but acceptance."""
    for engine in list(_living):
        engine.abandon(EXIT_TIMEOUT)
