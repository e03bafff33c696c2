"""What the log says of outcomes and output that no lease of theirs grants."""

from __future__ import annotations

from penstock.sink.contract import LiveOutputArrived, OutcomesArrived, OutputArrived
from penstock.station.contract import Actions, Log
from penstock.wire.bounds import is_to_be_logged


def refused(event: OutcomesArrived | LiveOutputArrived | OutputArrived, count: int) -> Actions:
    """What the log says of the `count`-th refused outcome."""
    if not is_to_be_logged(count):
        return []
    return [Log("outcome_refused", {"worker": event.name, "id": event.worker.hex(), "count": count})]
