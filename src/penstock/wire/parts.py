"""The streams of one socket (streams.py): to and from each of its peers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import Protocol

from penstock.errors import ProtocolError
from penstock.keys.roles import EVERYONE, Peer
from penstock.wire.bounds import LIMITS, Limits
from penstock.wire.frames import Wire, pieces
from penstock.wire.records import MAX_FRAME_BYTES, Bytes, Message, Part, PartsTaken
from penstock.wire.sockets import Received
from penstock.wire.streams import Assembly, Progress, Stream

WHOLE_BYTES = 32 << 10
"""A frame up to this size travels whole, unless something is in front of it: a quarter of a second at 1 Mbit/s."""
QUEUE_BYTES = MAX_FRAME_BYTES
"""For one peer: what is beyond is not sent, as if its pipe were full."""
GIVE_UP_SECONDS = 60.0
"""Without a sign of the other side, until what is half there is forgotten."""
LOOK_INTERVAL = 1.0
"""Seconds between two looks at all streams: there may be one for each of ten thousand workers."""
HELD_BYTES = 4 * MAX_FRAME_BYTES
"""Of frames that are not whole, at one socket: beyond that what was silent for longest is forgotten, and sent anew."""
SENDERS_MAX = 100_000
"""Of whom something is half there, at one socket: likewise."""
TAKERS_MAX = 100_000
"""Peers that are known to take parts; who was not heard of for longest is sent whole messages again."""
NUMBERS_FROM = 1 << 62
"""Of streams: apart from the numbers of requests, because an earlier release refuses a part by its number."""


class Links(Protocol):
    """The sockets of a process, as far as streams use them."""

    is_local: bool
    """Whether all peers are on this machine."""

    def send(self, name: str, message: Message, *payload: Bytes, peer: bytes = b"") -> bool:
        """Send now, or not at all (False)."""


class Outbound:
    """What leaves through a socket: small messages at once, large ones and what is behind them in parts."""

    def __init__(
        self,
        links: Links,
        name: str,
        worker: bytes = b"",
        limits: Limits = LIMITS,
        note: Callable[[str, int], object] = lambda _key, _bytes: None,
    ) -> None:
        """`name`: of the socket. `worker`: whose it is, where receivers cannot see that by themselves. `limits`: of
        what peers have not taken. `note`: what is told of a peer that takes nothing: its key's name, and bytes."""
        self._links, self._name = links, name
        self._worker = worker
        self._most, self._most_of_key = limits.answer_bytes, limits.key_answer_bytes
        self._patience = min(limits.answer_time, GIVE_UP_SECONDS)
        self._note = note
        self._takers: dict[bytes, Peer] = {}
        self._streams: dict[bytes, Stream] = {}
        self._keys: dict[bytes, Peer] = {}
        """With which each of these peers has come."""
        self._of_key: Counter[str] = Counter()
        """Bytes that wait for all peers with one key."""
        self._busy: dict[bytes, None] = {}
        """Peers to which something is under way."""
        self._look_at = 0.0
        self._numbers = count(NUMBERS_FROM + int.from_bytes(os.urandom(5), "big"))

    def takes(self, parts: bool, peer: bytes = b"", key: Peer = EVERYONE) -> None:
        """Whether this peer, which has come with this key, takes parts; who is not known to, or is on this machine, is
        sent everything whole."""
        self._takers.pop(peer, None)
        if parts and not self._links.is_local:
            self._takers[peer] = key
            if len(self._takers) > TAKERS_MAX:
                del self._takers[next(iter(self._takers))]
        else:
            self.drop(peer)

    def is_taker(self, peer: bytes = b"") -> bool:
        """Whether this peer is known to take parts."""
        return peer in self._takers

    def has_room(self, peer: bytes) -> bool:
        """Whether less waits for this peer, and for all with its key, than may: one message is always let through."""
        key = self._takers.get(peer, EVERYONE).public
        if key and self._of_key[key] >= self._most_of_key:
            return False
        stream = self._streams.get(peer)
        return stream is None or stream.waiting_bytes < self._most

    def full(self) -> frozenset[bytes]:
        """The peers that have no room."""
        return frozenset(peer for peer in self._busy if not self.has_room(peer))

    def send(self, now: float, message: Message, *payload: Bytes, peer: bytes = b"") -> bool:
        """Send, in order; False: nobody is there, or too much waits for this peer."""
        if peer not in self._takers:
            return self._links.send(self._name, message, *payload, peer=peer)
        stream = self._streams.get(peer)
        is_busy = stream is not None and stream.is_busy
        frame = pieces(message, *payload)
        size = sum(map(len, frame))
        if not is_busy and size <= WHOLE_BYTES:
            return self._links.send(self._name, message, *payload, peer=peer)
        if stream is None:
            stream = self._streams[peer] = Stream(next(self._numbers), now, self._worker)
            self._keys[peer] = self._takers[peer]
        if is_busy and stream.waiting_bytes + size > QUEUE_BYTES:
            return False
        stream.add(frame, now)
        self._charge(peer, size)
        return self._transmit(peer, stream, now)

    def arrived(self, taken: PartsTaken, now: float, peer: bytes = b"") -> bool:
        """A peer says how far it has taken in the stream to it; returns whether it is of that."""
        stream = self._streams.get(peer)
        if stream is None or taken.stream != stream.number:
            return False
        waiting = stream.waiting_bytes
        stream.arrived(taken.stream, taken.position, now)
        self._charge(peer, stream.waiting_bytes - waiting)
        self._transmit(peer, stream, now)
        return True

    def tick(self, now: float) -> None:
        """Send again what did not arrive; forget streams that are idle, or of which nothing arrives any more."""
        if now < self._look_at:
            return
        self._look_at = now + LOOK_INTERVAL
        for peer, stream in list(self._streams.items()):
            if now >= stream.moved_at + self._patience:
                if stream.is_busy:
                    self._note(self._keys[peer].name, stream.waiting_bytes)
                self.drop(peer)
            else:
                self._transmit(peer, stream, now)

    def reconnected(self, now: float, peer: bytes = b"") -> None:
        """There is a new connection to a peer: what the old one may have lost is sent again."""
        if (stream := self._streams.get(peer)) is not None:
            stream.send_again()
            self._transmit(peer, stream, now)

    def drop(self, peer: bytes = b"") -> None:
        """What is not there yet is not sent any more: it is void, or its connection is lost."""
        if (stream := self._streams.pop(peer, None)) is not None:
            self._charge(peer, -stream.waiting_bytes)
            del self._keys[peer]
        self._busy.pop(peer, None)

    def _charge(self, peer: bytes, size: int) -> None:
        if key := self._keys[peer].public:
            self._of_key[key] += size
            if not self._of_key[key]:
                del self._of_key[key]

    def busy(self) -> tuple[bytes, ...]:
        """Peers to which something is under way."""
        return tuple(self._busy)

    def progress(self, peer: bytes = b"") -> Progress | None:
        """Of what is on its way to a peer; None: nothing is."""
        stream = self._streams.get(peer)
        return None if stream is None else stream.progress

    def _transmit(self, peer: bytes, stream: Stream, now: float) -> bool:
        for part, body, _ in stream.due(now):
            if not self._links.send(self._name, part, *body, peer=peer):
                self.drop(peer)
                return False
        if stream.is_busy:
            self._busy[peer] = None
        else:
            self._busy.pop(peer, None)
        return True


