"""What the log says of outcomes and output that no lease of theirs grants."""

from __future__ import annotations

from penstock.sink.contract import OutcomesArrived, OutputArrived, PrintsArrived
from penstock.station.contract import Actions, Log


def refused(event: OutcomesArrived | PrintsArrived | OutputArrived, count: int) -> Actions:
    """What the log says of the `count`-th refused outcome: at the first, the second, the fourth and so on."""
    if count & (count - 1):
        return []
    return [Log("outcome_refused", {"worker": event.name, "id": event.worker.hex(), "count": count})]
