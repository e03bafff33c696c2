"""Questions of clients that wait for their turn, because an answer can be ten thousand times as long as a question.

Promises:

1. One question of a connection is answered in a turn, and AT_ONCE of all: so what a turn has in memory is bounded.
2. Who has not read its last answers waits (see wire/unread.py), and holds up nobody else.
3. So many questions of a connection and of a key wait, and no more: the rest is dropped, and said in the log. A client
   asks again by itself, under the same number: that waits once.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable

from penstock.station.contract import FromClient
from penstock.wire.bounds import Limits, count_one

AT_ONCE = 16
"""Questions in a turn: some milliseconds."""
ROOM_INTERVAL = 0.02
"""Seconds between two looks whether a client that asked has read."""


class WaitingQuestions:
    """Of all clients, in the order of their last answers."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._of_client: OrderedDict[bytes, OrderedDict[int, FromClient]] = OrderedDict()
        self._of_key: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        """By the name of the key."""

    def __bool__(self) -> bool:
        return bool(self._of_client)

    def add(self, event: FromClient, number: int) -> bool:
        """A question, under its number; False: it was dropped."""
        key, waiting = event.sender.public, self._of_client.get(event.client) or OrderedDict[int, FromClient]()
        is_new = number not in waiting
        too_many = bool(key) and self._of_key[key] >= self._limits.key_questions
        if is_new and (too_many or len(waiting) >= self._limits.questions):
            count_one(self.dropped, event.sender.name)
            return False
        waiting[number] = event
        self._of_client[event.client] = waiting
        self._of_key[key] += is_new
        return True

    def take(self, has_room: Callable[[bytes], bool]) -> list[FromClient]:
        """Those whose turn it is."""
        taken: list[FromClient] = []
        for client in list(self._of_client):
            if len(taken) == AT_ONCE:
                break
            if has_room(client):
                taken.append(self._take_first(client))
        return taken

    def _take_first(self, client: bytes) -> FromClient:
        waiting = self._of_client.pop(client)
        _, event = waiting.popitem(last=False)
        if waiting:
            self._of_client[client] = waiting
        key = event.sender.public
        self._of_key[key] -= 1
        if not self._of_key[key]:
            del self._of_key[key]
        return event

    def due_at(self, now: float, has_room: Callable[[bytes], bool]) -> float | None:
        """When to look again; None: nothing waits."""
        if not self._of_client:
            return None
        return now if any(map(has_room, self._of_client)) else now + ROOM_INTERVAL
