"""Clients ask: submit, cancel, forget, and questions about how things stand.

Promises:

1. A Submit is accepted whole or refused whole, and answered only by what is committed.
2. The same chunk twice is accepted once. Chunks of a batch are accepted in order; one that leaves a gap is not
   answered, so that its client sends all again.
3. A cancellation is remembered until every job of it has an outcome.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

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
    SaveEnded,
    SaveForgotten,
    SaveTotal,
)
from penstock.core.backlog import REFILL_CHUNKS, WINDOW_CHUNKS, Batch, Chunk, Place
from penstock.core.books import Books
from penstock.core.gates import Gates
from penstock.core.inputs import Bytes, ChunkLoaded, ChunksLoaded, FromClient, StoredBatch, StoredChunk
from penstock.core.placement import Placement
from penstock.core.recall import Recalls
from penstock.job import BatchSpec, JobState
from penstock.messages import (
    DIGEST_BYTES,
    Accepted,
    Alive,
    AskBatches,
    AskDigests,
    BatchesInfo,
    BatchLine,
    BatchOpen,
    Cancel,
    Cancelled,
    ChunkHead,
    Delete,
    Done,
    Drain,
    DrainWorker,
    Forget,
    ForgetBatch,
    Known,
    Message,
    Refused,
    Submit,
    split,
)

FORGOTTEN_BATCHES = 10_000
"""Deleted batches that are still recognised: resends end within seconds."""
FORGET_AT_ONCE = 100
"""Deleted batches that a sink is told of at once: it has them gone before it is told again."""
NOT_STARTED = (Place.QUEUED, Place.DELAYED, Place.LIMBO, Place.ALONE, Place.OPENING)
"""Places of jobs that nobody runs."""


class Intake:
    """Takes jobs in, and out again on request."""

    def __init__(
        self,
        books: Books,
        gates: Gates,
        placement: Placement,
        forgotten: Iterable[bytes] = (),
        transient_time: float = TRANSIENT_TIME,
        *,
        pickles: bool = True,
    ) -> None:
        """`pickles`: whether calls whose arguments are pickles are taken in."""
        self._books = books
        self.recalls = Recalls(books)
        self._gates = gates
        self._placement = placement
        self._transient_time = transient_time
        self._pickles = pickles
        self.recovered = False
        """Whether what was given out before a restart is known: until then stored chunks wait in limbo."""
        self._forgotten: dict[bytes, None] = {}
        """Batches deleted in this life, oldest first: what their clients still send again is accepted and dropped."""
        self._words: dict[str, bytes] = {}
        """The batches that were accepted once under a word, for as long as they are here."""
        for batch in books.backlog.batches.values():
            self._remember_word(batch)
        self._unconfirmed = dict.fromkeys(forgotten)
        """Deleted batches that the sink may still have."""
        self._deletions: dict[bytes, list[tuple[bytes, int]]] = {}
        """Who, under which number, waits for a batch to be gone."""

    def _remember_word(self, batch: Batch) -> None:
        if batch.spec.once:
            self._words[batch.spec.once] = batch.id

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
        parts = split(payload, [one.size for one in submit.opens] + [one.size for one in submit.chunks])
        batches, forgotten = self._books.backlog.batches, self._forgotten
        new = {one.batch: 0 for one in submit.opens if one.batch not in batches and one.batch not in forgotten}
        ends = self._ends(submit, new)
        if ends is None:
            return
        refused = self._unfit(submit, ends) or self._refusal(submit, new)
        if refused is not None:
            self._answer(event.client, refused)
            return
        for opened, code in zip(submit.opens, parts, strict=False):
            if opened.batch in new:
                self._open(opened, code, event, now)
        for chunk, arguments in zip(submit.chunks, parts[len(submit.opens) :], strict=True):
            self._accept(chunk, arguments)
        for closed in submit.closes:
            known = batches.get(closed.batch)
            if known is not None and known.total is None:
                known.total = closed.total
                self._books.say(SaveTotal(known.id, closed.total))
        self._books.say_last(Answer(event.client, Accepted(submit.number)))

    def _open(self, opened: BatchOpen, code: Bytes, event: FromClient, now: float) -> None:
        spec = replace(opened.spec, owner=event.sender.name)
        stored = StoredBatch(opened.batch, spec, opened.function, opened.size, event.wall_time, 0, None, {}, None)
        batch = self._books.backlog.add_batch(stored)
        batch.alive_at = now
        self._remember_word(batch)
        self._gates.watch(batch, now)
        self._placement.watch(batch, event.client, now)
        self._books.say(SaveBatch(opened.batch, spec, opened.function, code, event.wall_time))

    def _unfit(self, submit: Submit, ends: dict[bytes, int]) -> Refused | None:
        """Why nobody could accept it, or not this pipeline."""
        if not self._pickles and any(one.spec.is_pickled for one in submit.opens):
            text = "this pipeline takes no pickles: submit with serializer='msgpack'"
            return Refused(submit.number, "Refused", text)
        if any(len(one.digests) not in {0, one.count * DIGEST_BYTES} for one in submit.chunks):
            return Refused(submit.number, "ProtocolError", "a chunk with digests of another length")
        for closed in submit.closes:
            if closed.batch in ends and closed.total < ends[closed.batch]:
                text = f"batch {closed.batch.hex()} cannot end at {closed.total} jobs: it has {ends[closed.batch]}"
                return Refused(submit.number, "Refused", text)
        return None

    def _refusal(self, submit: Submit, new: dict[bytes, int]) -> Refused | Known | None:
        """Why not to accept it: a batch that asks for what is not here, or is here already."""
        known = set(self._books.backlog.batches)
        for opened in submit.opens:
            if opened.batch in new:
                if before := self._accepted_before(submit.number, opened.spec):
                    return before
                if text := self._placement.refusal(opened.spec):
                    return Refused(submit.number, "NoSuchWorker", text)
                if text := self._gates.refusal(opened.batch, opened.spec, known):
                    return Refused(submit.number, "NoSuchBatch", text)
            known.add(opened.batch)
        return None

    def _accepted_before(self, number: int, spec: BatchSpec) -> Known | Refused | None:
        """The batch that has this one's word."""
        batch = self._books.backlog.batches.get(self._words.get(spec.once, b""))
        if batch is None:
            return None
        if batch.spec.call == spec.call:
            return Known(number, batch.id, batch.total is not None)
        text = f"once={spec.once!r}: another call was accepted under this word, as batch {batch.id.hex()}"
        return Refused(number, "OnceMismatch", text)

    def _ends(self, submit: Submit, new: dict[bytes, int]) -> dict[bytes, int] | None:
        """How many jobs its batches have with it, or None: a chunk does not follow what is accepted. Chunks of
        forgotten batches are accepted and dropped."""
        batches = self._books.backlog.batches
        ends = {one.batch: batches[one.batch].accepted for one in submit.closes if one.batch in batches} | new
        for chunk in submit.chunks:
            if chunk.batch in self._forgotten:
                continue
            batch = self._books.backlog.batches.get(chunk.batch)
            end = ends.get(chunk.batch, batch.accepted if batch is not None else -1)
            if chunk.first > end:
                return None
            ends[chunk.batch] = max(end, chunk.first + chunk.count)
        return ends

    def _accept(self, head: ChunkHead, arguments: Bytes) -> None:
        batch = self._books.backlog.batches.get(head.batch)
        if batch is None or head.first < batch.accepted:
            return
        batch.accepted = head.first + head.count
        self._books.say(SaveChunk(head.batch, head.first, head.count, arguments, head.digests))
        if not batch.on_disk and len(batch.chunks) < WINDOW_CHUNKS:
            batch.loaded_to = batch.accepted
            stored = StoredChunk(head.first, head.count, head.size, (OpenPart(head.first, batch.accepted),))
            self._settle_cancelled(self._books.take_in(batch, stored))
        elif not batch.on_disk:
            batch.on_disk = True
            batch.loaded_to = head.first

    # ------------------------------------------------------------------------------------------ from disk

    def recover(self) -> None:
        """What was given out before a restart is known by now."""
        self.recovered = True
        for batch in self._books.backlog.batches.values():
            batch.uncertain = False
            if batch.queue:
                self._books.backlog.turns.join(batch)

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
            self.load(batch, chunk)
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
            self.load(batch, loaded.chunk)

    def load(self, batch: Batch, chunk: StoredChunk) -> None:
        """Take a chunk into memory, if it is not there."""
        if chunk.first in batch.chunks:
            return
        self._settle_cancelled(self._books.take_in(batch, chunk, limbo=not self.recovered))

    def _settle_cancelled(self, chunk: Chunk) -> None:
        for start, stop in chunk.batch.cancelled.overlap(chunk.first, chunk.first + chunk.count):
            for part in self._books.backlog.carve(chunk, start, stop):
                if part.place not in (Place.VERDICT, Place.OPENING):
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
                if part.place is Place.VERDICT:
                    continue
                jobs += part.jobs if part.place in NOT_STARTED else 0
                if part.place is Place.OPENING:
                    self._books.mark_cancelled(batch, part.start, part.stop)  # as soon as it is open
                else:
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
            self._books.say(SaveTotal(batch.id, batch.total))
        self._cancel(batch, 0, batch.accepted)

    def on_delete(self, client: bytes, delete: Delete) -> None:
        """As `on_forget`, with an answer when it is gone."""
        if delete.batch in self._forgotten:
            self._answer(client, Done(delete.number))
        elif delete.batch not in self._books.backlog.batches:
            self._answer(client, Refused(delete.number, "NoSuchBatch", f"no batch {delete.batch.hex()}"))
        else:
            self._deletions.setdefault(delete.batch, []).append((client, delete.number))
            self.on_forget(Forget(delete.batch))

    def on_forgotten(self, batch: bytes) -> None:
        """The sink has nothing of it any more."""
        if batch in self._unconfirmed:
            del self._unconfirmed[batch]
            self._books.say(SaveForgotten(batch))

    def forget_again(self, sink: bytes) -> None:
        """Tell the sink what it may still have."""
        for batch in islice(self._unconfirmed, FORGET_AT_ONCE):
            self._books.tell(sink, ForgetBatch(batch))

    def sweep(self, sink: bytes | None) -> None:
        """Delete the batches that nobody will ask for again."""
        done = [batch for batch in self._books.backlog.batches.values() if batch.forget and batch.ended]
        for batch in [batch for batch in done if not self._gates.keeps(batch)]:
            self._books.forget_changes(batch)
            self._books.say(DeleteBatch(batch.id))
            if sink is not None:
                self._books.tell(sink, ForgetBatch(batch.id))
            self._books.backlog.remove_batch(batch)
            self._words.pop(batch.spec.once, None)
            self._unconfirmed[batch.id] = self._forgotten[batch.id] = None
            for client, number in self._deletions.pop(batch.id, []):
                self._books.say_last(Answer(client, Done(number)))
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
            if batch.spec.transient and not batch.forget and now > batch.alive_at + self._transient_time:
                self._books.log("map_abandoned", batch=batch.id.hex(), jobs=batch.accepted - batch.done)
                self.on_forget(Forget(batch.id))

    def retire(self, wall_time: float) -> None:
        """Forget the batches whose results were kept for long enough."""
        for batch in list(self._books.backlog.batches.values()):
            if batch.ended is (batch.ended_time is None):
                batch.ended_time = wall_time if batch.ended else None
                self._books.say(SaveEnded(batch.id, batch.ended_time))
            elif batch.ended_time is not None and wall_time > batch.ended_time + batch.spec.retain and not batch.forget:
                self._books.log("results_expired", batch=batch.id.hex(), jobs=batch.done)
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

    def _line(self, batch: Batch) -> BatchLine:
        return BatchLine(
            batch=batch.id,
            spec=batch.spec,
            accepted=batch.accepted,
            total=batch.total,
            counts=dict(batch.counts),
            leased=batch.leased,
            created_time=batch.created_time,
            waits=self._gates.shut(batch) or self._placement.missing(batch),
            function=batch.function,
        )

    def _answer(self, client: bytes, message: Message) -> None:
        self._books.say(Answer(client, message))
