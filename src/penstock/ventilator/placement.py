"""Who may run a batch that asks for somebody, and what its client is told while nobody fits.

Promises:

1. A batch that nobody here may run is refused before anything of it is accepted, if its user said so.
2. Otherwise it waits, and its client is told once, MISSING_PATIENCE after that: workers that are about to come do so
   within that time.
"""

from __future__ import annotations

from penstock.job.spec import BatchSpec
from penstock.station.contract import Answer
from penstock.ventilator.jobs_model import Batch, Terms, terms_of
from penstock.ventilator.ledger import Ledger
from penstock.wire.desk_messages import Notice
from penstock.wire.records import OPENS

MISSING_PATIENCE = 2.0
"""Seconds until the client is told that nobody fits: a worker that was started with it is connected by then."""

OPENED = {"pickle": "opens pickles", "msgpack": "opens msgpack", "command": "runs commands"}
"""What a worker can do that opens this."""
LOOK_INTERVAL = 0.1
"""Seconds between two looks: each compares every batch that asks for somebody with every worker."""


class Placement:
    """Knows which batches nobody here may run."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._watched: dict[bytes, tuple[Batch, bytes, float]] = {}
        """Batches with terms whose client was not told anything yet: the client, and since when nobody fits."""
        self._looked_at = 0.0

    def refusal(self, spec: BatchSpec) -> str:
        """Why not to accept such a batch; empty: nothing speaks against it."""
        return self._missing(terms_of(spec)) if spec.on_missing == "fail" else ""

    def watch(self, batch: Batch, client: bytes, now: float) -> None:
        """A client has submitted it."""
        if asks_for_somebody(batch.terms):
            self._watched[batch.id] = (batch, client, now)

    def missing(self, batch: Batch) -> str:
        """Why nobody here may run a batch, for people; empty: somebody may."""
        return "" if batch.ended else self._missing(batch.terms)

    def tick(self, now: float) -> None:
        """Tell clients for whose batches nobody has come."""
        if now < self._looked_at + LOOK_INTERVAL:
            return
        self._looked_at = now
        for batch_id, (batch, client, since) in list(self._watched.items()):
            if batch.ended or self._ledger.backlog.batches.get(batch_id) is not batch:
                del self._watched[batch_id]
            elif not (text := self.missing(batch)):
                self._watched[batch_id] = (batch, client, now)
            elif now >= since + MISSING_PATIENCE:
                del self._watched[batch_id]
                self._ledger.turn.log("nobody_fits", batch=batch_id.hex(), reason=text)
                self._ledger.turn.say(
                    Answer(client, Notice(batch_id, f"{text}: batch {batch_id.hex()} waits for that"))
                )

    def _missing(self, terms: Terms) -> str:
        present = [worker for worker in self._ledger.workers.values() if worker.present]
        if not present and not asks_for_somebody(terms):
            return ""
        fitting = [worker for worker in present if worker.fits(terms)]
        if not fitting:
            alike = [terms._replace(opens=kind) for kind in OPENS]
            others = any(worker.fits(one) for worker in present for one in alike)
            return f"no {'worker that ' + OPENED[terms.opens] if others else describe(terms)} is connected"
        broken = [f"{one.hello.name} on {one.hello.host}: {one.broken}" for one in fitting if one.broken and one.hello]
        if len(broken) < len(fitting):
            return ""
        return f"every worker that may run it is broken ({broken[0]})"


def asks_for_somebody(terms: Terms) -> bool:
    """Whether some workers may not run it."""
    return bool(terms.worker or terms.needs or terms.user)


def describe(terms: Terms) -> str:
    """The worker that is asked for, in words."""
    words = f"worker named {terms.worker}" if terms.worker else "worker"
    if terms.needs:
        words += f" with the {'tag' if len(terms.needs) == 1 else 'tags'} {' and '.join(terms.needs)}"
    return f"{words} that allows user={terms.user}" if terms.user else words
