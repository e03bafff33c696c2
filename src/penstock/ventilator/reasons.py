"""Why a job does not run, or where it does, in plain words.

Promises:

1. Every open job has a reason, the one that must end first; a job that has ended has none.
2. Asking changes nothing.
"""

from __future__ import annotations

from penstock.ventilator.job_states import running_at
from penstock.ventilator.jobs_model import NEVER_DUE, Batch, Part, Place
from penstock.ventilator.known_worker import Worker
from penstock.ventilator.ledger import Ledger
from penstock.ventilator.placement import Placement
from penstock.ventilator.start_conditions import StartConditions
from penstock.ventilator.start_failures import StartFailures


class Reasons:
    """Words what the ledger say of one job."""

    def __init__(
        self,
        ledger: Ledger,
        start_conditions: StartConditions,
        placement: Placement,
        start_failures: StartFailures,
    ) -> None:
        self._ledger = ledger
        self._start_conditions = start_conditions
        self._placement = placement
        self._start_failures = start_failures

    def why(self, batch: Batch, index: int, now: float) -> str:
        """What an open job waits for or who has it; empty: it has ended."""
        chunk = batch.chunk_at(index)
        if chunk is None:
            return self._why_not_given(batch, index, now) if batch.on_file(index) else ""
        for part in chunk.parts:
            if part.start <= index < part.stop:
                return self._of_part(part, index, now)
        return ""

    def _of_part(self, part: Part, index: int, now: float) -> str:
        match part.place:
            case Place.LEASED:
                return self._with_whom(part, index, now)
            case Place.DELAYED if part.due_at != NEVER_DUE:
                seconds = max(0.0, part.due_at - now)
                return f"attempt {part.stamp.attempt - 1} failed: it waits {seconds:.1f} s before the next one"
            case Place.UNCONFIRMED:
                return "whoever had it is lost, or was before a restart: it waits until all that the sink has is known"
            case Place.OPENING:
                return "it was opened again: it waits for the sink to record that"
            case Place.VERDICT:
                cause = part.verdict[1] if part.verdict is not None else ""
                return f"it will not run ({cause}): it waits for the sink to record that"
            case _:
                return self._why_not_given(part.chunk.batch, index, now)

    def _with_whom(self, part: Part, index: int, now: float) -> str:
        lease = self._ledger.leases.records[part.lease]
        since = f"for {max(0.0, now - lease.given_at):.1f} s"
        if lease.worker is None or lease.worker.hello is None:
            return f"it is on its way to a worker, {since}"
        hello = lease.worker.hello
        where = f"worker {hello.name} on {hello.host}"
        if any(of == part.chunk.batch.id and span[0] <= index < span[1] for of, span in lease.worker.finished):
            said = f"it has ended at {where}, and its outcome is not recorded yet"
            return f"{said}: {lease.worker.broken}" if lease.worker.broken else said
        running = running_at(lease.worker, self._ledger)
        if not any(one.part is part and one.job == index for one in running):
            return f"it waits for a slot at {where}, which has had it {since}"
        if (slot := lease.worker.in_slots.get((lease.number, index))) is not None:
            return f"it runs at {where} for {max(0.0, now - slot[1]):.1f} s"
        return f"it runs at {where}, which has had it {since}"

    def _why_not_given(self, batch: Batch, index: int, now: float) -> str:
        if shut := self._start_conditions.shut(batch):
            return shut
        if missing := self._placement.missing(batch):
            return f"{missing}: it waits for that"
        if batch.uncertain or (batch.open_leases is not None and batch.open_leases.uncertain):
            return "the ventilator was restarted: it waits until it is known what workers have of its batch"
        if batch.is_full:
            whose = "view" if batch.spec.limit_group else "batch"
            return f"its {whose} has reached its limit of {batch.spec.limit} at once"
        able = [
            one for one in self._ledger.workers.values() if one.present and one.fits(batch.terms) and not one.broken
        ]
        if not able:
            return "no worker is connected"
        reasons = (self._start_failures.of_batch(batch, now), self._busy(able), self._before(batch, index))
        return "; ".join(filter(None, reasons))

    @staticmethod
    def _busy(able: list[Worker]) -> str:
        draining = sum(worker.draining for worker in able)
        if draining == len(able):
            return "all workers that may run it are draining"
        slots = sum(worker.slots for worker in able)
        return f"the {slots} slots that may run it are taken" if slots != 1 else "the one slot that may run it is taken"

    def _before(self, batch: Batch, index: int) -> str:
        """What is given out before this job."""
        others = [one for one in self._ledger.backlog.batches.values() if one is not batch and not one.held]
        priority = batch.spec.priority
        higher = sum(_waiting(one) for one in others if one.spec.priority > priority)
        alike = sum(1 for one in others if one.spec.priority == priority and _waiting(one))
        earlier = min(index, _waiting(batch))
        return (
            f"{higher} jobs of higher priority go first, {earlier} of its own batch at most,"
            f" and {alike} batches of its priority take turns with it"
        )


def _waiting(batch: Batch) -> int:
    """Jobs that are not given out and have not ended."""
    return batch.accepted - batch.done - batch.leased
