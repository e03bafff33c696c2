"""What the log says of outcomes and output that no lease of theirs grants."""

from __future__ import annotations

from penstock.station.contract import Actions, Log
from penstock.wire.bounds import is_to_be_logged
from penstock.wire.messages import Delivery


def refused(message: Delivery, count: int) -> Actions:
    """What the log says of the `count`-th refused outcome."""
    if not is_to_be_logged(count):
        return []
    return [Log("outcome_refused", {"worker": message.name, "id": message.worker.hex(), "count": count})]
