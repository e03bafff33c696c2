"""The codec: what is encoded is decoded, what is not of this protocol is a ProtocolError and nothing else."""

from __future__ import annotations

import math
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.inspect import StructType, VarTupleType, type_info

from penstock.errors import ProtocolError
from penstock.job.spec import JobState, Stamp
from penstock.wire import desk_messages, filter_messages, messages, records
from penstock.wire.desk_messages import Alive
from penstock.wire.frames import ASKED_BYTES, PREFIX, SIGNATURE, Decoder, asked_number, encode, join, kept, split
from penstock.wire.messages import Beat, Heartbeat, Outcomes, payload_bytes
from penstock.wire.records import MAX_RECORDS, Held, Message, OutcomeHead

ALL = vars(records) | vars(desk_messages) | vars(filter_messages) | vars(messages)
"""Of all modules that define messages, by name."""
UNIONS = ("ClientToVentilator", "VentilatorToClient", "ToVentilator", "VentilatorToWorker", "ClientToSink")
EVERYTHING = Decoder(Beat | Heartbeat | Alive | Outcomes)


def framed(header: bytes, payload: bytes = b"") -> bytes:
    """A frame with a good prefix."""
    return PREFIX.pack(SIGNATURE, len(header)) + header + payload


def test_every_message_travels_on_some_arrow() -> None:
    """No message is defined that nobody may send."""
    unions = [union for name, union in ALL.items() if "To" in name and get_args(union)]
    travelling = {kind for union in unions for kind in get_args(union)}
    named = {kind for kind in ALL.values() if isinstance(kind, type) and issubclass(kind, Message)}
    assert {kind for kind in named if not kind.__subclasses__()} == travelling


def test_what_is_encoded_is_decoded() -> None:
    """Nested records, bytes and enums included."""
    held = Held(2**62, b"b" * 16, Stamp(1, 2, 1), ((0, 5),), (), ((7, 9),))
    head = OutcomeHead(b"b" * 16, 0, 2, JobState.FAILED, True, Stamp(), 1, 0, 1.5, 0.25, 3)
    for message in (Beat(7), Heartbeat(b"w" * 16, 1, 4, (held,))):
        assert EVERYTHING.decode(encode(message)) == (message, b"")
    outcomes = Outcomes(b"w" * 16, "w", (head,))
    assert EVERYTHING.decode(encode(outcomes, b"a", memoryview(b"bc"))) == (outcomes, b"abc")


def test_a_topic_goes_before_the_message() -> None:
    """On control, for the subscription to match."""
    assert encode(Beat(7), topic=b"t" * 16) == b"t" * 16 + encode(Beat(7))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"PNS",
        b"GET / HTTP/1.1",
        SIGNATURE,
        framed(b""),
        PREFIX.pack(SIGNATURE, 9) + msgspec.msgpack.encode(["Beat", 1]),
        framed(msgspec.msgpack.encode(["Beat", 1]), b"x"),
        framed(b"\xc1"),
        framed(msgspec.msgpack.encode(["Beat", -1])),
        framed(msgspec.msgpack.encode(["Beat", 2**63])),
        framed(msgspec.msgpack.encode(["Beat"])),
        framed(msgspec.msgpack.encode(["Leave", 1])),
        framed(msgspec.msgpack.encode(["Alive", [b"short"]])),
        framed(b"\x91" * 5000),
    ],
)
def test_what_is_no_message_is_a_protocol_error(frame: bytes) -> None:
    """A foreign signature, junk, a message of another arrow, a field out of bounds."""
    with pytest.raises(ProtocolError):
        EVERYTHING.decode(frame)


def test_another_version_is_named() -> None:
    """So that people know what to do."""
    with pytest.raises(ProtocolError, match="version 9"):
        EVERYTHING.decode(b"PNS\x09" + encode(Beat(1))[4:])


def test_every_list_that_a_station_takes_in_is_bounded() -> None:
    """By itself, not by the frame alone: a byte of it may cost many in memory."""
    for union in ("ClientToVentilator", "ToVentilator", "WorkerToSink", "ClientToSink"):
        for kind in get_args(ALL[union]) or [ALL[union]]:
            for field in info_of(kind).fields:
                assert not isinstance(field.type, VarTupleType) or field.type.max_length, f"{kind}.{field.name}"
    many = msgspec.msgpack.encode(["Took", b"w" * 16, [1] * (MAX_RECORDS + 1), 1])
    with pytest.raises(ProtocolError, match="length <= 100000"):
        Decoder(messages.ToVentilator).decode(framed(many))


def info_of(kind: type) -> StructType:
    found = type_info(kind)
    assert isinstance(found, StructType)
    return found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("retry_delay", math.nan),
        ("retain", math.inf),
        ("time_limit", -1.0),
        ("expires_time", 1e12),
        ("not_before_time", math.nan),
        ("retries", 2**31),
        ("max_crashes", 0),
        ("limit", 0),
        ("priority", -(2**40)),
        ("name", "x" * 257),
        ("needs", ["x"] * 65),
        ("after", b"x" * 17),
        ("kind", "explode"),
    ],
)
def test_options_out_of_bounds_are_refused_by_number(field: str, value: object) -> None:
    """Whoever made them without our client is told why; the number is that of the request."""
    spec = {field: value}
    frame = framed(msgspec.msgpack.encode(["Submit", 7, [[bytes(16), spec, bytes(16), 0]], [], []]))
    with pytest.raises(ProtocolError, match=field):
        Decoder(desk_messages.ClientToVentilator).decode(frame)
    assert asked_number(frame) == 7


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"PNS",
        framed(b""),
        framed(b"\x91\xa1x"),
        framed(b"\x92\xa1x\xff"),
        framed(b"\xdd\xff\xff\xff\xff"),
        framed(b"\x92\xa1x\x07" + bytes(ASKED_BYTES)),
    ],
)
def test_some_requests_have_no_number(frame: bytes) -> None:
    """Then nobody can be told."""
    assert asked_number(frame) is None


@given(st.binary(max_size=200))
def test_random_bytes_never_do_more_than_that(junk: bytes) -> None:
    """Behind a good signature too."""
    for frame in (junk, framed(junk)):
        try:
            decoded: Any = EVERYTHING.decode(frame)
        except ProtocolError:
            continue
        assert isinstance(decoded.message, Message)


def test_a_payload_is_what_the_records_say() -> None:
    """Cut into their parts without a copy; anything else is a ProtocolError."""
    head = OutcomeHead(b"b" * 16, 0, 2, JobState.SUCCEEDED, True, Stamp(), 1, 0, 1.5, 0.25, 3)
    assert payload_bytes(Outcomes(b"w" * 16, "w", (head, head))) == 6
    assert [bytes(part) for part in split(b"abcdef", [3, 0, 3])] == [b"abc", b"", b"def"]
    with pytest.raises(ProtocolError):
        split(b"abcdef", [3, 4])
    whole = b"abc"
    assert join([b"", whole]) is whole
    assert join([b"ab", memoryview(b"cd")]) == b"abcd"


def test_what_is_kept_of_a_frame_costs_at_most_twice_its_size() -> None:
    """A small view would keep the whole frame: it is copied, and a large one is not."""
    frame = bytes(1000)
    small, large = kept(memoryview(frame)[:499]), kept(memoryview(frame)[:500])
    assert (type(small), len(small)) == (bytes, 499)
    assert isinstance(large, memoryview)
    assert large.obj is frame
    assert kept(frame) is frame
