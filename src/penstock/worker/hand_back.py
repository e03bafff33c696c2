"""What a worker gives back: jobs that it has not started and never will.

Promises:

1. What is reported as handed back is no longer held, and nothing of it is in a slot.
2. A Recall is answered when it is known of each of its jobs whether it has started: also of those in a piece behind a
   job that runs, which the slot is told to stop before.
"""

from __future__ import annotations

from collections.abc import Iterable

from penstock.station.contract import Actions, Report
from penstock.wire.messages import HandBack, HandedBack, Recall
from penstock.wire.records import LeaseSpan
from penstock.worker.contract import FreeLease
from penstock.worker.held_lease import HeldLease
from penstock.worker.holdings import Holdings
from penstock.worker.slot_feed import Piece, SlotFeed


class HandBacks:
    """Of the worker with this id."""

    def __init__(self, me: bytes, holdings: Holdings, feed: SlotFeed) -> None:
        self._me = me
        self._holdings = holdings
        self._feed = feed
        self._recalls: list[tuple[Recall, list[Piece]]] = []
        """Those that wait for pieces to be cut."""

    def newest(self, request: HandBack) -> Actions:
        """From what would start last (of the leases it names, if any), last jobs first."""
        named = request.leases
        leases = [one for one in self._holdings.last_to_start() if not named or one.lease.number in named]
        return self._report(request.number, _take_last(leases, request.jobs), leases)

    def everything(self) -> Actions:
        """All that has not started."""
        leases = self._holdings.last_to_start()
        spans = _take_last(leases, sum(held.unstarted.count for held in leases))
        return self._report(0, spans, leases) if spans else []

    def unable(self, held: HeldLease, start: int, stop: int, cause: str) -> Actions:
        """These cannot be started here; others may run them."""
        spans = [LeaseSpan(held.lease.number, *part) for part in held.unstarted.remove(start, stop)]
        return [Report(HandedBack(self._me, 0, tuple(spans), cause, _tokens(spans, [held])))] if spans else []

    def recall(self, recall: Recall) -> Actions:
        """These spans, as far as they have not started."""
        pieces: list[Piece] = []
        cuts: Actions = []
        for span in recall.spans:
            held = self._holdings.leases.get(span.lease)
            if held is not None:
                found, actions = self._feed.cut(held, span.start, span.stop)
                pieces += found
                cuts += actions
        if not pieces:
            return self._give(recall, recall.number)
        self._recalls.append((recall, pieces))
        return [*self._give(recall, 0), *cuts]

    def settle(self) -> Actions:
        """Pieces came back: answer the recalls that waited for them."""
        actions: Actions = []
        open_, self._recalls = self._recalls, []
        for recall, pieces in open_:
            if all(piece.settled for piece in pieces):
                actions += self._give(recall, recall.number)
            else:
                actions += self._give(recall, 0)
                self._recalls.append((recall, pieces))
        return actions

    def release(self, leases: Iterable[HeldLease]) -> Actions:
        """Let go of those of which nothing is held any more."""
        actions: Actions = []
        for held in leases:
            if held.empty and held.lease.number in self._holdings.leases:
                self._holdings.remove(held)
                actions.append(FreeLease(held.lease.number))
        return actions

    def _give(self, recall: Recall, number: int) -> Actions:
        spans: list[LeaseSpan] = []
        leases: list[HeldLease] = []
        for span in recall.spans:
            held = self._holdings.leases.get(span.lease)
            if held is not None:
                leases.append(held)
                spans += [LeaseSpan(span.lease, *part) for part in held.unstarted.remove(span.start, span.stop)]
        return self._report(number, spans, leases) if spans or number else []

    def _report(self, number: int, spans: list[LeaseSpan], leases: list[HeldLease]) -> Actions:
        return [Report(HandedBack(self._me, number, tuple(spans), "", _tokens(spans, leases))), *self.release(leases)]


def _tokens(spans: list[LeaseSpan], leases: list[HeldLease]) -> tuple[bytes, ...]:
    """Each once, of the leases that the spans are of."""
    tokens = {held.lease.number: held.lease.token for held in leases}
    return tuple(dict.fromkeys(tokens[span.lease] for span in spans if tokens[span.lease]))


def _take_last(leases: list[HeldLease], wanted: int) -> list[LeaseSpan]:
    spans: list[LeaseSpan] = []
    for held in leases:
        taken = held.unstarted.take_last(wanted)
        spans += [LeaseSpan(held.lease.number, start, stop) for start, stop in taken]
        wanted -= sum(stop - start for start, stop in taken)
        if wanted <= 0:
            break
    return spans
