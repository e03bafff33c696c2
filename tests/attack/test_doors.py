"""Who enters which of the six sockets, and what comes in there before anybody is known: frames, floods, nonsense."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from functools import partial

import msgspec
import pytest
import zmq

from conftest import Show
from penstock import version
from penstock.job.spec import BatchSpec, new_batch_id
from penstock.keys.files import KeyFile
from penstock.keys.roles import DOORS, Role
from penstock.url import SOCKET_NAMES
from penstock.wire.desk_messages import (
    AskArguments,
    AskBatches,
    AskGone,
    AskPipeline,
    BatchClose,
    BatchOpen,
    ChunkHead,
    Program,
    Refused,
    Submit,
    VentilatorToClient,
)
from penstock.wire.frames import PREFIX, SIGNATURE, VERSION, Decoder, encode
from penstock.wire.messages import Fetch, Follow
from support.attack_scene import LIMITS, Attack, Attacks, Scene, assert_harmless
from support.keyed_pipeline import door, knock_at, stranger
from support.stations import until

ATTACKS = Attacks()
LIMIT_BYTES = LIMITS.frame_bytes or 0

# ------------------------------------------------------------------------------------------ every role at every socket


def wrong_server(scene: Scene) -> KeyFile:
    """A key of the pipeline's that takes somebody else for its stations."""
    key, other = scene.key("alice"), stranger(scene.key("alice")).public
    return msgspec.structs.replace(key, ventilator=other, sink=other)


def revoked(scene: Scene) -> KeyFile:
    """A key that was let in, and is not any more."""
    if (kept := scene.folder / "keys" / "gone").exists():
        return msgspec.json.decode(kept.read_bytes(), type=KeyFile)
    scene.keys.new(Role.ADMIN, "fired")
    key = scene.key("fired")
    until(lambda: knock_at(scene.url, ["desk", "results"], key) == ["let in"] * 2)
    kept.write_bytes(msgspec.json.encode(key))
    scene.keys.revoke("fired")
    until(lambda: knock_at(scene.url, ["desk", "results"], key) == ["refused"] * 2)
    return key


KEYS: dict[str, tuple[Callable[[Scene], KeyFile | None], frozenset[str]]] = {
    "no key": (lambda _: None, frozenset()),
    "unknown key": (lambda scene: stranger(scene.key("admin")), frozenset()),
    "wrong server key": (wrong_server, frozenset()),
    "revoked key": (revoked, frozenset()),
    "observe": (lambda scene: scene.key("watch"), frozenset({"desk", "results"})),
    "submit": (lambda scene: scene.key("bob"), frozenset({"desk", "results"})),
    "admin": (lambda scene: scene.key("admin"), frozenset({"desk", "results"})),
    "work": (lambda scene: scene.key("gpu"), frozenset({"report", "jobs", "outcomes", "control"})),
    # at its own two doors the sink lets itself in, for its self-test
    "sink's": (lambda scene: scene.key("sink"), frozenset(DOORS) - {"jobs", "desk"}),
}


def enters(scene: Scene, role: str, at: str) -> str:
    """Whether this key opens this door; how one learns that it does not is a matter of moments, so all six are knocked
    at at once."""
    if role not in scene.answers:
        scene.answers[role] = knock_at(scene.url, SOCKET_NAMES, KEYS[role][0](scene))
    return "let in" if scene.answers[role][SOCKET_NAMES.index(at)] == "let in" else "kept out"


for role, (_, opens) in KEYS.items():
    for at in SOCKET_NAMES:
        if at not in opens:
            ATTACKS.append(Attack(role, f"enters {at}", "kept out", partial(enters, role=role, at=at)))


# ------------------------------------------------------------------------------------------ frames


def framed(header: bytes, payload: bytes = b"") -> bytes:
    """With a good prefix."""
    return PREFIX.pack(SIGNATURE, len(header)) + header + payload


def claimed(sign: bytes) -> bytes:
    """A Submit whose list of batches says that it has 2**32 - 1 of them."""
    return framed(b"\x95\xa6Submit\x01" + sign + b"\xff" * 4)


