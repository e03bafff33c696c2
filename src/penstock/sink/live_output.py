"""What running jobs write, from their workers to the clients that look on. Nothing of it is recorded."""

from __future__ import annotations

from penstock.sink.followers import Followers
from penstock.sink.refused_records import refused
from penstock.station.contract import Actions, Bytes, Report
from penstock.station.lease_tokens import LeaseTokens
from penstock.wire.messages import LiveTaken, Prints
from penstock.wire.records import Print


class LiveOutput:
    """At the sink with this id."""

    def __init__(self, sink: bytes, lease_tokens: LeaseTokens, followers: Followers) -> None:
        self._sink = sink
        self._lease_tokens = lease_tokens
        self._followers = followers
        self.refused: int = 0
        """Records of jobs that their worker was not given."""

    def on_live_output(self, message: Prints, bodies: tuple[Bytes, ...]) -> Actions:
        """Hand it on to those who follow, and say that it came if the worker wants to hear that."""
        actions: Actions = []
        if message.number:
            actions.append(Report(LiveTaken(self._sink, message.worker, message.number)))
        is_granted = self._lease_tokens.opened(message.tokens)
        of_batch: dict[bytes, list[tuple[Print, Bytes]]] = {}
        for head, body in zip(message.records, bodies, strict=True):
            if is_granted(head):
                of_batch.setdefault(head.batch, []).append((head, body))
            else:
                self.refused += 1
                actions += refused(message, self.refused)
        for batch, prints in of_batch.items():
            actions += self._followers.printed(batch, prints)
        return actions
