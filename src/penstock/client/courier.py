"""What the background thread does with the sockets: all of the client's traffic, and nothing else.

Promises:

1. Messages to the ventilator leave in the order they were given, so a Cancel never overtakes its Submit.
2. What a connection may have lost is sent again after it has come back.
3. What was sent is not sent again while some of it, or of an answer, is still on its way, however long that takes.
4. A message that does not decode is counted and dropped.
5. Of a batch that was refused, or is gone, nothing more is sent: it would leave a gap, and never be answered.
6. Whoever waits for a batch is told when it is gone, whoever deleted it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol

import msgspec

from penstock.client.follow import Channel, Follower
from penstock.client.refusals import error_named
from penstock.client.requests import Requests
from penstock.client.submit_packing import Packed, Packer, Part, without
from penstock.errors import ProtocolError, VersionMismatch
from penstock.wire.desk_messages import (
    Alive,
    AskBatches,
    AskGone,
    AskPipeline,
    AsksMuch,
    AskWhy,
    BackUpState,
    Cancel,
    Delete,
    DrainWorker,
    Gone,
    Knock,
    Known,
    Metrics,
    Notice,
    Pause,
    Refused,
    Retry,
    SetBatch,
    Submit,
    VentilatorToClient,
)
from penstock.wire.filter_messages import FetchedEnded, FetchedFiltered
from penstock.wire.frames import Decoder
from penstock.wire.messages import Claimed, Failures, Fetched, FetchedOutput, SinkToClient
from penstock.wire.parts import NUMBERS_FROM, Inbound, Outbound
from penstock.wire.records import MAX_RECORDS, Bytes, Message, PartsTaken
from penstock.wire.sockets import Received
from penstock.wire.streams import Progress

Answered = Callable[[Message, Bytes], None]

ALIVE_INTERVAL = 20.0
"""Seconds between two questions after what is waited for, and between the signs of life of maps' batches (a third of
what the ventilator waits for, if it cannot see connections)."""
TURN_INTERVAL = 0.5
"""Seconds: the longest time between two looks at what must be sent again."""
REFUSED_KEPT = 4096
"""Refused batches that are remembered: what was on its way here when one was refused comes within a turn or two."""
BLOCKED_INTERVAL = 0.01
"""Seconds until a full pipe is tried again."""

PROMPT = (Submit, AskPipeline, AskBatches, AskWhy, AskGone)
"""What a ventilator answers at once; other answers wait for workers, or for the sink."""

CHANGES = (Submit, Cancel, Retry, Delete, DrainWorker, Pause, SetBatch)
"""What somebody who leaves waits for; all else is a question, or said again by itself."""


class Links(Protocol):
    """The sockets that a courier uses: ``desk``, ``results`` and further connections to the sink."""

    is_local: bool
    """Whether the stations are on this machine."""

    def send(self, name: str, message: Message, *payload: Bytes, peer: bytes = b"") -> bool:
        """Send a message now; returns False if the socket takes none."""

    def receive(self, name: str) -> Iterable[Received]:
        """The messages that have arrived on the socket of this name."""

    def connection_events(self, name: str) -> list[bool]:
        """The connections that were made (True) and lost (False) since the last call."""

    def add_results(self, name: str) -> None:
        """Open one more connection to the sink, under this name."""


ANSWERS = (
    Metrics | Failures | Fetched | FetchedFiltered | FetchedEnded | FetchedOutput | Claimed | Refused | BackUpState
)
"""Of the sink, to what it was asked."""


class Courier:
    """Sends what the other parts of a client submit and ask, and hands them what the stations answer. It owns no socket
    and no thread: the session calls it."""

    def __init__(
        self,
        links: Links,
        accepted: Callable[[int], None],
        refused: Callable[[Submit, Refused | Known], None],
        lost: Callable[[bytes, BaseException], None],
        noticed: Callable[[str], None],
    ) -> None:
        """`accepted` is told of the bytes of each Submit that needs no more room, `refused` of each that was not,
        `lost` of each batch that is gone while it is waited for, `noticed` of what the ventilator says unasked."""
        self.malformed: int = 0
        self.connected: dict[str, bool] = {"desk": False, "results": False}
        self._links = links
        self._accepted = accepted
        self._refused = refused
        self._lost = lost
        self._noticed = noticed
        self._to_ventilator = Outbound(links, "desk")
        self._in_parts: dict[str, Inbound] = {}
        """By the name of a connection to the sink."""
        self._desk = Requests()
        self._packer = Packer(self._desk.next_number)
        self._fetches = Requests()
        self._channels: dict[str, Channel] = {"results": Channel()}
        self._transient: set[bytes] = set()
        self._refused_batches: dict[bytes, None] = {}
        self._alive_at = 0.0
        self._asking = 0
        """Questions after what is waited for that are not answered."""
        self._heard = False
        """The ventilator, since the last look at whether it is silent."""
        self._silent_since = 0.0
        self._marks: deque[tuple[int, Callable[[], None]]] = deque()
        self._from_ventilator = Decoder(VentilatorToClient)
        self._from_sink = Decoder(SinkToClient)

    @property
    def missing(self) -> list[str]:
        """The stations that are not connected."""
        return [name for name, socket in (("ventilator", "desk"), ("sink", "results")) if not self.connected[socket]]

    def silence(self, now: float) -> float:
        """Seconds for which the ventilator has sent nothing while it owed an answer that it gives at once."""
        if self._heard or not self._desk.has(PROMPT):
            self._heard, self._silent_since = False, now
        return now - self._silent_since

    @property
    def transfers(self) -> dict[str, Progress]:
        """What is on its way in parts, by words for people in which its size is missing."""
        found = {"sending {} to the ventilator": self._to_ventilator.progress()}
        for name, inbound in self._in_parts.items():
            words = "receiving {} from the " + ("ventilator" if name == "desk" else "sink")
            found[words] = found.get(words) or inbound.progress()
        return {words: progress for words, progress in found.items() if progress is not None}

    @property
    def unaccepted(self) -> int:
        """Jobs that were given and have not been answered."""
        self._add(self._packer.pack())
        submits = [one.message for one in self._desk.waiting() if isinstance(one.message, Submit)]
        return sum(chunk.count for submit in submits for chunk in submit.chunks)

    # ------------------------------------------------------------------------------------- what to carry

    def submit(self, parts: Iterable[Part]) -> None:
        """Send these parts to the ventilator, again until it has accepted or refused them."""
        for part in parts:
            if part.record.batch in self._refused_batches:
                self._accepted(len(part.payload))
            else:
                self._add(self._packer.add(part))

    def ask(self, make: Callable[[int], Message], answered: Answered, *, patient: bool = False) -> None:
        """Ask the ventilator, again until its answer is here; `patient`: that its disk is full is none."""
        self._add(self._packer.pack())
        number = self._desk.next_number()
        message = make(number)
        if isinstance(message, AsksMuch):
            message = msgspec.structs.replace(message, parts=True)
        self._desk.add(number, message, answered, patient=patient)

    def fetch(self, make: Callable[[int], Message], answered: Answered) -> None:
        """Ask the sink, again until its answer is here."""
        number = self._fetches.next_number()
        self._fetches.add(number, make(number), answered)

    def say(self, message: Message) -> None:
        """Tell the ventilator what has no answer."""
        self._add(self._packer.pack())
        self._desk.add(self._desk.next_number(), message, None)

    def when_accepted(self, then: Callable[[], None]) -> None:
        """Do this when all that was submitted or is to be changed, as far as given before, has been answered."""
        self._add(self._packer.pack())
        self._marks.append((self._desk.next_number(), then))
        self._check_marks()

    def follow(self, follower: Follower) -> None:
        """Give a reader the rows of its batch; a second reader of one batch gets a connection of its own."""
        for channel in self._channels.values():
            if not channel.has(follower.batch):
                channel.add(follower)
                return
        name = f"results{len(self._channels)}"
        self._links.add_results(name)
        self._channels[name] = Channel()
        self._channels[name].add(follower)

    def unfollow(self, follower: Follower) -> None:
        """The reader wants no more."""
        for channel in self._channels.values():
            channel.remove(follower)

    def keep_alive(self, batch: bytes, alive: bool) -> None:
        """A map's batch whose results are being read, or no longer."""
        if alive:
            self._transient.add(batch)
        else:
            self._transient.discard(batch)

    # ------------------------------------------------------------------------------------- turns

    def turn(self, now: float) -> float:
        """Send what is to be sent; returns the seconds until the next turn at the latest."""
        self._add(self._packer.pack())
        if now >= self._alive_at + ALIVE_INTERVAL:
            self._alive_at = now
            self._say_alive()
        self._to_ventilator.tick(now)
        if self._to_ventilator.busy():
            self._desk.postpone(now)
        self._desk.tick(now)
        self._fetches.tick(now)
        free = self._desk.transmit(partial(self._to_ventilator.send, now), now)
        self._check_marks()
        for name, channel in self._channels.items():
            free &= channel.transmit(self._sender(name), now)
        free &= self._fetches.transmit(self._sender("results"), now)
        return TURN_INTERVAL if free or not all(self.connected.values()) else BLOCKED_INTERVAL

    def _say_alive(self) -> None:
        """Tell what is read here, and ask whether all is there that is waited for."""
        if self._transient:
            self.say(Alive(tuple(self._transient)))
        followers = [follower for channel in self._channels.values() for follower in channel]
        waited_for = list(dict.fromkeys(follower.batch for follower in followers if follower.accepted))
        if not self._asking:
            for at in range(0, len(waited_for), MAX_RECORDS):
                self._asking += 1
                self.ask(partial(AskGone, batches=tuple(waited_for[at : at + MAX_RECORDS])), self._on_gone)

    def _following(self, batch: bytes) -> list[Follower]:
        found = (channel.get(batch) for channel in self._channels.values())
        return [follower for follower in found if follower is not None]

    def receive(self, name: str, now: float) -> None:
        """Read a socket, or the monitor of one. Raises VersionMismatch when the other side is of another version."""
        if name.startswith("monitor:"):
            self._on_connection_events(name.removeprefix("monitor:"))
            return
        inbound = self._in_parts.setdefault(name, Inbound())
        decoder = self._from_ventilator if name == "desk" else self._from_sink
        for received in self._links.receive(name):
            try:
                found = inbound.whole(received, lambda received: decoder.decode(received.frame), now)
                if found is not None and name == "desk":
                    self._on_ventilator(*found[1], now)
                elif found is not None:
                    self._on_sink(name, *found[1])
            except VersionMismatch as error:
                raise VersionMismatch(f"{name} of the pipeline: {error}") from None
            except ProtocolError:
                self.malformed += 1
        for _, _, taken in inbound.taken(now):
            self._links.send(name, taken)
            if name == "desk":
                self._heard = True
                self._desk.postpone(now)
            else:
                self._channels[name].heard(now)
                self._fetches.postpone(now)

    def _on_connection_events(self, name: str) -> None:
        for up in self._links.connection_events(name):
            self.connected[name] = up
            if up and name == "desk":
                self._to_ventilator.drop()
                self._to_ventilator.takes(parts=True)  # until it refuses one
                self._desk.reconnected()
                self._alive_at = -ALIVE_INTERVAL  # what became of it meanwhile is asked at once
            elif up:
                self._channels[name].reconnected()
                if name == "results":
                    self._fetches.reconnected()

    def _on_ventilator(self, message: Any, payload: Bytes, now: float) -> None:
        self._heard = True
        match message:
            case Notice(_, text):
                self._noticed(text)
            case Knock():
                pass
            case PartsTaken():
                self._to_ventilator.arrived(message, now)
                self._desk.postpone(now)
            case Refused(number) if number >= NUMBERS_FROM:  # a ventilator of an earlier release knows no parts
                if self._to_ventilator.is_taker():
                    self._to_ventilator.takes(parts=False)
                    self._desk.reconnected()
            case _:
                self._on_answer(message, payload)

    def _on_answer(self, message: Any, payload: Bytes = b"") -> None:
        request = self._desk.on_answer(message.number, message, payload)
        if request is not None and isinstance(request.message, Submit):
            self._accepted(len(request.payload))
            if isinstance(message, Refused | Known):
                self._on_refusal(request.message, message)
            else:
                self._on_accepted(request.message)
        self._check_marks()

    def _on_accepted(self, submit: Submit) -> None:
        for opened in submit.opens:
            for follower in self._following(opened.batch):
                follower.accepted = True

    def _on_refusal(self, submit: Submit, refusal: Refused | Known) -> None:
        """What was to follow in these batches is refused with it."""
        self._refused(submit, refusal)
        batches = _batches(submit)
        self._say_no_more(batches)
        for request in self._desk.waiting():
            if isinstance(request.message, Submit) and batches & _batches(request.message):
                self._on_answer(msgspec.structs.replace(refusal, number=request.number))

    def _say_no_more(self, batches: set[bytes]) -> None:
        self._refused_batches |= dict.fromkeys(batches)
        while len(self._refused_batches) > REFUSED_KEPT:
            del self._refused_batches[next(iter(self._refused_batches))]

    def _on_gone(self, answer: Message, _: Bytes) -> None:
        """Nothing more comes of some batches. (A ventilator of an earlier release refuses the question.)"""
        self._asking -= 1
        for line in answer.batches if isinstance(answer, Gone) else ():
            self._transient.discard(line.batch)
            self._say_no_more({line.batch})
            self._withdraw(line.batch)
            error = error_named(line)
            self._lost(line.batch, error)
            for follower in self._following(line.batch):
                self.unfollow(follower)
                follower.reader.fail(error)

    def _withdraw(self, batch: bytes) -> None:
        """A Submit with something of it may never be answered: what else is in it is submitted without."""
        for request in self._desk.waiting():
            if isinstance(request.message, Submit) and batch in _batches(request.message):
                rest = without(request.message, request.payload, batch)
                self._accepted(len(request.payload) - len(rest.payload))
                self._desk.replace(request, *rest)

    def _on_sink(self, name: str, message: Any, payload: Bytes) -> None:
        if isinstance(message, ANSWERS):
            self._fetches.on_answer(message.number, message, payload)
        else:
            self._channels[name].on_message(message, payload)

    def _check_marks(self) -> None:
        oldest = self._desk.oldest(CHANGES)
        while self._marks and (oldest is None or oldest > self._marks[0][0]):
            self._marks.popleft()[1]()

    def _add(self, packed: list[Packed]) -> None:
        for submit in packed:
            self._desk.add(submit.message.number, submit.message, _ignore, submit.payload)

    def _sender(self, name: str) -> Callable[..., bool]:
        def send(message: Message, payload: Bytes = b"") -> bool:
            return self._links.send(name, message, payload)

        return send


def _batches(submit: Submit) -> set[bytes]:
    return {one.batch for one in submit.opens} | {one.batch for one in submit.chunks}


def _ignore(message: Message, payload: Bytes) -> None:
    """The courier itself sees to the answers of Submits."""
