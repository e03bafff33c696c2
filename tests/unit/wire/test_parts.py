"""What leaves a socket and arrives at one, over a recording wire."""

from __future__ import annotations

import pytest

from penstock.keys.roles import Peer, Role
from penstock.wire import parts
from penstock.wire.bounds import Limits
from penstock.wire.frames import Decoder, Wire, encode
from penstock.wire.messages import FunctionPart, Prints
from penstock.wire.parts import GIVE_UP_SECONDS, QUEUE_BYTES, TAKERS_MAX, WHOLE_BYTES, Inbound, Outbound
from penstock.wire.records import Bytes, Message, Part, PartsTaken
from penstock.wire.sockets import Received

ADA, BOB = b"ada", b"bob"
LARGE = bytes(10 * WHOLE_BYTES)
_decoder = Decoder(FunctionPart | Part | PartsTaken | Prints)


def large(code: bytes = LARGE) -> tuple[Message, bytes]:
    """A message with a large payload."""
    return FunctionPart(b"f" * 16, 0, len(code), len(code)), code


class Socket:
    """Records what is sent, as frames; takes nothing while nobody is there."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bytes]] = []
        self.open = True
        self.is_local = False

    def send(self, name: str, message: Message, *payload: Bytes, peer: bytes = b"") -> bool:
        """Record it."""
        assert name == "control"
        if self.open:
            self.sent.append((peer, encode(message, *payload)))
        return self.open

    def take(self, peer: bytes) -> list[bytes]:
        """What was sent to one since the last call."""
        found = [frame for one, frame in self.sent if one == peer]
        self.sent = [(one, frame) for one, frame in self.sent if one != peer]
        return found


def decode(received: Received) -> Wire | None:
    """As stations do."""
    return _decoder.decode(received.frame)


def arrive(inbound: Inbound, frame: bytes, now: float = 0.0, peer: bytes = b"", sender: str = "") -> Message | None:
    """A frame of somebody came; the message that is whole by that."""
    key = Peer(sender, Role.WORK, sender)
    found = inbound.whole(Received("control", peer, frame, key), decode, now)
    return None if found is None else found[1].message


def test_a_large_message_reaches_who_takes_parts_in_order_with_what_is_behind_it() -> None:
    """And is acknowledged by that; who does not take parts is sent it whole."""
    socket, inbound = Socket(), Inbound()
    outbound = Outbound(socket, "control")
    outbound.takes(parts=True, peer=ADA)
    message, payload = large()
    small = PartsTaken(9, 9)
    for peer in (ADA, BOB):
        assert outbound.send(0.0, message, payload, peer=peer)
        assert outbound.send(0.0, small, peer=peer)
    assert socket.take(BOB) == [encode(message, payload), encode(small)]
    came: list[Message] = []
    count = 0
    while frames := socket.take(ADA):
        count += len(frames)
        came += [one for frame in frames if (one := arrive(inbound, frame)) is not None]
        for _, _, taken in inbound.taken(0.0):
            outbound.arrived(taken, 0.0, ADA)
    assert came == [message, small]
    assert count > 2
    assert outbound.busy() == ()
    assert outbound.send(0.0, small, peer=ADA)
    assert socket.take(ADA) == [encode(small)], "whole again, with nothing in front of it"


def test_what_is_void_is_not_sent_any_more() -> None:
    """After a new connection, or when a peer says that it takes no parts; what comes then is put together anew."""
    socket, inbound = Socket(), Inbound()
    outbound = Outbound(socket, "control")
    outbound.takes(parts=True)
    message, payload = large()
    outbound.send(0.0, *large(LARGE[1:]))
    for frame in socket.take(b""):
        assert arrive(inbound, frame) is None
    outbound.drop()
    assert outbound.busy() == ()
    outbound.send(0.0, message, payload)
    came = []
    while frames := socket.take(b""):
        came += [one for frame in frames if (one := arrive(inbound, frame)) is not None]
        for _, _, taken in inbound.taken(0.0):
            outbound.arrived(taken, 0.0)
    assert came == [message]
    outbound.takes(parts=False)
    outbound.send(0.0, message, payload)
    assert socket.take(b"") == [encode(message, payload)]


def test_nothing_is_cut_for_a_peer_on_the_same_machine() -> None:
    """There is no slow link between."""
    socket = Socket()
    socket.is_local = True
    outbound = Outbound(socket, "control")
    outbound.takes(parts=True)
    outbound.send(0.0, *large())
    assert len(socket.take(b"")) == 1


def test_nobody_fills_the_memory() -> None:
    """Of what waits for a peer there is a bound; a stream that nobody takes is given up, and so is one whose peer is
    gone; of peers that take parts only so many are remembered."""
    socket = Socket()
    outbound = Outbound(socket, "control")
    for number in range(TAKERS_MAX + 1):
        outbound.takes(parts=True, peer=b"%d" % number)
    outbound.send(0.0, *large(), peer=b"0")
    assert len(socket.take(b"0")) == 1, "whole: it was forgotten"
    half = bytes(QUEUE_BYTES // 2)
    assert outbound.send(0.0, *large(half), peer=b"1")
    assert not outbound.send(0.0, *large(half), peer=b"1")
    outbound.tick(GIVE_UP_SECONDS - 1)
    assert outbound.busy() == (b"1",)
    outbound.tick(GIVE_UP_SECONDS)
    assert outbound.busy() == ()
    socket.open = False
    assert not outbound.send(0.0, *large(), peer=b"2")
    assert outbound.busy() == ()


def test_who_takes_nothing_has_no_room_and_is_given_up() -> None:
    """By what waits for it, and for all with its key; one message is always let through. Others are not concerned."""
    eve, ada = Peer("eve", Role.OBSERVE, "1"), Peer("ada", Role.OBSERVE, "2")
    notes: list[tuple[str, int]] = []
    size = len(encode(*large()))
    limits = Limits(answer_bytes=size, key_answer_bytes=2 * size, answer_time=5.0)
    outbound = Outbound(Socket(), "control", limits=limits, note=lambda key, waiting: notes.append((key, waiting)))
    for peer, key in ((b"1", eve), (b"2", eve), (b"3", eve), (ADA, ada)):
        outbound.takes(parts=True, peer=peer, key=key)
    assert outbound.send(0.0, *large(), peer=b"1")
    assert [outbound.has_room(peer) for peer in (b"1", b"2", b"3", ADA)] == [False, True, True, True]
    assert outbound.send(0.0, *large(), peer=b"2")
    assert [outbound.has_room(peer) for peer in (b"1", b"2", b"3", ADA)] == [False, False, False, True]
    assert outbound.full() == {b"1", b"2"}
    outbound.tick(limits.answer_time)
    assert notes == [("eve", size)] * 2
    assert all(map(outbound.has_room, (b"1", b"2", b"3", ADA)))


def test_streams_of_different_senders_are_put_together_apart() -> None:
    """By the socket's peer, by the worker that a part names, and by the key that brought it: a stranger's part changes
    nothing of anybody else's."""
    inbound = Inbound()
    message, payload = large()
    frame = encode(message, payload)
    first, rest = frame[:1000], frame[1000:]

    def part(worker: bytes, position: int, body: bytes, left: int) -> bytes:
        return encode(Part(7, position, left, len(body), worker), body)

    arrive(inbound, part(b"w", 0, first, len(rest)), sender="ada")
    arrive(inbound, part(b"w", 0, b"bad", 1), sender="eve")
    arrive(inbound, part(b"v", 0, b"bad", 1), sender="ada")
    arrive(inbound, part(b"w", 0, b"bad", 1), peer=BOB, sender="ada")
    assert arrive(inbound, part(b"w", len(first), rest, 0), sender="ada") == message


