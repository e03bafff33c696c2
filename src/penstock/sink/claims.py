"""Who may have which outcome, where several readers of a batch share them.

Promises:

1. Each outcome is given to one reader, in the order of recording, whichever readers ask and whenever they start again.
2. A claim that is said again is answered again as it was, and gives nothing more.
3. Nothing is given that its reader has not received, and nothing of a batch that the log does not have.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from penstock.sink.contract import SaveClaim
from penstock.station.contract import Actions, Answer
from penstock.wire.messages import Claim, Claimed


class Claims:
    """The claims of the batches in memory (recorded_batches.py)."""

    def __init__(self) -> None:
        self._newest: dict[bytes, dict[bytes, SaveClaim]] = {}
        """By batch and reader."""
        self._given: dict[bytes, int] = {}
        """How many outcomes of a batch are given."""

    def claim(self, client: bytes, message: Claim, *, known: bool) -> Actions:
        """Save it and answer; `known`: the log has something of the batch."""
        before = self._newest.get(message.batch, {}).get(message.reader)
        if before is not None and before.number >= message.number:
            return [Answer(client, Claimed(message.number, before.start, before.stop))]
        start = self._given.get(message.batch, 0)
        stop = max(start, min(start + message.jobs, message.received if known else 0))
        answer = Answer(client, Claimed(message.number, start, stop))
        if start == stop:
            return [answer]
        save = SaveClaim(message.batch, message.reader, message.number, start, stop)
        self._add(save)
        return [save, answer]

    def take_in(self, stored: Iterable[SaveClaim]) -> None:
        """They were read, for what comes next."""
        for claim in stored:
            self._add(claim)

    def _add(self, claim: SaveClaim) -> None:
        self._newest.setdefault(claim.batch, {})[claim.reader] = claim
        self._given[claim.batch] = max(self._given.get(claim.batch, 0), claim.stop)

    def drop_batch(self, batch: bytes) -> None:
        """The batch is forgotten, or leaves the memory."""
        self._newest.pop(batch, None)
        self._given.pop(batch, None)

    def check(self) -> None:
        """The invariants; AssertionError if one does not hold."""
        for batch, readers in self._newest.items():
            spans = sorted((claim.start, claim.stop) for claim in readers.values())
            assert all(first[1] <= second[0] for first, second in pairwise(spans)), "an outcome has one reader"
            assert spans[-1][1] == self._given[batch]
