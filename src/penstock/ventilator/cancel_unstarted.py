"""Cancelling what has not started: also what waits at a worker, and without harm to what runs.

Promises:

1. A recalled job is never started any more: it is cancelled as soon as nobody runs it, whatever brings it back.
2. The answer counts a job only when it was never started and never will be, and comes once it is known of each job, or
   after RECALL_PATIENCE with what is known. Not counted: a retry that waits, which was started before; and what may
   have been, by a worker that was lost, that its lease never seemed to reach, or that a former life of the ventilator
   gave it to.
3. A worker is asked only for leases that it has reported, so that it never answers for what is still on its way to it;
   without an answer it is asked again.
"""

from __future__ import annotations

from penstock.job.spec import JobState
from penstock.station.contract import Answer
from penstock.ventilator.jobs_model import Batch, Part, Place, UnstartedCancel
from penstock.ventilator.ledger import Ledger
from penstock.ventilator.reads import LoadChunk
from penstock.wire.bounds import RECALL_PATIENCE, RESEND
from penstock.wire.desk_messages import Cancel, Cancelled
from penstock.wire.messages import HandedBack
from penstock.wire.records import LeaseSpan


class UnstartedCancels:
    """The requests that are open."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._early: dict[tuple[bytes, int], Cancel] = {}
        """Came before it was known what had been given out before a restart, by (client, number)."""
        self._open: dict[tuple[bytes, int], UnstartedCancel] = {}
        """By (client, number), too."""
        self.absent: set[tuple[bytes, int]] = set()
        """Jobs, as (batch, index), that were looked for in this turn and have ended."""

    def ask(self, client: bytes, cancel: Cancel) -> None:
        """Begun at the end of the turn, or of the recovery; said again, it changes nothing."""
        if (client, cancel.number) not in self._open:
            self._early[client, cancel.number] = cancel

    def on_handed_back(self, back: HandedBack) -> None:
        """What of the spans of this request has not come back has started."""
        for span in self._ledger.hand_backs.recalled(back.worker, back.number):
            lease = self._ledger.leases.records.get(span.lease)
            if lease is not None and lease.worker is not None and lease.worker.id == back.worker:
                for part in self._ledger.backlog.carve(lease.chunk, span.start, span.stop):
                    if part.lease == span.lease:
                        part.answer_recalls(cancelled=False)

    def tick(self, now: float) -> None:
        """Begin what was asked, ask the workers, answer what is known."""
        early, self._early = self._early, {}
        for (client, number), cancel in early.items():
            batch = self._ledger.backlog.batches.get(cancel.batch)
            if batch is not None and self._must_look(batch, cancel):
                self._early[client, number] = cancel
                self._ledger.turn.say(LoadChunk(batch.id, cancel.start))
                continue
            cancel_request = self._open[client, number] = UnstartedCancel(now + RECALL_PATIENCE)
            if batch is not None:
                self._begin(batch, cancel.start, min(cancel.stop, batch.accepted), cancel_request)
        self.absent = set()
        if self._ledger.recalled_leases:
            self._ask_workers(now)
        for (client, number), cancel_request in list(self._open.items()):
            if cancel_request.open == 0 or now >= cancel_request.until:
                del self._open[client, number]
                self._ledger.turn.say(Answer(client, Cancelled(number, cancel_request.jobs)))

    def _must_look(self, batch: Batch, cancel: Cancel) -> bool:
        """Whether one job is meant, a Future's, that may be open on disk or may have ended."""
        start = cancel.start
        is_out = batch.chunk_at(start) is None and batch.on_file(start) and (batch.id, start) not in self.absent
        return cancel.stop == start + 1 and is_out

    def _begin(self, batch: Batch, start: int, stop: int, cancel_request: UnstartedCancel) -> None:
        for first in [first for first in batch.firsts if first < stop]:
            for part in self._ledger.backlog.carve(batch.chunks[first], start, stop):
                self._recall(part, cancel_request)
        if stop > start + 1 or (batch.id, start) not in self.absent:
            self._ledger.cancel_on_disk(batch, start, min(stop, batch.inherited))
            cancel_request.jobs += self._ledger.cancel_on_disk(batch, max(start, batch.inherited), stop)

    def _recall(self, part: Part, cancel_request: UnstartedCancel) -> None:
        if part.place is Place.VERDICT:
            is_cancelled = part.verdict is not None and part.verdict[0] is JobState.CANCELLED
            cancel_request.jobs += part.jobs if is_cancelled and part.is_untouched else 0
            return
        part.recalled = True
        self._ledger.turn.touch(part.chunk)
        part.recalls += (cancel_request,)
        cancel_request.open += part.jobs
        if part.place is Place.LEASED:
            self._ledger.recalled_leases[part.lease] = None
        elif part.place is Place.OPENING:
            self._ledger.mark_cancelled(part.chunk.batch, part.start, part.stop)  # as soon as it is open
        elif part.place is not Place.UNCONFIRMED:  # an unconfirmed job may run: whoever has it will say so
            self._ledger.cancel(part)

    def _ask_workers(self, now: float) -> None:
        wanted: dict[bytes, list[LeaseSpan]] = {}
        for number, asked_at in list(self._ledger.recalled_leases.items()):
            lease = self._ledger.leases.records.get(number)
            if asked_at is not None and lease is not None and now < asked_at + RESEND:
                continue
            parts = [part for part in lease.parts if part.recalls] if lease else []
            if lease is None or not parts:
                del self._ledger.recalled_leases[number]
            elif lease.worker is not None and lease.taken:
                self._ledger.recalled_leases[number] = now
                spans = wanted.setdefault(lease.worker.id, [])
                spans += [LeaseSpan(number, part.start, part.stop) for part in parts]
        for worker, spans in wanted.items():
            self._ledger.hand_backs.recall(worker, spans)
        if not self._ledger.recalled_leases:
            self._ledger.hand_backs.forget_recalls()