FRAMES: dict[str, list[bytes]] = {
    "an empty message": [b""],
    "a message of 1,000 frames": [b"x"] * 1000,
    "a message of two frames, each a good one": [encode(AskPipeline(1))] * 2,
    "a version of the next year": [b"PNS" + bytes([VERSION + 1]) + encode(AskPipeline(1))[4:]],
    "the signature of another protocol": [b"HTTP" + encode(AskPipeline(1))[4:]],
    "a header that is longer than its frame": [PREFIX.pack(SIGNATURE, 2**32 - 1) + b"\x91"],
    "a header of no bytes": [framed(b"")],
    "a payload where none belongs": [encode(AskPipeline(1), b"x" * 1000)],
    "an array of 2**32 - 1 elements": [framed(b"\xdd\xff\xff\xff\xff")],
    "a map of 2**32 - 1 pairs": [framed(b"\xdf\xff\xff\xff\xff")],
    "a text of 2**32 - 1 bytes": [framed(b"\xdb\xff\xff\xff\xff")],
    "a list of batches of 2**32 - 1 elements": [claimed(b"\xdd")],
    "a list of batches that is a text of 4 GB": [claimed(b"\xdb")],
    "arrays in arrays, 100,000 deep": [framed(b"\x91" * 100_000)],
    "maps in maps, 100,000 deep": [framed(b"\x81\xa1a" * 100_000)],
    "a message that is not there": [framed(b"\x91\xa7Explode")],
    "control characters for a message": [framed(b"\x91\xa8\x1b[2J\r\n\x07\x9b")],
    "text that is none": [framed(b"\x94\xaaAskBatches\x01\xa2\xff\xfe\x01")],
    "a number below zero": [framed(b"\x92\xabAskPipeline\xff")],
    "a number of 2**64 - 1": [framed(b"\x92\xabAskPipeline\xcf" + b"\xff" * 8)],
    "a number that is no number": [framed(b"\x92\xabAskPipeline\xcb" + struct.pack(">d", float("nan")))],
    "a pickle that runs code where it is opened": [b"cos\nabort\n(tR."],
    "a pickle in a good frame": [framed(b"\xc4\x0ecos\nabort\n(tR.")],
}


def dropped(scene: Scene, at: str, frames: list[bytes]) -> str:
    """From somebody who may be there; what is said next is heard."""
    who = {"desk": "bob", "results": "bob", "report": "gpu", "outcomes": "gpu"}[at]
    before = scene.admin.status().malformed
    with door(scene.url, at, scene.key(who)) as knocked:
        assert knocked.answer() == "let in"
        knocked.socket.send_multipart(frames)
        if at == "outcomes":
            return scene.taken(knocked)
        if at == "results":
            knocked.say(Fetch(7, scene.loot, 0, 1))
            until(lambda: knocked.socket.poll(1000) and b"Fetched" in knocked.socket.recv())
        else:
            until(lambda: scene.admin.status().malformed > before)
    return "dropped"


for at, role in (("desk", "submit"), ("results", "submit"), ("report", "work"), ("outcomes", "work")):
    for what, frames in FRAMES.items():
        ATTACKS.append(Attack(role, f"{what}, at {at}", "dropped", partial(dropped, at=at, frames=frames)))


def too_large(scene: Scene, at: str, who: str) -> str:
    """A frame over the limit."""
    with door(scene.url, at, scene.key(who)) as knocked:
        assert knocked.answer() == "let in"
        knocked.socket.send(bytes(LIMIT_BYTES + 1))
        return "cut off" if knocked.got(zmq.Event.DISCONNECTED, 10_000) else "taken"


for at, role, who in (
    ("desk", "submit", "bob"), ("results", "submit", "bob"), ("report", "work", "gpu"), ("outcomes", "work", "gpu"),
):  # fmt: skip
    ATTACKS.append(Attack(role, f"a frame over the limit, at {at}", "cut off", partial(too_large, at=at, who=who)))


@ATTACKS.add("work", "heard of no more")
def junk(scene: Scene) -> str:
    """says at control what is no subscription."""
    with zmq.Context() as context, context.socket(zmq.XSUB) as socket:
        socket.set(zmq.LINGER, 0)
        key = scene.key("gpu")
        socket.curve_publickey, socket.curve_secretkey = key.public.encode(), key.secret.encode()
        socket.curve_serverkey = key.ventilator.encode()
        base = int(scene.url.rpartition(":")[2])
        socket.connect(f"tcp://127.0.0.1:{base + SOCKET_NAMES.index('control')}")
        scene.noticed("ventilator", b" junk_at_control: ", lambda: socket.send(b"junk\x1b[2J"))
        return "heard of no more" if not socket.poll(50) else "heard"


# ------------------------------------------------------------------------------------------ submits that cannot be


def submitted(scene: Scene, message: Submit, payload: bytes) -> str:
    """How a submit of bob's is answered."""
    with door(scene.url, "desk", scene.key("bob")) as desk:
        assert desk.answer() == "let in"
        desk.say(msgspec.structs.replace(message, program=Program(version.VERSION, "host", 1)), payload)
        if not desk.socket.poll(1000):
            return "not answered"
        answer = Decoder(VentilatorToClient).decode(desk.socket.recv()).message
        return "refused" if isinstance(answer, Refused) and answer.number == 1 else str(answer)


def opening(**options: object) -> tuple[Submit, bytes]:
    """A batch with these options."""
    batch = new_batch_id()
    spec = BatchSpec(**options)  # type: ignore[arg-type]
    opened, closed = BatchOpen(batch, spec, bytes(16), 1), BatchClose(batch, 1)
    return Submit(1, (opened,), (ChunkHead(batch, 0, 1, 1),), (closed,)), b"fa"


