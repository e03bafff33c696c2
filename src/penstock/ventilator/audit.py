"""Who changes something is in the log, with the name of the key: orders, each once. (Batches are when they are opened,
keys where they are let in.)"""

from __future__ import annotations

from collections import OrderedDict

from penstock.station.contract import FromClient
from penstock.ventilator.turn import Turn
from penstock.wire.desk_messages import Cancel, Delete, DrainWorker, Pause, Retry, SetBatch

ORDERS_KEPT = 1000
"""Of these it is known that they are in the log: an order is sent again until it is answered, which may take long."""


class Audit:
    """Writes them down."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._orders: OrderedDict[tuple[bytes, int], None] = OrderedDict()

    def on_client(self, event: FromClient) -> None:
        """Somebody who may say it has said something."""
        message, key = event.message, event.sender.name
        if not isinstance(message, Cancel | Delete | DrainWorker | Pause | Retry | SetBatch) or self.knows(event):
            return
        self._orders[event.client, message.number] = None
        if len(self._orders) > ORDERS_KEPT:
            self._orders.popitem(last=False)
        match message:
            case Cancel():
                self._turn.log("cancel_asked", batch=message.batch.hex(), jobs=_span(message), key=key)
            case Retry():
                self._turn.log("retry_asked", batch=message.batch.hex(), jobs=_span(message), key=key)
            case Delete():
                self._turn.log("delete_asked", batch=message.batch.hex(), key=key)
            case Pause(resumes=True):
                self._turn.log("resume_asked", batch=message.batch.hex() or "all", key=key)
            case Pause():
                self._turn.log("pause_asked", batch=message.batch.hex() or "all", key=key)
            case SetBatch(batch=batch, priority=priority, limit=limit):
                self._turn.log("set_asked", batch=batch.hex(), priority=priority, limit=limit, key=key)
            case DrainWorker():
                self._turn.log("drain_asked", worker=message.worker, key=key)

    def knows(self, event: FromClient) -> bool:
        """Whether this order was taken in, and is said again."""
        return (event.client, getattr(event.message, "number", 0)) in self._orders


def _span(order: Cancel | Retry) -> str:
    return f"{order.start}-{order.stop - 1}"
