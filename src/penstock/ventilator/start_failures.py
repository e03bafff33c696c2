"""Workers that could not start a job, where others may run it: its program is not there, or there is no process left.

Promises:

1. That is the host's failure, and no attempt of the job: it is given to others that may run it first.
2. Meanwhile, for PAUSE seconds, its worker is given nothing of that batch; then it is tried again. Who asks is told.
3. Where nobody else is left, all of them may run it again, and what cannot be started now has failed.
"""

from __future__ import annotations

from itertools import islice

from penstock.ventilator.jobs_model import ANY, Batch
from penstock.ventilator.known_worker import Worker
from penstock.ventilator.ledger import Ledger

LOOK_INTERVAL = 0.1
"""Seconds between two looks at who is left for what is paused."""
CAUSE_CHARS = 400
"""Of what a worker says."""
NAMED = 3
"""Workers that are named to who asks why a job waits."""
PAUSE = 30.0
"""Seconds: somebody who installs what is missing is not waited for much longer, and a try costs a lease."""


class StartFailures:
    """Which worker is not given which batch."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._paused: dict[bytes, dict[bytes, tuple[float, str]]] = {}
        """By batch: workers that could not start its jobs, until when they are given none, and why."""
        self._tried: dict[bytes, float] = {}
        """Batches that nobody could start, and until when that is believed."""
        self._has_others: dict[bytes, bool] = {}
        """By batch, in this turn: whether more than one worker may run it."""
        self._look_at = 0.0

    def add(self, worker: Worker, batch: Batch, cause: str, now: float) -> None:
        """This one could not start a job of the batch."""
        paused = self._paused.setdefault(batch.id, {})
        if worker.id not in paused and worker.hello is not None:
            names = {"worker": worker.hello.name, "host": worker.hello.host, "batch": batch.id.hex()}
            self._ledger.turn.log("not_started", **names, reason=cause)
        paused[worker.id] = (now + PAUSE, cause[:CAUSE_CHARS])
        if not any(self._may_run(one, batch) for one in self._ledger.workers.values() if one.id not in paused):
            del self._paused[batch.id]
            self._tried[batch.id] = now + PAUSE
        self._apply(batch)

    def may_go_elsewhere(self, batch: Batch) -> bool:
        """Whether there are others for what one worker cannot start."""
        if batch.id not in self._has_others:
            fitting = (one for one in self._ledger.workers.values() if self._may_run(one, batch))
            self._has_others[batch.id] = len(list(islice(fitting, 2))) > 1
        return self._has_others[batch.id] and batch.id not in self._tried

    def of_worker(self, worker: Worker) -> str:
        """Why it is given nothing of some batches; empty: it is given of all."""
        return next((paused[worker.id][1] for paused in self._paused.values() if worker.id in paused), "")

    def of_batch(self, batch: Batch, now: float) -> str:
        """Who is given nothing of it, and why, for people; empty: nobody."""
        return "; ".join(
            f"worker {worker.hello.name} on {worker.hello.host} could not start a job of its batch ({cause}),"
            f" and is tried again in {max(0.0, until - now):.0f} s"
            for one, (until, cause) in islice(self._paused.get(batch.id, {}).items(), NAMED)
            if (worker := self._ledger.workers.get(one)) is not None and worker.hello is not None
        )

    def tick(self, now: float) -> None:
        """Let those go on whose time has come, and all of them where nobody else is left."""
        self._has_others.clear()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_INTERVAL
        self._tried = {batch: until for batch, until in self._tried.items() if now < until}
        for batch_id, paused in list(self._paused.items()):
            batch = self._ledger.backlog.batches.get(batch_id)
            left = {worker: pause for worker, pause in paused.items() if now < pause[0]}
            # of one that has ended it is still to be seen, for as long as it was said
            if batch is not None and not any(self._may_run(one, batch) for one in self._ledger.workers.values()):
                left = {}
            if left != paused:
                self._paused[batch_id] = left
                if not left:
                    del self._paused[batch_id]
                if batch is not None:
                    self._apply(batch)

    def next_wakeup(self) -> float | None:
        """When a pause ends."""
        ends = [until for paused in self._paused.values() for until, _ in paused.values()]
        return max(self._look_at, min(ends)) if ends else None

    @staticmethod
    def _may_run(worker: Worker, batch: Batch) -> bool:
        may = worker.present and not worker.draining and not worker.broken and worker.window > 0
        return may and worker.fits(batch.terms)

    def _apply(self, batch: Batch) -> None:
        terms = batch.terms._replace(avoid=frozenset(self._paused.get(batch.id, ())))
        if terms != batch.terms:
            self._ledger.backlog.set_terms(batch, ANY if terms == ANY else terms)
            for worker in self._ledger.workers.values():
                worker.change()
