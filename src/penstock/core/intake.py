"""Clients ask: submit, cancel, forget, and questions about how things stand.

Promises:

1. A Submit is accepted whole or refused whole, and answered only by what is committed.
2. The same chunk twice is accepted once. Chunks of a batch are accepted in order; one that leaves a gap is not
   answered, so that its client sends all again.
3. A cancellation is remembered until every job of it has an outcome.
"""

from __future__ import annotations

from msgspec.structs import replace

from penstock.config import TRANSIENT_TIME
from penstock.core.actions import (
    Answer,
    DeleteBatch,
    LoadChunks,
    OpenPart,
    ReadDigests,
    SaveBatch,
    SaveChunk,
    SaveTotal,
)
from penstock.core.backlog import REFILL_CHUNKS, WINDOW_CHUNKS, Batch, Chunk, Place
from penstock.core.books import Books
from penstock.core.inputs import Bytes, ChunkLoaded, ChunksLoaded, FromClient, StoredBatch, StoredChunk
from penstock.core.recall import Recalls
from penstock.job import JobState
from penstock.messages import (
    DIGEST_BYTES,
    Accepted,
    Alive,
    AskBatches,
    AskDigests,
    BatchesInfo,
    BatchLine,
    Cancel,
    Cancelled,
    ChunkHead,
    Done,
    Drain,
    DrainWorker,
    Forget,
    ForgetBatch,
    Message,
    Refused,
    Submit,
    split,
)

FORGOTTEN_BATCHES = 10_000
"""Deleted batches that are still recognised: resends end within seconds."""
NOT_STARTED = (Place.QUEUED, Place.DELAYED, Place.LIMBO, Place.ALONE)
"""Places of jobs that nobody runs."""


