"""Outcomes on their way to the sink.

Promises:

1. An outcome is sent at the end of the turn that made it, or up to OUTCOME_DELAY later while its lease has more to
   come: what short jobs came to travels together. The last outcome of a lease never waits.
2. It is sent again at every new connection to the sink, and after RESEND seconds without being closed; not while
   something is on its way, however long that takes.
3. A message is bounded in records and bytes; one outcome that is larger travels alone.
4. So are the outcomes on their way: the others wait here until those are closed. A slow sink is not made slower by
   outcomes that are sent again while they wait in its memory.
5. A sink that takes nothing from here although it is heard elsewhere is noticed: the way to it is shut.
"""

from __future__ import annotations

from operator import attrgetter

from penstock.station.contract import Actions
from penstock.wire.bounds import RESEND
from penstock.wire.bundles import bundles
from penstock.worker.contract import Deliver
from penstock.worker.held_lease import KeptOutcome
from penstock.worker.holdings import Holdings
from penstock.worker.live_output import LiveOutput
from penstock.worker.output_upload import Uploads

OUTCOME_DELAY = 0.005
"""Seconds: about one durable commit of the sink; nobody feels it in the middle of a lease, and 1 ms jobs cost half."""
RECORDS_PER_MESSAGE = 1_000
"""Outcomes in one message to the sink."""
BYTES_PER_MESSAGE = 8 << 20
"""Of values in one message to the sink, if it is more than one outcome."""
UNDER_WAY_BYTES = 32 << 20
"""Of outcomes that are sent and not closed, but at least one: what a worker may have in the memory of the sink, and
more than the fastest disk takes while one is recorded and closed."""


UNDELIVERED_TIME = 10.0
"""Seconds in which a sink that is heard elsewhere has taken nothing from here: twice a lease time, and more than a
connection takes to be found dead and made again."""
AGAIN_BYTES = 4 << 20
"""Sent again at a look, once a second: a sink whose disk stands still has all of it in memory already."""


class Outbox:
    """What of the holdings' outcomes is to be sent at the end of the turn."""

    def __init__(self, holdings: Holdings, now: float) -> None:
        self._holdings = holdings
        self._waiting: list[KeptOutcome] = []
        self._looked_at = now
        self._moved_at = float("-inf")
        """When something was on its way at last."""
        self._stands_since = now
        """When the sink last took something, or there was first something to take."""
        self._had_some = self._stands = False
        self.live_output: LiveOutput = LiveOutput()
        self.uploads: Uploads = Uploads()
        self.due_at: float | None = None
        """When what waits must go."""

    def next_wakeup(self) -> float | None:
        """When something must go, or go again."""
        due = (self.due_at, self.uploads.due_at)
        return min((instant for instant in due if instant is not None), default=None)

    def add(self, kept: KeptOutcome) -> None:
        """Take in a new outcome."""
        self._waiting.append(kept)

    def send_all_again(self) -> None:
        """A new connection to the sink: who knows what the old one lost."""
        self.live_output.reconnected()
        self.uploads.reconnected()
        for held in self._holdings.leases.values():
            for kept in held.kept:
                if kept.sent_at is not None:
                    kept.sent_at = None
                    self._waiting.append(kept)

    def under_way(self, now: float) -> None:
        """What was sent has not arrived."""
        self._moved_at = now
        self.uploads.under_way(now)

    def taken(self, now: float) -> None:
        """The sink has taken something of what was sent."""
        self._stands_since, self._stands = now, False

    def stands(self, now: float, *, sink_is_heard: bool) -> bool:
        """Whether the sink took nothing for UNDELIVERED_TIME, in which it was heard and there was something to take;
        that lasts until it takes something."""
        has_some = self._holdings.kept_bytes > 0
        if not has_some or not self._had_some:
            self.taken(now)
        elif not sink_is_heard:
            self._stands_since = now
        elif now >= self._stands_since + UNDELIVERED_TIME:
            self._stands = True
        self._had_some = has_some
        return self._stands

    def deliver(self, now: float) -> Actions:
        """Send what waits and what was not closed in time."""
        if now >= self._looked_at + RESEND / 2:
            self._looked_at = now
            self._find_unclosed(now)
        recorded, actions = self.uploads.take_done()
        self._waiting += recorded
        actions += [*self.live_output.deliver(now), *self.uploads.deliver(now)]
        if not self._is_due(now):
            return actions
        due = self._due()
        for kept in due:
            kept.sent_at = now
        actions += map(_deliver, bundles(due, RECORDS_PER_MESSAGE, BYTES_PER_MESSAGE, attrgetter("size")))
        self.due_at = None
        return actions

    def _is_due(self, now: float) -> bool:
        """Whether there is room, and what waits has waited long enough or some of it is the last of its lease."""
        if not self._waiting or self._under_way() >= UNDER_WAY_BYTES:
            self.due_at = None  # what makes room is a turn of its own
            return False
        for kept in self._waiting:
            held = self._holdings.leases.get(kept.head.lease)
            if held is None or not (held.unstarted or held.running):
                return True
        if self.due_at is None:
            self.due_at = now + OUTCOME_DELAY
        return now >= self.due_at

    def _due(self) -> list[KeptOutcome]:
        """What there is room for on the way; the rest goes on waiting."""
        under_way, count = self._under_way(), 0
        while count < len(self._waiting) and under_way < UNDER_WAY_BYTES:
            under_way += self._waiting[count].size
            count += 1
        due, self._waiting = self._waiting[:count], self._waiting[count:]
        return due

    def _under_way(self) -> int:
        """Bytes that are sent and not closed."""
        self._waiting = [kept for kept in self._waiting if kept.left]
        return self._holdings.kept_bytes - self.uploads.waiting_bytes - sum(kept.size for kept in self._waiting)

    def _find_unclosed(self, now: float) -> None:
        """Those that were sent longest ago first."""
        held = self._holdings.leases.values()
        sent = [(one.sent_at, one) for lease in held for one in lease.kept if one.sent_at is not None]
        again = 0
        for sent_at, kept in sorted(sent, key=lambda pair: pair[0]):
            if max(sent_at, self._moved_at) > now - RESEND or again >= AGAIN_BYTES:
                return
            kept.sent_at = None
            self._waiting.append(kept)
            again += kept.size


def _deliver(message: list[KeptOutcome]) -> Deliver:
    tokens = dict.fromkeys(kept.token for kept in message if kept.token)
    return Deliver(tuple(kept.head for kept in message), tuple(kept.body for kept in message), tuple(tokens))
