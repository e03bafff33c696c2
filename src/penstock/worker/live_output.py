"""What running jobs write, on its way to the sink: for whoever looks on, and never recorded.

Promises:

1. What is sent and not acknowledged is bounded, and so is what waits for that; what does not fit is dropped, and no
   job and no outcome waits for it. Whoever looks on sees by the positions that something is missing, and has it from
   the outcome.
2. While there is room, what a job wrote leaves before its outcome does.
"""

from __future__ import annotations

from penstock.station.contract import Actions
from penstock.wire.bounds import RESEND
from penstock.wire.messages import print_cost
from penstock.wire.records import Print
from penstock.worker.contract import DeliverLiveOutput

LIVE_BYTES = 4 << 20
"""Sent and not acknowledged, of one worker: a tenth of a second of fast printing, little beside its outcomes."""
WAITING_BYTES = 4 << 20
"""That wait to be sent."""
ACK_SHARE = 4
"""An acknowledgement is asked for with each so-manieth of LIVE_BYTES."""


class LiveOutput:
    """What the jobs of one worker write while they run, on its way to the sink."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Print, bytes, bytes]] = []
        self._waiting_bytes = 0
        self._is_connected = False
        """Whether there ever was a connection to the sink: before that what is sent is lost."""
        self._sent = 0
        """Bytes, so far; what is up to `_acknowledged` has arrived or is lost, and up to `_asked` it was asked for."""
        self._acknowledged = 0
        self._asked = 0
        self._asked_at = 0.0

    def add(self, head: Print, body: bytes, token: bytes) -> None:
        """A job wrote this."""
        if self._waiting_bytes < WAITING_BYTES:
            self._waiting.append((head, body, token))
            self._waiting_bytes += print_cost(head)

    def acknowledged(self, number: int) -> None:
        """The sink has all up to here."""
        self._acknowledged = max(self._acknowledged, min(number, self._sent))

    def reconnected(self) -> None:
        """A new connection to the sink: what was on its way is there or lost."""
        self._is_connected = True
        self._acknowledged = self._sent

    def deliver(self, now: float) -> Actions:
        """Send what there is room for. Without any room ask again, now and then: the answer may have been lost."""
        if not self._waiting or not self._is_connected:
            return []
        before, count = self._sent, 0
        while count < len(self._waiting) and self._sent - self._acknowledged < LIVE_BYTES:
            self._sent += print_cost(self._waiting[count][0])
            count += 1
        sent, self._waiting = self._waiting[:count], self._waiting[count:]
        self._waiting_bytes -= self._sent - before
        number = self._number(now)
        if not sent and not number:
            return []
        tokens = dict.fromkeys(token for _, _, token in sent if token)
        return [DeliverLiveOutput(tuple(one[0] for one in sent), tuple(one[1] for one in sent), tuple(tokens), number)]

    def _number(self, now: float) -> int:
        """What is to be acknowledged, if that is to be asked for."""
        is_stuck = self._sent - self._acknowledged >= LIVE_BYTES and now >= self._asked_at + RESEND
        if not is_stuck and self._sent - self._asked < LIVE_BYTES // ACK_SHARE:
            return 0
        self._asked, self._asked_at = self._sent, now
        return self._sent
