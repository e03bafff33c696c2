"""Whether the ventilator is heard at all.

Promise: who has heard nothing of it for a lease time connects anew, once in each lease time. A connection can be up and
deaf: the ventilator did not let it hear its topic, because its key had too many ids, or because it could not be told
whose topic it was (see wire/subscriptions.py); nothing but a new connection asks again.
While that helps nothing, the log says so ever more seldom.
"""

from __future__ import annotations

from typing import Any, get_args

from penstock.station.contract import Renew
from penstock.wire.messages import Beat, Jobs, VentilatorToSink, VentilatorToWorker
from penstock.wire.repeated import Repeated

SAID = frozenset(get_args(VentilatorToWorker)) - {Jobs} | frozenset(get_args(VentilatorToSink))
"""What comes over control only; jobs have a connection of their own, too."""


class ControlSilence:
    """Of a worker or a sink."""

    def __init__(self, lease_time: float) -> None:
        self._lease_time = lease_time
        self._pace = 1.0
        """Times the lease time that it may hear nothing: of many workers each is answered less often."""
        self._renew_at: float | None = None
        self._line = Repeated(lease_time)

    def hear(self, event: Any, now: float) -> None:
        """Something happened: what the ventilator says over control is a sign of it."""
        if type(event) in SAID:
            if isinstance(event, Beat):
                self._pace = event.pace
            self._renew_at = now + self._lease_time * self._pace

    def look(self, now: float) -> list[Renew]:
        """What to do about it; called more often than once in a lease time."""
        if self._renew_at is not None and now < self._renew_at:
            return []
        is_deaf, self._renew_at = self._renew_at is not None, now + self._lease_time * self._pace
        return [Renew(is_said=self._line.is_due(now))] if is_deaf else []