OPTIONS: dict[str, dict[str, object]] = {
    "a delay that is no number": {"retry_delay": float("nan")},
    "a delay without end": {"retry_delay": float("inf")},
    "a start in the year 9000": {"not_before_time": 2.2e11},
    "a name of 10,000 characters": {"name": "x" * 10_000},
    "2**70 retries": {"retries": 2**63 - 1},
    "10,000 tags": {"needs": tuple(map(str, range(10_000)))},
    "a kind that is none": {"kind": "shell"},
    "a serializer that is none": {"serializer": "eval"},
}
for what, options in OPTIONS.items():
    message, payload = opening(**options)

    def submits(scene: Scene, message: Submit = message, payload: bytes = payload) -> str:
        return submitted(scene, message, payload)

    ATTACKS.append(Attack("submit", f"a batch with {what}", "refused", submits))


@ATTACKS.add("submit", "not answered")
def overlapping(scene: Scene) -> str:
    """a batch whose chunks overlap."""
    batch = new_batch_id()
    chunks = (ChunkHead(batch, 0, 5, 1), ChunkHead(batch, 3, 5, 1))
    opened = BatchOpen(batch, BatchSpec(), bytes(16), 1)
    return submitted(scene, Submit(1, (opened,), chunks, (BatchClose(batch, 8),)), b"fab")


@ATTACKS.add("submit", "not answered")
def beyond_all(scene: Scene) -> str:
    """a chunk at the index 2**63 - 1."""
    batch = new_batch_id()
    chunk = ChunkHead(batch, 2**63 - 1, 10, 1)
    return submitted(scene, Submit(1, (BatchOpen(batch, BatchSpec(), bytes(16), 1),), (chunk,), ()), b"fa")


@ATTACKS.add("submit", "accepted once")
def replayed(scene: Scene) -> str:
    """a submit of a connection that is gone, replayed over 20 new ones."""
    message, payload = opening(needs=("nowhere",))
    frame = encode(message, payload)
    for _ in range(20):
        with door(scene.url, "desk", scene.key("bob")) as desk:
            assert desk.answer() == "let in"
            desk.socket.send(frame)
            assert desk.socket.poll(10_000)
            desk.socket.recv()
    batch = scene.admin.attach(message.opens[0].batch.hex())
    status = batch.status()
    batch.delete()
    return "accepted once" if (status.accepted, status.total) == (1, 1) else f"accepted {status.accepted} times"


# ------------------------------------------------------------------------------------------ floods


def flood(scene: Scene, at: str, make: Callable[[Scene, int], bytes], count: int) -> str:
    """Questions whose answers are not read. With more than HWM of them libzmq ends the station (test_fatal.py); bounds
    by size, per connection and key, will let it grow less than GROWTH_BYTES."""
    with door(scene.url, at, scene.key("watch")) as knocked:
        assert knocked.answer() == "let in"
        for number in range(count):
            knocked.socket.send(make(scene, number))
        assert scene.alice.submit(abs, -5).result(30) == 5
        assert knocked.socket.poll(10_000)
    return "answered as far as it reads"


FLOODS: dict[str, tuple[str, Callable[[Scene, int], bytes]]] = {
    "5,000 questions how the pipeline stands": ("desk", lambda _, number: encode(AskPipeline(number))),
    "5,000 questions for all batches": ("desk", lambda _, number: encode(AskBatches(number, "", 100))),
    "5,000 questions for arguments": (
        "desk",
        lambda scene, number: encode(AskArguments(number, scene.loot, 0, 3, 1000)),
    ),
    "5,000 fetches": ("results", lambda scene, number: encode(Fetch(number, scene.loot, 0, 3))),
    "5,000 follows": ("results", lambda scene, number: encode(Follow(scene.loot, 0, 1 << 30, number))),
    "5,000 follows of batches that are not there": (
        "results",
        lambda _, number: encode(Follow(number.to_bytes(16, "big"), 0, 1, number)),
    ),
}
for what, (at, make) in FLOODS.items():
    attack = partial(flood, at=at, make=make, count=5_000)
    ATTACKS.append(Attack("observe", f"{what}, none of the answers read", "answered as far as it reads", attack))


@ATTACKS.add("observe", "answered")
def gone(scene: Scene) -> str:
    """asks of 60,000 batches at once whether they are gone."""
    with door(scene.url, "desk", scene.key("watch")) as desk:
        assert desk.answer() == "let in"
        desk.say(AskGone(1, tuple(number.to_bytes(16, "big") for number in range(50_000))))
        assert desk.socket.poll(10_000)
    return "answered"


@ATTACKS.add("submit", "closed")
def connections(scene: Scene) -> str:
    """more connections at the desk than it takes."""
    with contextlib.ExitStack() as opened:
        doors = [opened.enter_context(door(scene.url, "desk", scene.key("bob"))) for _ in range(2 * LIMITS.connections)]
        inside = [one for one in doors if one.answer() == "let in"]

        def most() -> bool:
            # who comes along with others may have shaken hands before the station counts them and cuts it off
            inside[:] = [one for one in inside if not one.got(zmq.Event.DISCONNECTED, 0)]
            return len(inside) <= LIMITS.connections

        until(most)
    return "closed"


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_what_comes_to_a_door(attack: Attack, scene: Scene, show: Show) -> None:
    """Who may not enter is kept out; what is no message is dropped; a flood is borne."""
    assert_harmless(attack, scene, show)
