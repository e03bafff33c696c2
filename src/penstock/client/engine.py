"""What stands behind a Pipeline that has stations: what a client can ask of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.client import serialization_errors
from penstock.client.batch import Batch, cancel_jobs, find_batch, find_batches, pipeline_status_of, status_of
from penstock.client.batch_changes import WHOLE_PIPELINE, pause
from penstock.client.batch_input import Digest, Feed
from penstock.client.event_reader import last_event, read_events
from penstock.client.failures import failures_of
from penstock.client.filtered_jobs import FilteredJobs
from penstock.client.functions import MAX_PART_BYTES, Function, Functions, too_large
from penstock.client.futures import JobFuture, failed
from penstock.client.leaving import Member
from penstock.client.map import CHUNKS_AHEAD, Map, MapRequest, input_length, pace_of
from penstock.client.module_shipping import Shipper
from penstock.client.once import batch_once, future_once
from penstock.client.records import BatchStatus, Event, Failures, JobInfo, PipelineStatus
from penstock.client.single_submits import OnRow
from penstock.client.submit_packing import opened
from penstock.client.version_check import Versions
from penstock.errors import NoPipeline
from penstock.job.filters import Filter
from penstock.job.manager_authkeys import Client
from penstock.job.spec import BatchSpec
from penstock.wire.desk_messages import AskPipeline, DrainWorker, PipelineInfo

if TYPE_CHECKING:
    from penstock.client.local_stations import LocalStations
    from penstock.keys.files import KeyFile

DEFAULT_SLOTS = 8
"""Assumed of a pipeline to which no worker is connected yet."""


class Engine(Member):
    """The backend of a Pipeline that has stations: one client of one pipeline, over one connection. It never runs a job
    in this process."""

    batched: int

    def __init__(
        self, url: str, stations: LocalStations | None = None, *, key: KeyFile | None = None, ship: bool = True
    ) -> None:
        """Raises NoPipeline: nobody answers; Refused: not with this key; ConfigError: not a URL."""
        super().__init__(url, stations, key)
        self.client: Client = Client()
        is_local = stations is not None
        self._functions = Functions(Shipper(ships=ship, is_local=is_local), None if is_local else Versions(self.status))

    def ensure_usable(self) -> None:
        """Raises RuntimeError: it has been left, or this is a forked child."""
        if self.left:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self.session.ensure_usable()

    # ------------------------------------------------------------------------------------- jobs

    def submit(
        self, spec: BatchSpec, target: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> JobFuture[Any]:
        """Submit one call. What cannot be serialized is the error of its Future."""
        self.ensure_usable()
        try:
            function, item = serialization_errors.call(self._functions, target, args, kwargs, spec.serializer)
        except Exception as error:  # noqa: BLE001 - a __reduce__ may raise anything
            return failed(error)
        if len(item) > MAX_PART_BYTES:
            return failed(ValueError(f"the arguments: {too_large(item)}"))
        return self._submit(spec, function, item)

    def on_outcome(self, then: OnRow) -> None:
        """From now on call `then` with each outcome of a single submit, in the thread of callbacks, before its Future
        is done."""
        self._streams.on_row = then

    def command(self, spec: BatchSpec, function: Function, words: list[bytes]) -> JobFuture[Any]:
        """Submit one command; `function` is its template."""
        return self._submit(spec, function, msgspec.msgpack.encode(words))

    def _submit(self, spec: BatchSpec, function: Function, item: bytes) -> JobFuture[Any]:
        self.ensure_usable()
        if spec.once:
            return future_once(self.session, self._streams, spec, function, item)
        return self._streams.submit(spec, function, item)

    def function(self, target: Callable[..., Any], spec: BatchSpec) -> Function:
        """Serialize a function as it is now."""
        return serialization_errors.serialized(self._functions, target, spec.serializer)

    def start_map(self, request: MapRequest) -> Map:
        """Start a map: its input is drawn as far ahead of the reader as the request says."""
        self.ensure_usable()
        spec, function, iterables, form, timeout, chunksize, buffersize, ordered, chunk = request
        target, pace = pace_of(input_length(iterables), self.slots(), chunksize, buffersize)
        spec = msgspec.structs.replace(spec, transient=True)
        feed = Feed(self.session, spec, function, iterables, form, target, chunksize, chunk, functions=self._functions)
        run = Map(self.session, feed, spec, pace, ordered=ordered, timeout=timeout)
        self._maps.add(run)
        return run

    def batch(
        self, spec: BatchSpec, function: Function, iterables: Sequence[Iterable[Any]], digest: Digest | None = None
    ) -> Batch:
        """Submit a batch whole; returns once it is accepted. An error of the input is raised, and nothing is left."""
        self.ensure_usable()
        if spec.once:
            batch, total = batch_once(self.session, spec, function, iterables, self._functions)
            self.batched += total
            return Batch(self.session, batch, opened(spec, function), total)
        slots = self.slots()
        target, _ = pace_of(input_length(iterables), slots)
        feed = Feed(self.session, spec, function, iterables, "", target, None, digest=digest, functions=self._functions)
        feed.submit_whole(CHUNKS_AHEAD * slots)
        self.batched += feed.submitted
        return Batch(self.session, feed.batch, opened(spec, function), feed.submitted)

    # ------------------------------------------------------------------------------------- questions

    def slots(self) -> int:
        """How many jobs can run at once."""
        return self._stations.slots if self._stations is not None else self.status().slots or DEFAULT_SLOTS

    def status(self) -> PipelineStatus:
        """The state of the pipeline now."""
        info: PipelineInfo = self.session.ask(AskPipeline)
        return pipeline_status_of(info, self.url)

    def batches(self, match: str, limit: int) -> list[BatchStatus]:
        """The newest batches that `match` names, at most `limit`."""
        return [status_of(line) for line in find_batches(self.session, match, limit)]

    def events(self, after: int, *, follow: bool) -> Iterator[Event]:
        """What has happened behind the event of this number."""
        return read_events(self.session, after, follow=follow)

    def last_event(self) -> int:
        """The number of the newest one."""
        return last_event(self.session)

    def failures(self, batch: bytes) -> Failures:
        """The failed jobs of a batch, or of all (empty), grouped by their error."""
        return failures_of(self.session, batch)

    def attach(self, match: str) -> Batch:
        """A handle on a batch of this or another client. Raises NoSuchBatch: none fits, or several."""
        return find_batch(self.session, match)

    def jobs(self, wanted: Filter, at: tuple[bytes, int], limit: int, *, full: bool) -> list[JobInfo]:
        """The jobs that are wanted, from there on, at most `limit`. Raises ProtocolError: a station is too old."""
        return FilteredJobs(self.session, wanted, full=full).page(at, limit)

    def closed(self, match: str) -> bytes:
        """The id of a batch that others are to come after: it takes in no more single submits. Raises NoSuchBatch."""
        found = bytes.fromhex(self.attach(match).id)
        if any(stream.batch == found for stream in self._streams.living()):
            self._streams.close_open()
        return found

    def drain(self, worker: str) -> None:
        """Let a worker finish and leave. Raises NoSuchWorker."""
        self.session.ask(lambda number: DrainWorker(number, worker))

    def cancel(self, batch: bytes, start: int, stop: int) -> int:
        """End these jobs, running ones too."""
        return cancel_jobs(self.session, batch, start, stop, running=True)

    def pause(self, *, resumes: bool) -> None:
        """Start no job of any batch, or let all go on. Raises Refused."""
        pause(self.session, WHOLE_PIPELINE, resumes=resumes)

    def flush(self, timeout: float | None) -> None:
        """Wait until all that was submitted is accepted. Raises TimeoutError, and why a single submit since the last
        time was refused."""
        self.ensure_usable()
        self._streams.close_open()
        try:
            self.session.wait_for(self.session.accepted(), timeout)
        except NoPipeline:
            self.session.ensure_usable()
            raise TimeoutError("not everything was accepted in time") from None
        if (refusal := self._streams.take_refusal()) is not None:
            raise refusal
