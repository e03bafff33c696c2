"""Messages to a station: sent in order, and those that want an answer are sent again until it comes.

Promises:

1. A request is sent in the order it was made, again after every reconnect, and again when no answer came for a while.
2. It is answered at most once; an answer to an unknown number is late and changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count

import msgspec

from penstock.errors import ConfigError
from penstock.wire.bounds import RESEND
from penstock.wire.desk_messages import Refused
from penstock.wire.records import Message

Bytes = bytes | memoryview
Transmit = Callable[[Message, Bytes], bool]
Answered = Callable[[Message, Bytes], None]

RESEND_MAX = 16.0
"""Seconds: a ventilator that is slow to answer is not made slower by being asked ever again."""


def check(message: Message) -> None:
    """Raises ConfigError: the message has something that nobody could read, and that would never be answered."""
    try:
        msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=type(message))
    except (msgspec.ValidationError, UnicodeError, OverflowError, TypeError) as error:
        raise ConfigError(f"{type(message).__name__} cannot be asked so: {error}") from None


class Request:
    """A message that is to be sent; `answered` is called with its answer (None: it has none). `patient`: that a disk is
    full is none."""

    __slots__ = ("answered", "due_at", "interval", "message", "number", "patient", "payload")

    def __init__(
        self, number: int, message: Message, payload: Bytes, answered: Answered | None, *, patient: bool
    ) -> None:
        self.number: int = number
        self.message: Message = message
        self.payload: bytes | memoryview = payload
        self.answered: Answered | None = answered
        self.patient: bool = patient
        self.interval: float = RESEND
        self.due_at: float = float("inf")


class Requests:
    """The messages of one socket that wait to be sent or to be answered, in order."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._open: dict[int, Request] = {}
        self._unsent: deque[Request] = deque()

    def next_number(self) -> int:
        """A number for the next request."""
        return next(self._numbers)

    def waiting(self) -> list[Request]:
        """Those that are not answered."""
        return list(self._open.values())

    def has(self, kinds: tuple[type[Message], ...]) -> bool:
        """Whether one of these is not answered."""
        return any(isinstance(request.message, kinds) for request in self._open.values())

    def oldest(self, kinds: tuple[type[Message], ...]) -> int | None:
        """The lowest number of one of these that is not answered."""
        return next((number for number, one in self._open.items() if isinstance(one.message, kinds)), None)

    def add(
        self, number: int, message: Message, answered: Answered | None, payload: Bytes = b"", *, patient: bool = False
    ) -> None:
        """Send it at the next `transmit`; with `answered` None it is sent once. `patient`: ask again when it is refused
        because a disk is full."""
        request = Request(number, message, payload, answered, patient=patient)
        self._open[number] = request
        self._unsent.append(request)

    def replace(self, request: Request, message: Message, payload: Bytes) -> None:
        """Ask this instead, under the same number."""
        request.message, request.payload = message, payload
        if all(request is not one for one in self._unsent):
            self._unsent.append(request)

    def transmit(self, send: Transmit, now: float) -> bool:
        """Send what waits; False: the socket takes no more now."""
        while self._unsent:
            request = self._unsent[0]
            if request.number in self._open and not send(request.message, request.payload):
                return False
            request.due_at = now + request.interval
            self._unsent.popleft()
            if request.answered is None:
                self._open.pop(request.number, None)
        return True

    def reconnected(self) -> None:
        """What the last connection carried may be lost: ask all of it again."""
        self._unsent = deque(self._open.values())

    def postpone(self, now: float) -> None:
        """Something of what was asked, or answered, is still on its way: all is asked again later."""
        for request in self._open.values():
            if request.due_at != float("inf"):
                request.due_at = now + request.interval

    def tick(self, now: float) -> None:
        """Ask again what was not answered in time."""
        waiting = set(map(id, self._unsent))
        for request in self._open.values():
            if request.due_at <= now and id(request) not in waiting:
                request.interval = min(2 * request.interval, RESEND_MAX)
                request.due_at = float("inf")
                self._unsent.append(request)

    def on_answer(self, number: int, answer: Message, payload: Bytes = b"") -> Request | None:
        """The request that this answers; None if it was answered before, or is to be asked again."""
        waiting = self._open.get(number)
        if waiting is not None and waiting.patient and isinstance(answer, Refused) and answer.kind == "StoreFull":
            return None
        request = self._open.pop(number, None)
        if request is not None and request.answered is not None:
            request.answered(answer, payload)
        return request
