"""When a batch may begin or go on, and when it may not any more.

Promises:

1. A batch is held, all its queued jobs delayed, until its not_before has come and every job of the batch it is to come
   after has succeeded. If one of those has not, in the end, the batch is cancelled with that cause.
   That it has succeeded is kept with the batch: the first one can be deleted from then on, and a batch that waits for
   another one never holds it, whoever submitted it.
2. A job that has not started when its batch expires is cancelled, wherever it waits: what a worker has not started is
   asked back for that. A job that has started runs on, retries included.
3. No job of a paused batch is given out, retries and what a user opens again included; nor any job while the whole
   pipeline is paused. What a worker has not started is asked back, again and again until it is back, has started or
   may start again. So from a pause on only such jobs start as a worker had before it heard of that. What runs goes on.
4. A pause outlasts restarts. All that could be done to the batch, or come after it, can still be.
5. Instants of users are wall clock and stay so; the core's own clock only says how far it has moved. What has begun or
   expired stays so if the wall clock is set back.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Container
from datetime import UTC, datetime

from msgspec.structs import replace

from penstock.job.spec import BatchSpec, JobState
from penstock.ventilator.contract import NOT_PAUSED, PipelinePause, SavePause, SaveSpec
from penstock.ventilator.jobs_model import Batch, Place
from penstock.ventilator.ledger import Ledger
from penstock.wire.bounds import RESEND

EXPIRED = "expired before it started"
LEFT = 100
"""Instants that may be of batches which are gone, beside as many as of others: to sort them out costs as much as there
are."""
ALL_JOBS = 2**63 - 1
"""Beyond what any lease has."""


def pause_in_words(what: str, since: float | None, by: str, name: str = "") -> str:
    """For people: that this is paused, by whom and since when, and what ends it; empty: it is not paused."""
    if since is None:
        return ""
    who = f" by {by}" if by else ""
    command = f"penstock resume {name}".rstrip()
    return f"{what} is paused{who} since {datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M:%S} UTC (`{command}`)"


def _pause_of(batch: Batch) -> PipelinePause:
    return PipelinePause(batch.spec.paused_time, batch.spec.paused_by)


class StartConditions:
    """Opens batches when they may begin, and closes them for good."""

    def __init__(self, ledger: Ledger, now: float, pause: PipelinePause = NOT_PAUSED) -> None:
        self._ledger = ledger
        self._pause = pause
        self._due: list[tuple[float, int, Batch]] = []
        """Heap of (wall-clock instant, serial, batch): when to look at a batch again, if it is in memory."""
        self._left = 0
        """So many of these instants, at most, are of batches that are not."""
        self._serial = itertools.count()
        self._awaiting: dict[bytes, list[Batch]] = {}
        """Batches that are to come after another one, by its id, as long as that has not ended."""
        self._not_to_begin: dict[bytes, float] = {}
        """Those of which workers may hold what is not to start, and when that was last asked back."""
        self._outdated: dict[bytes, int] = {}
        """Batches of which leases with a smaller number than this are to be given out anew."""
        for batch in ledger.backlog.batches.values():
            self.watch(batch, now)

    def refusal(self, batch_id: bytes, spec: BatchSpec, known: Container[bytes]) -> str:
        """Why not to accept a batch that is to come after another one, of those `known`; empty: it can."""
        if not spec.after or (spec.after in known and spec.after != batch_id):
            return ""
        return f"no batch {spec.after.hex()}: jobs can only come after a batch that is here"

    def watch(self, batch: Batch, now: float) -> None:
        """A batch comes into memory. If it has ended, only a user's retry opens it again: it waits for no other."""
        if batch.spec.after and not batch.spec.after_met and not batch.ended:
            self._awaiting.setdefault(batch.spec.after, []).append(batch)
        for instant in (batch.spec.not_before_time, batch.spec.expires_time):
            if instant:
                heapq.heappush(self._due, (instant, next(self._serial), batch))
        self._look(batch, now)

    def leave(self, batch: Batch) -> None:
        """A batch leaves the memory."""
        if self._is_awaiting(batch):
            self._awaiting[batch.spec.after].remove(batch)
        self._left += bool(batch.spec.not_before_time) + bool(batch.spec.expires_time)
        if self._left > len(self._due) / 2 + LEFT:
            batches, self._left = self._ledger.backlog.batches, 0
            self._due = [due for due in self._due if batches.get(due[2].id) is due[2]]
            heapq.heapify(self._due)

    def keeps(self, batch: Batch) -> bool:
        """Whether others come after it, and do not know yet how it ended."""
        return batch.id in self._awaiting

    def shut(self, batch: Batch) -> str:
        """What a batch that may not begin waits for, for people; empty: it may."""
        if not batch.held:
            return ""
        if paused := self.paused or pause_in_words("the batch", *_pause_of(batch), batch.id.hex()):
            return paused
        if self._is_awaiting(batch):
            first = self._ledger.backlog.batches.get(batch.spec.after)
            if first is not None and first.total is None:
                return f"it comes after batch {batch.spec.after.hex()}, which still takes in jobs"
            told = "" if first is None else f": {first.done} of {first.total} jobs have ended"
            return f"it comes after batch {batch.spec.after.hex()}{told}"
        begin = datetime.fromtimestamp(batch.spec.not_before_time, UTC)
        return f"it may not begin before {begin:%Y-%m-%d %H:%M:%S} UTC"

    @property
    def paused(self) -> str:
        """By whom and since when the whole pipeline is paused, for people; empty: it is not."""
        return pause_in_words("the pipeline", *self._pause)

    def set_pause(self, pause: PipelinePause, now: float) -> None:
        """The whole pipeline is paused, or goes on."""
        if (pause.time is None) is (self._pause.time is None):
            return
        self._pause = pause
        self._ledger.turn.say(SavePause(*pause))
        for batch in self._ledger.backlog.batches.values():
            self._hold(batch, now)

    def set_batch_pause(self, batch: Batch, pause: PipelinePause, now: float) -> None:
        """A batch is paused, or goes on."""
        if (pause.time is None) is (batch.spec.paused_time is None):
            return
        batch.spec = replace(batch.spec, paused_time=pause.time, paused_by=pause.by)
        self._ledger.turn.say(SaveSpec(batch.id, batch.spec))
        self._hold(batch, now)

    def give_anew(self, batch: Batch, now: float) -> None:
        """What workers have not started of it was given to them on other terms: they are asked for it."""
        self._outdated[batch.id] = self._ledger.leases.next_number
        self._recall(batch, now)

    def next_wakeup(self) -> float | None:
        """When `tick` has something to do, on the core's clock."""
        return self._due[0][0] - self._ledger.wall_clock.offset if self._due else None

    def tick(self, now: float) -> None:
        """Open and close what is due."""
        while self._due and self._due[0][0] <= now + self._ledger.wall_clock.offset:
            batch = heapq.heappop(self._due)[2]
            if self._ledger.backlog.batches.get(batch.id) is batch:
                self._look(batch, now)
        for first_id in list(self._awaiting):
            first = self._ledger.backlog.batches.get(first_id)
            if first is None or first.ended:
                for batch in self._awaiting.pop(first_id):
                    self._come_after(batch, first, now)
        for batch_id in [key for key, asked_at in self._not_to_begin.items() if now >= asked_at + RESEND]:
            late = self._ledger.backlog.batches.get(batch_id)
            if (
                late is None
                or late.ended
                or not (late.cancel_reason or self._is_paused(late) or self._has_outdated(late))
            ):
                del self._not_to_begin[batch_id]
                self._outdated.pop(batch_id, None)
            else:
                self._recall(late, now)

    def _is_paused(self, batch: Batch) -> bool:
        return self._pause.time is not None or batch.spec.paused_time is not None

    def _has_outdated(self, batch: Batch) -> bool:
        before = self._outdated.get(batch.id, 0)
        return any(lease.number < before for lease in self._ledger.leases.of_batch(batch))

    def _is_awaiting(self, batch: Batch) -> bool:
        return batch in self._awaiting.get(batch.spec.after, ())

    def _come_after(self, batch: Batch, first: Batch | None, now: float) -> None:
        """The batch that this one is to come after has ended."""
        if first is None:
            self._never_begin(batch, f"batch {batch.spec.after.hex()}, which it was to come after, is gone", now)
        elif first.counts.get(JobState.SUCCEEDED, 0) != first.total:
            others = [f"{jobs} {state}" for state, jobs in sorted(first.counts.items()) if state != JobState.SUCCEEDED]
            told = f"{', '.join(others)} of {first.total} jobs"
            was = "was deleted before it had succeeded" if first.gone else "did not succeed"
            self._never_begin(batch, f"batch {first.id.hex()} {was}: {told}", now)
        else:
            batch.spec = replace(batch.spec, after_met=True)
            self._ledger.turn.say(SaveSpec(batch.id, batch.spec))
        self._look(batch, now)

    def _look(self, batch: Batch, now: float) -> None:
        wall, spec = now + self._ledger.wall_clock.offset, batch.spec
        if spec.expires_time is not None and spec.expires_time <= wall:
            self._never_begin(batch, EXPIRED, now)
        batch.early = not batch.cancel_reason and (spec.not_before_time > wall or self._is_awaiting(batch))
        self._hold(batch, now)

    def _hold(self, batch: Batch, now: float) -> None:
        """Hold it, or let it go on."""
        was_held, batch.held = batch.held, batch.early or self._is_paused(batch)
        if batch.held and not was_held:
            self._ledger.hold_back(batch)
        elif was_held and not batch.held:
            self._ledger.let_go_on(batch)
        if self._is_paused(batch):
            self._recall(batch, now)

    def _never_begin(self, batch: Batch, cause: str, now: float) -> None:
        """What has not started never will."""
        if batch.cancel_reason:
            return
        batch.cancel_reason = cause
        for part in batch.parts():
            if part.place in {Place.QUEUED, Place.DELAYED}:
                self._ledger.cancel_unstarted(part)
        self._recall(batch, now)

    def _recall(self, batch: Batch, now: float) -> None:
        """Have handed back what workers have not started: of a batch that has expired, what never had; of one that is
        paused, retries too; else what was given out on other terms."""
        self._not_to_begin[batch.id] = now
        if not batch.leased:
            return
        leases = self._ledger.leases.records
        before = ALL_JOBS if self._is_paused(batch) else self._outdated.get(batch.id, 0)
        asked: dict[bytes, set[int]] = {}
        for part in batch.parts():
            worker = leases[part.lease].worker if part.lease else None
            is_late = part.lease < before or (bool(batch.cancel_reason) and part.fresh)
            if worker is not None and is_late and not worker.runs(part):
                asked.setdefault(worker.id, set()).add(part.lease)
        for worker_id, numbers in asked.items():
            self._ledger.hand_backs.ask_unawaited(worker_id, ALL_JOBS, sorted(numbers))