class Intake:
    """Takes jobs in, and out again on request."""

    def __init__(self, books: Books, *, pickles: bool = True) -> None:
        """`pickles`: whether calls whose arguments are pickles are taken in."""
        self._books = books
        self.recalls = Recalls(books)
        self._pickles = pickles
        self.recovered = False
        """Whether what was given out before a restart is known: until then stored chunks wait in limbo."""
        self._forgotten: dict[bytes, None] = {}
        """Batches deleted in this life, oldest first: what their clients still send again is accepted and dropped."""

    # ------------------------------------------------------------------------------------------ submit

    def refuse(self, client: bytes, message: object, why: str) -> None:
        """The client's key does not allow it; what has no answer is dropped."""
        number = getattr(message, "number", None)
        if number is not None:
            self._answer(client, Refused(number, "Refused", why))

    def on_submit(self, event: FromClient, now: float) -> None:
        """Accept batches, chunks and ends of batches; whose key brought a batch is its owner."""
        submit, payload = event.message, event.payload
        assert isinstance(submit, Submit)
        if not self._pickles and any(one.spec.is_pickled for one in submit.opens):
            self.refuse(event.client, submit, "this pipeline takes no pickles: submit with serializer='msgpack'")
            return
        sizes = [one.size for one in submit.opens] + [one.size for one in submit.chunks]
        parts = split(payload, sizes)
        batches, forgotten = self._books.backlog.batches, self._forgotten
        if any(len(one.digests) not in {0, one.count * DIGEST_BYTES} for one in submit.chunks):
            self._answer(
                event.client, Refused(submit.number, "ProtocolError", "a chunk with digests of another length")
            )
            return
        new = {one.batch: 0 for one in submit.opens if one.batch not in batches and one.batch not in forgotten}
        if not self._in_order(submit, new):
            return
        for opened, code in zip(submit.opens, parts, strict=False):
            if opened.batch in new:
                spec = replace(opened.spec, owner=event.sender.name)
                stored = StoredBatch(
                    opened.batch, spec, opened.function, opened.size, event.wall_time, 0, None, {}, None
                )
                self._books.backlog.add_batch(stored).alive_at = now
                self._books.say(SaveBatch(opened.batch, spec, opened.function, code, event.wall_time))
        for chunk, arguments in zip(submit.chunks, parts[len(submit.opens) :], strict=True):
            self._accept(chunk, arguments)
        for closed in submit.closes:
            batch = self._books.backlog.batches.get(closed.batch)
            if batch is not None and batch.total is None:
                batch.total = closed.total
                self._books.say(SaveTotal(batch.id, closed.total))
        self._books.say_last(Answer(event.client, Accepted(submit.number)))

    def _in_order(self, submit: Submit, new: dict[bytes, int]) -> bool:
        """Whether every chunk follows what is accepted; chunks of forgotten batches are accepted and dropped."""
        ends = dict(new)
        for chunk in submit.chunks:
            if chunk.batch in self._forgotten:
                continue
            batch = self._books.backlog.batches.get(chunk.batch)
            end = ends.get(chunk.batch, batch.accepted if batch is not None else -1)
            if chunk.first > end:
                return False
            ends[chunk.batch] = max(end, chunk.first + chunk.count)
        return True

    def _accept(self, head: ChunkHead, arguments: Bytes) -> None:
        batch = self._books.backlog.batches.get(head.batch)
        if batch is None or head.first < batch.accepted:
            return
        batch.accepted = head.first + head.count
        self._books.say(SaveChunk(head.batch, head.first, head.count, arguments, head.digests))
        if not batch.on_disk and len(batch.chunks) < WINDOW_CHUNKS:
            batch.loaded_to = batch.accepted
            stored = StoredChunk(head.first, head.count, head.size, (OpenPart(head.first, batch.accepted),))
            self._settle_cancelled(self._books.backlog.add_chunk(batch, stored, Place.QUEUED))
        elif not batch.on_disk:
            batch.on_disk = True
            batch.loaded_to = head.first

    # ------------------------------------------------------------------------------------------ from disk

    def refill(self) -> None:
        """Ask for more of the batches that run low in memory."""
        for batch in self._books.backlog.hungry_batches():
            batch.loading = True
            self._books.say(LoadChunks(batch.id, batch.loaded_to, REFILL_CHUNKS))

    def on_chunks_loaded(self, loaded: ChunksLoaded) -> None:
        """The next stretch of a batch came into memory."""
        batch = self._books.backlog.batches.get(loaded.batch)
        if batch is None:
            return
        batch.loading = False
        for chunk in loaded.chunks:
            self._load(batch, chunk)
        if len(loaded.chunks) < loaded.limit:
            batch.on_disk = False
            batch.loaded_to = batch.accepted
        else:
            last = loaded.chunks[-1]
            batch.loaded_to = last.first + last.count

    def on_chunk_loaded(self, loaded: ChunkLoaded) -> None:
        """One chunk, out of turn: somebody spoke of it."""
        batch = self._books.backlog.batches.get(loaded.batch)
        if batch is not None and loaded.chunk is not None:
            self._load(batch, loaded.chunk)

    def _load(self, batch: Batch, chunk: StoredChunk) -> None:
        if chunk.first in batch.chunks:
            return
        new = self._books.backlog.add_chunk(batch, chunk, Place.QUEUED)
        for part in new.parts:
            if part.given or part.recalled or not self.recovered:
                self._books.hold(part, 0)
        self._settle_cancelled(new)

    def _settle_cancelled(self, chunk: Chunk) -> None:
        for start, stop in chunk.batch.cancelled.overlap(chunk.first, chunk.first + chunk.count):
            for part in self._books.backlog.carve(chunk, start, stop):
                self._books.decide(part, JobState.CANCELLED, "cancelled")

    # ------------------------------------------------------------------------------------------ cancel

    def on_cancel(self, client: bytes, cancel: Cancel) -> None:
        """End jobs; those that nobody runs are counted in the answer."""
        batch = self._books.backlog.batches.get(cancel.batch)
        if batch is None:
            self._answer(client, Refused(cancel.number, "NoSuchBatch", f"no batch {cancel.batch.hex()}"))
            return
        if cancel.unstarted_only:
            self.recalls.ask(client, cancel)
            return
        stop = min(cancel.stop, batch.accepted)
        self._answer(client, Cancelled(cancel.number, self._cancel(batch, cancel.start, stop)))

    def _cancel(self, batch: Batch, start: int, stop: int) -> int:
        jobs = 0
        for first in [first for first in batch.firsts if first < stop]:
            chunk = batch.chunks[first]
            for part in self._books.backlog.carve(chunk, start, stop):
                if part.place is not Place.VERDICT:
                    jobs += part.jobs if part.place in NOT_STARTED else 0
                    self._books.cancel(part)
        return jobs + self._books.cancel_on_disk(batch, start, stop)

    def on_forget(self, forget: Forget) -> None:
        """Delete the batch when all of it has ended; what has not is cancelled."""
        batch = self._books.backlog.batches.get(forget.batch)
        if batch is None:
            return
        batch.forget = True
        if batch.total is None:
            batch.total = batch.accepted
        self._cancel(batch, 0, batch.accepted)

    def sweep(self, sink: bytes | None) -> None:
        """Delete the batches that nobody will ask for again."""
        if sink is None:
            return
        for batch in [batch for batch in self._books.backlog.batches.values() if batch.forget and batch.ended]:
            self._books.forget_changes(batch)
            self._books.say(DeleteBatch(batch.id))
            self._books.tell(sink, ForgetBatch(batch.id))
            self._books.backlog.remove_batch(batch)
            self._forgotten[batch.id] = None
            if len(self._forgotten) > FORGOTTEN_BATCHES:
                del self._forgotten[next(iter(self._forgotten))]

    def on_alive(self, alive: Alive, now: float) -> None:
        """Their client still reads them."""
        for batch_id in alive.batches:
            batch = self._books.backlog.batches.get(batch_id)
            if batch is not None:
                batch.alive_at = now

    def expire(self, now: float) -> None:
        """Cancel the maps whose client is gone."""
        for batch in list(self._books.backlog.batches.values()):
            if batch.spec.transient and not batch.forget and now > batch.alive_at + TRANSIENT_TIME:
                self._books.log("map_abandoned", batch=batch.id.hex(), jobs=batch.accepted - batch.done)
                self.on_forget(Forget(batch.id))

    # ------------------------------------------------------------------------------------------ questions

    def on_drain(self, client: bytes, drain: DrainWorker) -> None:
        """Pass it on to the worker of that name."""
        for worker in self._books.workers.values():
            if worker.hello is not None and drain.worker in (worker.hello.name, worker.id.hex()):
                worker.draining = True
                self._books.tell(worker.id, Drain())
                self._answer(client, Done(drain.number))
                return
        text = f"no worker named {drain.worker} is connected: `penstock workers` lists them"
        self._answer(client, Refused(drain.number, "NoSuchWorker", text))

    def on_ask_batches(self, client: bytes, ask: AskBatches) -> None:
        """The newest first."""
        found = self._matching(ask.match)
        lines = tuple(self._line(batch) for batch in found[: ask.limit])
        self._answer(client, BatchesInfo(ask.number, lines))

    def on_ask_digests(self, client: bytes, ask: AskDigests) -> None:
        """They are on disk only."""
        if ask.batch in self._books.backlog.batches:
            self._books.say(ReadDigests(client, ask.number, ask.batch, ask.start))
        else:
            self._answer(client, Refused(ask.number, "NoSuchBatch", f"no batch {ask.batch.hex()}"))

    def _matching(self, match: str) -> list[Batch]:
        newest = sorted(self._books.backlog.batches.values(), key=lambda batch: batch.id, reverse=True)
        if not match:
            return newest
        if match == "last":
            return newest[:1]
        named = [batch for batch in newest if match in (batch.id.hex(), batch.spec.name)][:1]
        by_id = named or [batch for batch in newest if batch.id.hex().startswith(match)]
        return by_id or [batch for batch in newest if batch.id.hex().endswith(match)]

    @staticmethod
    def _line(batch: Batch) -> BatchLine:
        return BatchLine(
            batch.id,
            batch.spec,
            batch.accepted,
            batch.total,
            dict(batch.counts),
            batch.leased,
            batch.created_time,
            batch.function,
        )

    def _answer(self, client: bytes, message: Message) -> None:
        self._books.say(Answer(client, message))