def test_a_part_in_a_part_is_nothing() -> None:
    """However deep: it is no message that anybody sends."""
    inner = encode(Part(1, 0, 0, 1), b"x")
    assert arrive(Inbound(), encode(Part(1, 0, 0, len(inner)), inner)) is None


def test_what_is_too_large_is_not_dropped_in_silence() -> None:
    """Its sender would send it again for ever, and nobody would know why."""
    notes: list[str] = []
    inbound = Inbound(10, lambda received, why: notes.append(f"{received.sender.name}: {why}"))
    assert arrive(inbound, encode(Part(1, 0, 6, 5), b"12345"), sender="ada") is None
    assert notes == ["ada: a message of 11 bytes in parts, more than 10"]


def test_what_was_begun_and_never_ended_is_forgotten() -> None:
    """The sender is gone: when it comes back it begins anew."""
    inbound = Inbound()
    arrive(inbound, encode(Part(1, 0, 1, 1), b"x"))
    assert list(inbound.taken(0.0)) == [(b"", b"", PartsTaken(1, 1))]
    assert list(inbound.taken(GIVE_UP_SECONDS)) == []
    arrive(inbound, encode(Part(1, 1, 0, 1), b"y"), GIVE_UP_SECONDS)
    assert list(inbound.taken(GIVE_UP_SECONDS)) == [(b"", b"", PartsTaken(0, 0))]


def test_of_what_is_half_there_only_so_much_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all senders together: who was silent for longest has to begin anew, and the newest is whole in the end."""
    monkeypatch.setattr(parts, "HELD_BYTES", 3000)
    inbound = Inbound()
    message, payload = large(bytes(2000))
    frame = encode(message, payload)
    for worker in (b"a", b"b", b"c"):
        assert arrive(inbound, encode(Part(1, 0, len(frame) - 1400, 1400, worker), frame[:1400])) is None
    assert [worker for _, worker, _ in inbound.taken(0.0)] == [b"b", b"c"]
    rest = frame[1400:]
    assert arrive(inbound, encode(Part(1, 1400, 0, len(rest), b"a"), rest)) is None
    assert arrive(inbound, encode(Part(1, 1400, 0, len(rest), b"c"), rest)) == message
