"""What is accepted once under a word: the same call again is the same batch, another call is an error.

A call is its function and its arguments as they travel, cut in one way wherever it is made. So it is drawn whole before
it is submitted, and what a client that died had submitted of it is completed by the next one that makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from penstock.client.argument_pickling import ItemDumper
from penstock.client.batch_input import form_of, joined, serializing, settled
from penstock.client.chunking import FIRST_COUNT, Chunk, Cutter
from penstock.client.follow import Follower
from penstock.client.functions import DIGEST_BYTES, Function, Functions
from penstock.client.futures import JobFuture, failed
from penstock.client.refusals import AcceptedBeforeError
from penstock.client.session import Session
from penstock.client.single_submits import Stream, Streams, chunk_of
from penstock.client.submit_packing import Part, opening
from penstock.errors import PenstockError
from penstock.job.spec import BatchId, BatchSpec, new_batch_id
from penstock.wire.desk_messages import BatchClose, ChunkHead

CHUNK_JOBS = 1_000
"""Jobs of a chunk at most; the same everywhere, whatever slots there are."""


def batch_once(
    session: Session,
    spec: BatchSpec,
    function: Function,
    iterables: Sequence[Iterable[Any]],
    functions: Functions,
) -> tuple[bytes, int]:
    """The id of the batch of this call, and how many jobs it has. Raises what its input raises, and OnceMismatch."""
    form = form_of(iterables)
    dumper = ItemDumper(functions.shipper) if spec.is_pickled else None
    items = joined(iterables)
    if dumper is not None:
        items = settled(items, iterables, form, dumper)
    chunks = drawn_whole(items, serializing(spec, form, dumper))
    if dumper is not None:
        function = functions.with_needs(function, dumper.needs)
    return submit_once(session, spec, function, chunks), sum(chunk.jobs for chunk in chunks)


def future_once(session: Session, streams: Streams, spec: BatchSpec, function: Function, item: bytes) -> JobFuture[Any]:
    """The Future of this one call; OnceMismatch is its error."""
    try:
        batch = submit_once(session, spec, function, [Chunk(1, chunk_of(spec, [item]))])
    except PenstockError as error:
        streams.note_refusal(error)
        return failed(error)
    mine = OneJob(session, batch, spec, function, streams.left)
    future = streams.enlist(mine, mine.future)
    if future is mine.future:
        mine.follow()
    return future


class OneJob(Stream):
    """A stream of one job, whose batch is accepted already: it only waits for the outcome."""

    batch: BatchId
    count: int

    def __init__(
        self, session: Session, batch: bytes, spec: BatchSpec, function: Function, left: Callable[[Stream], None]
    ) -> None:
        super().__init__(session, spec, function, left)
        self.batch, self.count, self._first = BatchId(batch), 1, 1
        self.closed = self._said_closed = True
        self._opening = None
        self._follower = Follower(batch, self, accepted=True)
        self.future: JobFuture[Any] = JobFuture(self, 0, batch)
        self.futures[0] = self.future

    def follow(self) -> None:
        """Ask the sink for its outcome."""
        self._session.follow(self._follower)


def drawn_whole(items: Iterable[Any], serialize: Callable[[Sequence[Any], int], bytes]) -> list[Chunk]:
    """All of an input as chunks. Raises what the input raises, and PicklingError."""
    cutter = Cutter(iter(items), serialize, CHUNK_JOBS, FIRST_COUNT)
    chunks: list[Chunk] = []
    while (chunk := cutter.next_chunk()) is not None:
        chunks.append(chunk)
    if cutter.error is not None:
        raise cutter.error
    return chunks


def submit_once(session: Session, spec: BatchSpec, function: Function, chunks: Sequence[Chunk]) -> bytes:
    """Have the call accepted; returns its batch, which may be one that was accepted before.

    Raises OnceMismatch: another call has this word; and whatever else it is refused for.
    """
    spec = msgspec.structs.replace(spec, call=fingerprint(function, chunks))
    batch: bytes = new_batch_id()
    try:
        _submit(session, batch, spec, function, chunks)
    except AcceptedBeforeError as before:
        batch = before.batch
        if not before.closed:
            _submit(session, batch, spec, function, chunks)
    return batch


def fingerprint(function: Function, chunks: Iterable[Chunk]) -> bytes:
    """What tells a call from others."""
    digest = blake2b(function.call, digest_size=DIGEST_BYTES)
    for chunk in chunks:
        digest.update(chunk.jobs.to_bytes(8, "big") + len(chunk.payload).to_bytes(8, "big") + chunk.payload)
    return digest.digest()


def _submit(session: Session, batch: bytes, spec: BatchSpec, function: Function, chunks: Sequence[Chunk]) -> None:
    parts = [opening(batch, spec, function)]
    first = 0
    for chunk in chunks:
        parts.append(Part(ChunkHead(batch, first, chunk.jobs, len(chunk.payload)), chunk.payload))
        first += chunk.jobs
    refusals: list[BaseException] = []
    session.on_refusal(batch, refusals.append)
    try:
        session.submit([*parts, Part(BatchClose(batch, first))])
        session.wait_for(session.accepted(), None)
    finally:
        session.on_refusal(batch, None)
    if refusals:
        raise refusals[0]
