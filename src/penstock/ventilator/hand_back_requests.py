"""Asking workers to hand back what they have not started, and asking again.

Four ask: the dispatcher for slots that idle, the quarantine to empty a worker, a batch that may not begin any more, and
clients that cancel what has not started. Each request has a number, so that an answer is known for what it answers; one
without an answer is asked again after RESEND.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from penstock.ventilator.known_worker import Worker
from penstock.ventilator.turn import Turn
from penstock.wire.bounds import RESEND
from penstock.wire.messages import HandBack, Recall
from penstock.wire.records import LeaseSpan

UNAWAITED = 1 << 62
"""Of requests whose answer need not be known for one; no other has so large a number."""


class HandBackRequests:
    """What workers are asked for, at most one request a worker at a time but for recalls."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._numbers = itertools.count(1)
        self._recalls: dict[int, tuple[bytes, tuple[LeaseSpan, ...]]] = {}
        """Spans, and of which worker, by the number of the request."""

    @staticmethod
    def is_open(worker: Worker, now: float) -> bool:
        """Whether the worker's answer may still come; a request that is older than RESEND is forgotten."""
        if worker.hand_back is not None and now >= worker.hand_back[1] + RESEND:
            worker.hand_back = None
        return worker.hand_back is not None

    def ask(self, worker: Worker, jobs: int, now: float, leases: Iterable[int] = ()) -> None:
        """Ask for so many jobs, of these leases only if there are any."""
        number = next(self._numbers)
        worker.hand_back = (number, now)
        self._turn.tell(worker.id, HandBack(number, jobs, tuple(leases)))

    def is_answered(self, worker: Worker, number: int) -> bool:
        """Whether this is the answer to the worker's open request, which is answered thereby."""
        if worker.hand_back is None or worker.hand_back[0] != number:
            return False
        worker.hand_back = None
        return True

    def ask_unawaited(self, worker: bytes, jobs: int, leases: Iterable[int]) -> None:
        """Ask without waiting for the answer: whoever asks looks again by himself."""
        self._turn.tell(worker, HandBack(UNAWAITED, jobs, tuple(leases)))

    def recall(self, worker: bytes, spans: Iterable[LeaseSpan]) -> None:
        """Ask for all that has not started of these spans; the answer is complete (`recalled`)."""
        number, asked = next(self._numbers), tuple(spans)
        self._recalls[number] = (worker, asked)
        self._turn.tell(worker, Recall(number, asked))

    def recalled(self, worker: bytes, number: int) -> tuple[LeaseSpan, ...]:
        """The spans of the recall that the worker has answered: what of them has not come back has started."""
        asker, spans = self._recalls.pop(number, (b"", ()))
        return spans if asker == worker else ()

    def forget_recalls(self) -> None:
        """Nobody waits for an answer any more."""
        self._recalls.clear()
