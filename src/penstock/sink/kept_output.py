"""What is kept of the output of jobs beside the notes of their outcomes, at the sink."""

from __future__ import annotations

from collections.abc import Container

from penstock.sink.contract import SaveOutput
from penstock.sink.refused_records import refused
from penstock.station.contract import Actions, Bytes, Report
from penstock.station.lease_tokens import LeaseTokens
from penstock.wire.messages import LiveTaken, Output


class Outputs:
    """At the sink with this id; `forgotten` are batches of which nothing is kept any more."""

    def __init__(self, sink: bytes, lease_tokens: LeaseTokens, forgotten: Container[bytes]) -> None:
        self._sink = sink
        self._lease_tokens = lease_tokens
        self._forgotten = forgotten
        self.refused: int = 0
        """Parts of jobs that their worker was not given."""

    def on_output(self, message: Output, bodies: tuple[Bytes, ...]) -> Actions:
        """Record what is granted, and say so behind that: the worker gives its own copy away."""
        actions: Actions = []
        is_granted = self._lease_tokens.opened(message.tokens)
        for head, body in zip(message.records, bodies, strict=True):
            if not is_granted(head):
                self.refused += 1
                actions += refused(message, self.refused)
            elif head.batch not in self._forgotten:
                actions.append(SaveOutput(head, body))
        return [*actions, Report(LiveTaken(self._sink, message.worker, message.number, is_kept=True))]
