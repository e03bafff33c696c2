"""A client without threads and sockets: a recording wire that encodes and decodes, and a Session that runs on it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

from penstock.client.callback_thread import Delivery, attempt
from penstock.client.courier import Courier
from penstock.client.future_cancel import Cancelling
from penstock.client.session import Session
from penstock.client.submit_packing import Part
from penstock.job.payload import Alone, decode_values, dumps, encode_values, load_chunk
from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.job.stateless import are_plain
from penstock.wire.desk_messages import ClientToVentilator, Submit
from penstock.wire.frames import Decoder, encode, join, split
from penstock.wire.messages import ClientToSink, Rows
from penstock.wire.records import Message, Note, OutcomeHead
from penstock.wire.sockets import Received

Bytes = bytes | memoryview
T = TypeVar("T")

BATCH = bytes(15) + b"\x01"


class Wire:
    """Sockets that only record. What is sent is decoded from its encoded form, so every test tests the codec."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []
        self.payloads: list[bytes] = []
        self.is_local = False
        self.arrived: dict[str, deque[Received]] = {}
        self.events: dict[str, list[bool]] = {}
        self.open = True
        self._decoders = {"desk": Decoder(ClientToVentilator), "results": Decoder(ClientToSink)}

    def send(self, name: str, message: Message, *parts: Bytes, peer: bytes = b"") -> bool:  # noqa: ARG002
        """Record it, unless nobody is connected."""
        payload = join(list(parts))
        if not self.open:
            return False
        decoder = self._decoders["desk" if name == "desk" else "results"]
        self.sent.append((name, decoder.decode(encode(message, payload)).message))
        if len(payload):
            self.payloads.append(bytes(payload))
        return True

    def receive(self, name: str) -> Iterable[Received]:
        """What the test made arrive."""
        waiting = self.arrived.setdefault(name, deque())
        while waiting:
            yield waiting.popleft()

    def connection_events(self, name: str) -> list[bool]:
        """Likewise."""
        return self.events.pop(name, [])

    def add_results(self, name: str) -> None:
        """It is there by being named."""

    def wake(self) -> None:
        """There is no thread."""

    def taken(self, name: str = "") -> list[Message]:
        """What was sent (over one socket) since the last call, and nothing else."""
        some = [message for socket, message in self.sent if not name or socket == name]
        self.sent = [pair for pair in self.sent if name and pair[0] != name]
        return some


class NoSource:
    """Nothing piles up."""

    def take_parts(self) -> list[Part]:
        """Nothing."""
        return []


class AtOnce(Delivery):
    """A thread of callbacks that is the test: what is to be delivered is, at once."""

    is_here = False
    """Whether the caller is in it: as a test says."""

    def start(self) -> None:
        """There is no thread."""

    def put(self, action: Callable[[], object]) -> None:
        """Do it now."""
        attempt(action)

    def wait(self) -> None:
        """Nothing waits here."""


class World(Session):
    """A Session whose thread is the test: what callers want is done at once, and time stands still."""

    def __init__(self, source: Any = None) -> None:
        self.url = "tcp://test:1"
        self.failure = None
        self.wire = Wire()
        self.now = 0.0
        self.failing: list[Callable[[BaseException], None]] = []
        self.later: list[Callable[[], None]] = []
        """What happens while somebody waits for an answer."""
        self._source = source or NoSource()
        self._room = threading.Condition()
        self._unaccepted = 0
        self._refusals = {}
        self._on_failure = self.failing
        self.delivery = AtOnce()
        self.is_away = False
        """Whether the ventilator is not connected."""
        self.cancelling = Cancelling(self)
        self._courier = Courier(self.wire, self._accepted, self._refused, self._lost, lambda _: None)

    @property
    def is_connected(self) -> bool:
        """It is, unless a test says otherwise."""
        return not self.is_away

    @property
    def in_thread(self) -> bool:
        """A caller never is."""
        return False

    def ensure_usable(self) -> None:
        """It always is, unless a test says otherwise."""
        if self.failure is not None:
            raise self.failure

    def wake(self) -> None:
        """There is no thread; `turn` takes what piled up."""

    def call(self, action: Callable[[], None]) -> None:
        """Do it now."""
        action()
        self.turn()

    def request(self, make: Callable[[int], Message], *, patient: bool = True) -> Future[tuple[Any, Bytes]]:
        """What happens later happens as soon as somebody asks."""
        answer = super().request(make, patient=patient)
        self._pass()
        return answer

    def _pass(self) -> None:
        while self.later:
            self.later.pop(0)()

    def wait_for(self, answer: Future[T], timeout: float | None) -> T:  # noqa: ARG002 - time stands still
        """What happens later happens now; then it must have been answered."""
        self._pass()
        return answer.result(0)

    def turn(self) -> None:
        """What the thread does at each turn."""
        self._courier.submit(self._source.take_parts())
        self._courier.turn(self.now)

    def arrive(self, name: str, message: Message, payload: Bytes = b"") -> None:
        """A message from a station."""
        self.wire.arrived.setdefault(name, deque()).append(Received(name, b"", encode(message, payload)))
        self._courier.receive(name, self.now)
        self.turn()

    def connect_again(self, *names: str) -> None:
        """These connections were lost and are back."""
        for name in names:
            self.wire.events[name] = [False, True]
            self._courier.receive(f"monitor:{name}", self.now)
        self.turn()


def head(start: int, stop: int, body: Bytes = b"", batch: bytes = BATCH, **fields: Any) -> OutcomeHead:
    """An outcome; succeeded unless said otherwise."""
    known = {"state": JobState.SUCCEEDED, "final": True, "stamp": Stamp(), "lease": 1, "slot": 0}
    known |= {"started_time": 1.0, "elapsed": 0.5, "worker": "w"}
    return OutcomeHead(batch=batch, start=start, stop=stop, size=len(body), **{**known, **fields})


def values(start: int, *some: Any, batch: bytes = BATCH) -> tuple[OutcomeHead, bytes]:
    """Jobs from `start` on succeeded with these values."""
    body = encode_values([one if are_plain((one,)) else Alone(dumps(one)) for one in some], "pickle")
    return head(start, start + len(some), body, batch), body


def rows(after: int, *outcomes: tuple[OutcomeHead, bytes], batch: bytes = BATCH, number: int = 1) -> tuple[Rows, Bytes]:
    """Rows of these outcomes, each one line of the log behind `after`, under the Follow of this number."""
    message = Rows(batch, after + len(outcomes), tuple(head for head, _ in outcomes), after, number)
    return message, join([body for _, body in outcomes])


def failure(
    start: int, cause: str, state: JobState = JobState.FAILED, batch: bytes = BATCH
) -> tuple[OutcomeHead, bytes]:
    """A job that did not succeed, without an exception that could be rebuilt."""
    return head(start, start + 1, b"", batch, state=state, note=Note(cause=cause)), b""


def submitted(message: Message, payload: bytes, spec: BatchSpec | None = None) -> list[tuple[int, list[Any]]]:
    """The chunks of a Submit: first index and items."""
    assert isinstance(message, Submit)
    serializer = (spec or BatchSpec()).serializer
    sizes = [one.size for one in message.opens] + [one.size for one in message.chunks]
    parts = split(payload, sizes)[len(message.opens) :]
    return [(chunk.first, load_chunk(part, serializer)[1]) for chunk, part in zip(message.chunks, parts, strict=True)]


__all__ = ["BATCH", "World", "decode_values", "failure", "head", "rows", "submitted", "values"]