class Inbound:
    """What arrives at a socket in parts."""

    def __init__(
        self, most: int = MAX_FRAME_BYTES, note: Callable[[Received, str], object] = lambda _received, _why: None
    ) -> None:
        """`most`: bytes of a frame; `note`: what is told of a part of a larger one, which is not taken."""
        self._most = most
        self._note = note
        self._assemblies: dict[tuple[bytes, bytes, str], tuple[Assembly, float]] = {}
        """By peer, worker and key, with the time of the last part."""
        self._taken: dict[tuple[bytes, bytes, str], None] = {}
        """Of which something came that has not been acknowledged."""
        self._held = 0
        """Bytes of frames that are not whole."""
        self._scan_at = 0.0

    def whole(
        self, received: Received, decode: Callable[[Received], Wire | None], now: float
    ) -> tuple[Received, Wire] | None:
        """A message that is whole, with how it was received; None: it is malformed, or a part with more to come."""
        wire = decode(received)
        if wire is None or not isinstance(wire.message, Part):
            return None if wire is None else (received, wire)
        key = (received.peer, wire.message.worker, received.sender.public)
        assembly = self._assemblies.pop(key, (None, 0.0))[0] or Assembly(self._most)
        self._assemblies[key] = (assembly, now)
        self._taken[key] = None
        held = assembly.held_bytes
        try:
            frame = assembly.put(wire.message, wire.payload)
        except ProtocolError as error:
            self._note(received, str(error))
            return None
        self._held += assembly.held_bytes - held
        while len(self._assemblies) > 1 and (self._held > HELD_BYTES or len(self._assemblies) > SENDERS_MAX):
            self._forget(next(iter(self._assemblies)))
        if frame is None:
            return None
        received = received._replace(frame=frame)
        wire = decode(received)
        return None if wire is None or isinstance(wire.message, Part) else (received, wire)

    def progress(self) -> Progress | None:
        """Of what is half there of the peer that is heard; None: nothing is."""
        return next((one for assembly, _ in self._assemblies.values() if (one := assembly.progress)), None)

    def taken(self, now: float) -> Iterator[tuple[bytes, bytes, PartsTaken]]:
        """What is to be acknowledged: to which peer, or of which worker."""
        taken, self._taken = self._taken, {}
        for peer, worker, public in taken:
            assembly, _ = self._assemblies[peer, worker, public]
            yield peer, worker, PartsTaken(assembly.number, assembly.position)
        if now >= self._scan_at:
            self._scan_at = now + GIVE_UP_SECONDS
            for key, (_, came_at) in list(self._assemblies.items()):
                if now >= came_at + GIVE_UP_SECONDS:
                    self._forget(key)

    def _forget(self, key: tuple[bytes, bytes, str]) -> None:
        self._held -= self._assemblies.pop(key)[0].held_bytes
        self._taken.pop(key, None)
