"""What is damaged in the queue file is contained: its jobs get an outcome that says so, everything else goes on.

Promises:

1. Jobs whose arguments or whose function cannot be read are dead, with that cause; those that a worker has go on.
2. What was lost with damaged rows is compared with the sink's log (sink_log_repair.py), also after a restart.
3. The operator is told, each time, and for as long as the file remembers it.
"""

from __future__ import annotations

from penstock.job.spec import JobState
from penstock.ventilator.contract import ARGUMENTS_DAMAGED, FUNCTION_DAMAGED, DamageFound, PayloadDamaged
from penstock.ventilator.jobs_model import WAITING, Place
from penstock.ventilator.ledger import Ledger
from penstock.ventilator.sink_log import SinkLog

UNSTARTED = WAITING - {Place.UNCONFIRMED}
"""Places of jobs that nobody has."""


class Damage:
    """`count` is how much was found damaged before."""

    def __init__(self, ledger: Ledger, sink_log: SinkLog, count: int) -> None:
        self._ledger = ledger
        self._sink_log = sink_log
        self.count: int = count
        """What was found damaged, and is remembered."""

    def on_found(self, found: DamageFound, now: float) -> None:
        """Rows were contained: what of their jobs is not recorded is to be found."""
        self.count += len(found.what)
        for what in found.what:
            self._ledger.turn.log("damaged", what=what)
        if found.must_compare:
            self._sink_log.compare(now)

    def in_words(self, of_sink: int) -> str:
        """How much was found in this file, and in the sink's; empty: nothing."""
        files = (("queue.db", self.count), ("results.db", of_sink))
        found = ", ".join(f"{count} in {name}" for name, count in files if count)
        return f"{found} found damaged on disk, and contained: `penstock check` there lists it" if found else ""

    def on_payload(self, damaged: PayloadDamaged) -> None:
        """Leases that could not be sent, and functions without which no more can be."""
        for number in damaged.leases:
            lease = self._ledger.leases.records.get(number)
            for part in lease.parts if lease is not None else ():
                self._ledger.decide(part, JobState.DEAD, part.chunk.batch.damaged or ARGUMENTS_DAMAGED)
        for batch in self._ledger.backlog.batches.values():
            if batch.function in damaged.functions:
                batch.damaged = batch.damaged or FUNCTION_DAMAGED
                for part in [part for chunk in batch.chunks.values() for part in chunk.parts]:
                    if part.place in UNSTARTED or self._waits_for_function(part.lease, damaged.worker):
                        self._ledger.decide(part, JobState.DEAD, batch.damaged)

    def _waits_for_function(self, number: int, worker: bytes) -> bool:
        """Whether the lease is with the worker that has asked for the function: it has started nothing of it."""
        lease = self._ledger.leases.records.get(number)
        return lease is not None and lease.worker is not None and lease.worker.id == worker
