"""Jobs come in, from clients and from disk, and are cancelled.

Promises:

1. A Submit is accepted whole or refused whole, and answered only by what is committed.
2. The same chunk twice is accepted once. Chunks of a batch are accepted in order; one that leaves a gap is not
   answered, so that its client sends all again.
3. A cancellation is remembered until every job of it has an outcome.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from penstock.job.spans import SpanSet
from penstock.job.spec import LABEL_CHARS, BatchSpec, JobState
from penstock.station.contract import Answer, Bytes, FromClient
from penstock.ventilator.backlog import REFILL_CHUNKS, WINDOW_CHUNKS
from penstock.ventilator.cancel_unstarted import UnstartedCancels
from penstock.ventilator.contract import OpenPart, SaveBatch, SaveChunk, StoredBatch, StoredChunk
from penstock.ventilator.jobs_model import Batch, Chunk, Place
from penstock.ventilator.ledger import Ledger
from penstock.ventilator.placement import Placement
from penstock.ventilator.reads import ChunkLoaded, ChunksLoaded, LoadChunks
from penstock.ventilator.start_conditions import StartConditions
from penstock.ventilator.trouble_notices import TroubleNotices
from penstock.wire.desk_messages import (
    Accepted,
    BatchOpen,
    Cancel,
    Cancelled,
    ChunkHead,
    Known,
    Refused,
    Submit,
    no_such_batch,
)
from penstock.wire.frames import split
from penstock.wire.records import DIGEST_BYTES, Message

FORGOTTEN_BATCHES = 10_000
"""Deleted batches that are still recognised: resends end within seconds."""
YEAR = 365 * 24 * 3600
HORIZON = 10 * YEAR
"""Seconds that a batch may wait for its `not_before`: longer than any pipeline runs, and an end all the same."""
NOT_STARTED = (Place.QUEUED, Place.DELAYED, Place.UNCONFIRMED, Place.ALONE, Place.OPENING)
"""Places of jobs that nobody runs."""


class Intake:
    """Takes jobs in, and out again on request."""

    def __init__(
        self,
        ledger: Ledger,
        start_conditions: StartConditions,
        placement: Placement,
        *,
        pickles: bool = True,
        name_chars: int = LABEL_CHARS,
        deleted: Iterable[tuple[bytes, str, str]] = (),
    ) -> None:
        """`pickles`: whether calls whose arguments are pickles are taken in. `name_chars`: of a name among options.
        `deleted`: what was deleted in former lives, oldest first, and why."""
        self._ledger = ledger
        self.recalls: UnstartedCancels = UnstartedCancels(ledger)
        self._start_conditions = start_conditions
        self._placement = placement
        self._pickles = pickles
        self._name_chars = name_chars
        self._notices = TroubleNotices()
        self.missing: list[str] = []
        """Batches of which the file has less than it should, for people, since somebody looked."""
        self._incomplete: set[bytes] = set()
        """All of these in this life: each is compared with the sink's log once."""
        self.recovered: bool = False
        """Whether what was given out before a restart is known: until then stored chunks are unconfirmed."""
        self.forgotten: dict[bytes, tuple[str, str] | None] = {batch: (kind, why) for batch, kind, why in deleted}
        """Deleted batches, oldest first, and why: what their clients still send again is accepted and dropped."""
        self.words: dict[str, bytes] = {}
        """The batches in memory that were accepted once under a word."""
        for batch in ledger.backlog.batches.values():
            self.remember_word(batch)

    def remember_word(self, batch: Batch) -> None:
        """The batch is in memory."""
        if batch.spec.once:
            self.words[batch.spec.once] = batch.id

    def forget_word(self, batch: Batch) -> None:
        """The batch is not, any more."""
        self.words.pop(batch.spec.once, None)

    def drop(self, batch: Batch) -> None:
        """It is deleted: its word is free, and what its client still sends again is known."""
        self.forget_word(batch)
        self.forgotten[batch.id] = batch.gone
        if len(self.forgotten) > FORGOTTEN_BATCHES:
            del self.forgotten[next(iter(self.forgotten))]

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
        batches, forgotten = self._ledger.backlog.batches, self.forgotten
        new = {one.batch: 0 for one in submit.opens if one.batch not in batches and one.batch not in forgotten}
        ends = self._ends(submit, new)
        if ends is None:
            return
        refused = self._unfit(submit, ends, event.wall_time) or self._refusal(submit, new)
        if refused is not None:
            self._answer(event.client, refused)
            return
        for opened, code in zip(submit.opens, parts, strict=False):
            if opened.batch in new:
                self._open(opened, code, event, now)
        for chunk, arguments in zip(submit.chunks, parts[len(submit.opens) :], strict=True):
            self._accept(chunk, arguments, now)
        for closed in submit.closes:
            known = batches.get(closed.batch)
            if known is not None and known.total is None:
                self._ledger.close(known, closed.total)
        self._ledger.turn.say_last(Answer(event.client, Accepted(submit.number)))
        for notice in self._notices.of(event.client, self._start_conditions.paused):
            self._ledger.turn.say_last(Answer(event.client, notice))

    def _open(self, opened: BatchOpen, code: Bytes, event: FromClient, now: float) -> None:
        spec = replace(opened.spec, owner=event.sender.name, after_met=False, paused_time=None, paused_by="")
        stored = StoredBatch(opened.batch, spec, opened.function, opened.size, event.wall_time, 0, None, {}, None)
        batch = self._ledger.backlog.add_batch(stored)
        self.remember_word(batch)
        self._start_conditions.watch(batch, now)
        self._placement.watch(batch, event.client, now)
        self._ledger.turn.say(SaveBatch(opened.batch, spec, opened.function, code, event.wall_time))
        self._ledger.turn.log("submitted", batch=opened.batch.hex(), name=spec.name, key=spec.owner)
        if not spec.transient:
            self._ledger.turn.keep("submitted", opened.batch, name=spec.name, title=spec.title, key=spec.owner)

    def _unfit(self, submit: Submit, ends: dict[bytes, int], wall_time: float) -> Refused | None:
        """Why nobody could accept it, or not this pipeline."""
        if not self._pickles and any(one.spec.is_pickled for one in submit.opens):
            text = "this pipeline takes no pickles: submit with serializer='msgpack'"
            return Refused(submit.number, "Refused", text)
        longest = max((one.spec.longest_name for one in submit.opens), default=0)
        if longest > self._name_chars:
            text = f"a name of {longest} characters: this pipeline takes {self._name_chars} (--name-chars)"
            return Refused(submit.number, "Refused", text)
        if any(one.spec.not_before_time > wall_time + HORIZON for one in submit.opens):
            text = f"not_before is too far away: a batch may wait {HORIZON // YEAR} years at most"
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
        known: ChainMap[bytes, Any] = ChainMap({}, self._ledger.backlog.batches)
        for opened in submit.opens:
            if opened.batch in new:
                if before := self._accepted_before(submit.number, opened.spec):
                    return before
                if text := self._placement.refusal(opened.spec):
                    return Refused(submit.number, "NoSuchWorker", text)
                if text := self._start_conditions.refusal(opened.batch, opened.spec, known):
                    return Refused(submit.number, "NoSuchBatch", text)
            known[opened.batch] = opened
        return None

    def _accepted_before(self, number: int, spec: BatchSpec) -> Known | Refused | None:
        """The batch that has this one's word."""
        batch = self._ledger.backlog.batches.get(self.words.get(spec.once, b""))
        if batch is None:
            return None
        if batch.spec.call == spec.call:
            return Known(number, batch.id, batch.total is not None)
        text = f"once={spec.once!r}: another call was accepted under this word, as batch {batch.id.hex()}"
        return Refused(number, "OnceMismatch", text)

    def _ends(self, submit: Submit, new: dict[bytes, int]) -> dict[bytes, int] | None:
        """How many jobs its batches have with it, or None: a chunk does not follow what is accepted. Chunks of
        forgotten batches are accepted and dropped."""
        batches = self._ledger.backlog.batches
        ends = {one.batch: batches[one.batch].accepted for one in submit.closes if one.batch in batches} | new
        for chunk in submit.chunks:
            if chunk.batch in self.forgotten:
                continue
            batch = self._ledger.backlog.batches.get(chunk.batch)
            end = ends.get(chunk.batch, batch.accepted if batch is not None else -1)
            if chunk.first > end or chunk.first < end < chunk.first + chunk.count:
                return None
            ends[chunk.batch] = max(end, chunk.first + chunk.count)
        return ends

    def _accept(self, head: ChunkHead, arguments: Bytes, now: float) -> None:
        batch = self._ledger.backlog.batches.get(head.batch)
        if batch is None or head.first < batch.accepted:
            return
        batch.accepted = head.first + head.count
        self._ledger.metrics.accepted(head.count)
        self._ledger.mark_accepted()
        self._ledger.turn.say(SaveChunk(head.batch, head.first, head.count, arguments, head.digests))
        for start, stop in SpanSet(head.cancelled).overlap(head.first, batch.accepted):
            self._ledger.mark_cancelled(batch, start, stop)
        if not batch.on_disk and len(batch.chunks) < WINDOW_CHUNKS:
            batch.loaded_to = batch.accepted
            stored = StoredChunk(head.first, head.count, head.size, (OpenPart(head.first, batch.accepted),))
            self._settle_cancelled(self._ledger.take_in(batch, stored, since=now))
        elif not batch.on_disk:
            self._ledger.backlog.leave_on_disk(batch)
            batch.loaded_to = head.first

    # ------------------------------------------------------------------------------------------ from disk

    def recover(self) -> None:
        """What was given out before a restart is known by now."""
        self.recovered = True
        for batch in self._ledger.backlog.batches.values():
            batch.uncertain = False
            if batch.open_leases is not None:
                batch.open_leases.uncertain = False
        for batch in self._ledger.backlog.batches.values():
            self._ledger.backlog.fair_queue.go_on(batch.open_leases)

    def refill(self) -> None:
        """Ask for more of the batches that run low in memory."""
        for batch in self._ledger.backlog.hungry_batches():
            batch.loading = True
            self._ledger.turn.say(LoadChunks(batch.id, batch.loaded_to, REFILL_CHUNKS))

    def on_chunks_loaded(self, loaded: ChunksLoaded) -> None:
        """The next stretch of a batch came into memory."""
        batch = self._ledger.backlog.batches.get(loaded.batch)
        if batch is None:
            return
        batch.loading = False
        for chunk in loaded.chunks:
            self.load(batch, chunk)
        if len(loaded.chunks) < loaded.limit:
            self._ledger.backlog.has_all(batch)
            batch.loaded_to = batch.accepted
            if batch.id not in self._incomplete and not batch.is_complete:
                self._incomplete.add(batch.id)
                self.missing.append(f"batch {batch.id.hex()}: some of its jobs are in no chunk that is found")
        else:
            last = loaded.chunks[-1]
            batch.loaded_to = last.first + last.count

    def on_chunk_loaded(self, loaded: ChunkLoaded) -> None:
        """One chunk, out of turn: somebody spoke of it."""
        batch = self._ledger.backlog.batches.get(loaded.batch)
        if batch is not None and loaded.chunk is not None:
            self.load(batch, loaded.chunk)

    def load(self, batch: Batch, chunk: StoredChunk) -> None:
        """Take a chunk into memory, if it is not there."""
        if chunk.first in batch.chunks:
            return
        self._settle_cancelled(self._ledger.take_in(batch, chunk, unconfirmed=not self.recovered))

    def _settle_cancelled(self, chunk: Chunk) -> None:
        for start, stop in chunk.batch.cancelled.overlap(chunk.first, chunk.first + chunk.count):
            for part in self._ledger.backlog.carve(chunk, start, stop):
                if part.place not in (Place.VERDICT, Place.OPENING):
                    self._ledger.decide(part, JobState.CANCELLED, "cancelled")

    # ------------------------------------------------------------------------------------------ cancel

    def on_cancel(self, client: bytes, cancel: Cancel) -> None:
        """End jobs; those that nobody runs are counted in the answer."""
        batch = self._ledger.backlog.batches.get(cancel.batch)
        if batch is None:
            self._answer(client, no_such_batch(cancel.number, cancel.batch))
            return
        if cancel.unstarted_only:
            self.recalls.ask(client, cancel)
            return
        stop = min(cancel.stop, batch.accepted)
        self._answer(client, Cancelled(cancel.number, self.cancel(batch, cancel.start, stop)))

    def cancel(self, batch: Batch, start: int, stop: int) -> int:
        """End these jobs; returns how many nobody runs."""
        jobs = 0
        for first in [first for first in batch.firsts if first < stop]:
            chunk = batch.chunks[first]
            for part in self._ledger.backlog.carve(chunk, start, stop):
                if part.place is Place.VERDICT:
                    continue
                jobs += part.jobs if part.place in NOT_STARTED else 0
                if part.place is Place.OPENING:
                    self._ledger.mark_cancelled(batch, part.start, part.stop)  # as soon as it is open
                else:
                    self._ledger.cancel(part, may_have_ended=part.place is Place.LEASED)
        return jobs + self._ledger.cancel_on_disk(batch, start, stop)

    def _answer(self, client: bytes, message: Message) -> None:
        self._ledger.turn.say(Answer(client, message))
