"""Suspects: jobs that may have taken workers along, and would be dead with the next one, are run alone.

Promises:

1. A worker that runs a suspect runs nothing else, so that it is known whose fault its end is.
2. At most a quarter of the workers is kept for suspects, and at least one; the others go on as ever.
"""

from __future__ import annotations

from penstock.ventilator.dispatch import Dispatcher
from penstock.ventilator.jobs_model import Part, Place
from penstock.ventilator.known_worker import Worker
from penstock.ventilator.ledger import Ledger

SHARE = 4
"""One worker of so many runs suspects, if there are any."""


class Quarantine:
    """Gives suspects to workers that are emptied for them."""

    def __init__(self, ledger: Ledger, dispatcher: Dispatcher) -> None:
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._keeps = False
        """Whether any worker is kept."""

    def tick(self, now: float) -> None:
        """Keep as many workers free as are wanted and allowed, and give out what can be."""
        ledger = self._ledger
        if not ledger.alone and not self._keeps:
            return
        kept = [worker for worker in ledger.workers.values() if worker.kept]
        waiting = self._waiting()
        ready = [
            w for w in ledger.workers.values() if w.present and w.gone_at is None and not w.draining and w.window > 0
        ]
        for worker in kept:
            if worker not in ready or (not waiting and not worker.leases):
                worker.kept = False
                worker.change()
        wanted = min(len(waiting), max(1, len(ready) // SHARE)) - sum(w.kept and not w.leases for w in ready)
        fitting = [w for w in ready if not w.kept and any(_may(w, part) for part in waiting)]
        free = sorted(fitting, key=lambda w: w.jobs + w.charged_jobs)
        allowed = max(1, len(ready) // SHARE) - sum(w.kept for w in ready)
        for worker in free[: max(0, min(wanted, allowed))]:
            worker.kept = True
            worker.change()
        self._keeps = any(w.kept for w in ready)
        for worker in [w for w in ready if w.kept]:
            if worker.leases or worker.charged_leases:  # what it has not started goes to others
                if worker.surplus and not ledger.hand_backs.is_open(worker, now):
                    ledger.hand_backs.ask(worker, worker.surplus, now)
            elif part := next((part for part in waiting if _may(worker, part)), None):
                waiting.remove(part)
                self._dispatcher.give_alone(worker, part, now)

    def _waiting(self) -> list[Part]:
        """Suspects, each a part of its own."""
        ledger = self._ledger
        found: list[Part] = []
        chunks, ledger.alone = ledger.alone, {}
        for key, chunk in chunks.items():
            for part in [part for part in chunk.parts if part.place is Place.ALONE]:
                ledger.alone[key] = chunk
                for index in range(part.start, part.stop):
                    found += ledger.backlog.carve(chunk, index, index + 1)
        return found


def _may(worker: Worker, part: Part) -> bool:
    batch = part.chunk.batch
    return worker.fits(batch.terms) and not batch.is_full
