"""What a Pipeline asks of what stands behind it: an Engine has stations, Inline runs each job in the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from penstock.client.batch import Batch
from penstock.client.batch_input import Digest
from penstock.client.functions import Function
from penstock.client.futures import JobFuture
from penstock.client.map import MapRequest
from penstock.client.records import BatchStatus, Event, Failures, JobInfo, PipelineStatus
from penstock.client.results import Piece
from penstock.client.single_submits import OnRow
from penstock.job.filters import Filter
from penstock.job.manager_authkeys import Client
from penstock.job.spec import BatchSpec

if TYPE_CHECKING:
    from penstock.client.session import Session


class Pieces(Protocol):
    """A map under way, whose results are read value by value or piece by piece."""

    def results(self) -> Iterator[Any]:
        """The values, in the order of the input or as they come. Raises the error of a job, and of the input, in its
        place."""

    def next_piece(self, timeout: float | None = None) -> Piece | None:
        """The next results; None when there are no more. Raises TimeoutError after `timeout` seconds, and the error of
        the input in its place."""

    def watch(self, results: object) -> None:
        """Once nobody holds `results` any more nobody reads this map: let it run on to its end without a reader."""

    def close(self) -> None:
        """Read no more, and cancel what has not ended."""


class Mapper(Protocol):
    """The part of a Backend that starts maps: a map with costs needs no more of it."""

    def slots(self) -> int:
        """How many jobs can run at once."""

    def start_map(self, request: MapRequest) -> Pieces:
        """Start a map, which is to be read or closed. Raises RuntimeError once this has been left."""


class Backend(Mapper, Protocol):
    """One client's access to one pipeline. Once it has been left its methods that submit raise RuntimeError."""

    @property
    def url(self) -> str:
        """Where the pipeline is; ``inline`` where there is none."""

    @property
    def client(self) -> Client:
        """Who submits: no two clients' calls run in one process."""

    @property
    def session(self) -> Session | None:
        """The connection to the stations; None where there are none."""

    def ensure_usable(self) -> None:
        """Raises RuntimeError if it has been left, or if this process is a fork of the one that made it."""

    # ------------------------------------------------------------------------------------- jobs

    def function(self, target: Callable[..., Any], spec: BatchSpec) -> Function:
        """Serialize a function. Raises PicklingError."""

    def submit(
        self, spec: BatchSpec, target: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> JobFuture[Any]:
        """Submit one call. What cannot be serialized is the error of its Future."""

    def command(self, spec: BatchSpec, function: Function, words: list[bytes]) -> JobFuture[Any]:
        """Submit one command: `function` is its template, `words` are its arguments."""

    def on_outcome(self, then: OnRow) -> None:
        """From now on call `then` with each outcome of a single submit, before its Future is done."""

    def batch(
        self, spec: BatchSpec, function: Function, iterables: Sequence[Iterable[Any]], digest: Digest | None = None
    ) -> Batch[Any]:
        """Submit a whole batch and return once it is accepted. Raises what its input raises; then nothing is left."""

    # ------------------------------------------------------------------------------------- questions

    def status(self) -> PipelineStatus:
        """The state of the pipeline now."""

    def batches(self, match: str, limit: int) -> list[BatchStatus]:
        """The newest batches that `match` names, as in `attach`, or all if it is empty; at most `limit`."""

    def events(self, after: int, *, follow: bool) -> Iterator[Event]:
        """What has happened behind the event of this number."""

    def last_event(self) -> int:
        """The number of the newest one."""

    def failures(self, batch: bytes) -> Failures:
        """The failed jobs of a batch, or of all (empty), grouped by their error."""

    def attach(self, match: str) -> Batch[Any]:
        """A handle on a batch, by its id, a part of that, or its name. Raises NoSuchBatch."""

    def jobs(self, wanted: Filter, at: tuple[bytes, int], limit: int, *, full: bool) -> list[JobInfo]:
        """The jobs that are wanted, newest batch first, from that index of that batch on, at most `limit`; `full`:
        their texts are not shortened."""

    def closed(self, match: str) -> bytes:
        """The id of a batch that another one comes after: it takes in no more single submits. Raises NoSuchBatch."""

    def drain(self, worker: str) -> None:
        """Let a worker finish what it runs, and leave. Raises NoSuchWorker."""

    def cancel(self, batch: bytes, start: int, stop: int) -> int:
        """End the jobs [start, stop) of a batch; returns how many had not been given to a worker."""

    def pause(self, *, resumes: bool) -> None:
        """Start no job of any batch; or let all go on. Raises Refused."""

    def flush(self, timeout: float | None) -> None:
        """Wait until all that was submitted is accepted. Raises TimeoutError, and the error of a refused submit."""

    # ------------------------------------------------------------------------------------- leaving

    def leave(self, *, wait: bool, cancel_futures: bool = False) -> None:
        """Take no more jobs, as Executor.shutdown."""

    def leave_by(self, error: BaseException | None) -> None:
        """Leave because of an exception in the block of a `with`."""

    def leave_forgotten(self) -> None:
        """Leave in the background: nobody holds the Pipeline any more."""

    def abandon(self, timeout: float) -> None:
        """Leave at once: embedded work ends, a running pipeline keeps what it accepts within `timeout` seconds."""

    def terminate(self) -> None:
        """Leave at once, and end all jobs of this client's futures and maps."""

    def end_workers(self, operation: str, *, at_once: bool) -> None:
        """As `terminate`, and what runs raises JobDied that names the `operation`. Embedded slots have their grace,
        unless `at_once`."""
