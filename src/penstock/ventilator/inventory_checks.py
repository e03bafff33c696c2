"""Whether a line of a worker's inventory can be: what a worker says is checked against what was given out.

A worker's key lets its holder run jobs. It does not let it speak for other workers: of a lease that is not known to be
its own it must have the token, which only the worker that was given the lease has.
"""

from __future__ import annotations

from itertools import pairwise

from penstock.station.lease_tokens import Grant
from penstock.ventilator.known_worker import Worker
from penstock.ventilator.ledger import Ledger
from penstock.wire.records import Held


def objection(ledger: Ledger, worker: Worker, held: Held) -> str:
    """Why this line of the worker's is not believed, in words; empty: it is."""
    spans = sorted((*held.unstarted, *held.running, *held.finished))
    if any(start >= stop for start, stop in spans) or any(a[1] > b[0] for a, b in pairwise(spans)):
        return "its spans cannot be"
    if not 0 < held.lease < ledger.leases.next_number:
        return "no lease of this number was given out"
    record = ledger.leases.records.get(held.lease)
    if record is not None and record.chunk.batch.id != held.batch:
        return "the lease is of another batch"
    if ledger.lease_tokens.key and (record is None or record.worker is not worker):
        return _of_token(ledger.lease_tokens.open(held.token), held, spans)
    return ""


def is_claimed(ledger: Ledger, worker: Worker, held: Held) -> bool:
    """Whether it is of a lease that the worker says it took, and nobody has shown the token: it is decided later."""
    record = ledger.leases.records.get(held.lease)
    return record is not None and record.worker is None and record.claimant is worker and not held.token


def _of_token(grant: Grant | None, held: Held, spans: list[tuple[int, int]]) -> str:
    if grant is None or (grant.lease, grant.batch, grant.stamp) != (held.lease, held.batch, held.stamp):
        return "it has not the token of the lease"
    inside = not spans or (grant.start <= spans[0][0] and spans[-1][1] <= grant.stop)
    return "" if inside else "the lease is not of these jobs"
