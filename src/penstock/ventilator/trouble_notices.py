"""Clients are told once why nothing of theirs goes on: a disk is full, the pipeline is paused.

Promises:

1. Whoever says something while there is such trouble is told of it, in one line for people; once, and again if it is
   another trouble by then.
2. What is remembered of them is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator

from penstock.job.spec import ID_BYTES
from penstock.wire.desk_messages import Notice

NO_BATCH = bytes(ID_BYTES)
"""The notice is of all that a client has."""
CLIENTS_MAX = 10_000
"""As many connections as a socket has by default; beyond it some are told twice."""


class TroubleNotices:
    """Who has been told what."""

    def __init__(self) -> None:
        self._trouble = ""
        self._told: set[bytes] = set()

    def of(self, client: bytes, trouble: str) -> Iterator[Notice]:
        """What is to be told this client, who has just said something."""
        if trouble != self._trouble or len(self._told) >= CLIENTS_MAX:
            self._trouble, self._told = trouble, set()
        if trouble and client not in self._told:
            self._told.add(client)
            yield Notice(NO_BATCH, trouble)

    def told(self) -> tuple[bytes, ...]:
        """The clients that wait, knowing why."""
        return tuple(self._told)
