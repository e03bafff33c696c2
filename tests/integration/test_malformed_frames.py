"""Strangers at the six sockets: what does not decode is counted, logged escaped and dropped, and everything goes on."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
from collections.abc import Iterator

import pytest

from penstock import Pipeline
from penstock.url import SOCKET_NAMES
from penstock.wire.frames import PREFIX, SIGNATURE, VERSION
from penstock.wire.records import MAX_FRAME_BYTES
from support.stations import Stations, until

PEERS = dict(zip(SOCKET_NAMES, (b"DEALER", b"PUSH", b"PULL", b"PUSH", b"SUB", b"DEALER"), strict=True))
"""What connects to each socket, in the words of ZMTP."""

MORE, LONG, COMMAND = 1, 2, 4


def framed(header: bytes, payload: bytes = b"") -> bytes:
    """A frame with a good prefix."""
    return PREFIX.pack(SIGNATURE, len(header)) + header + payload


GARBAGE: dict[str, list[list[bytes]]] = {
    "empty": [[b""]],
    "text": [[b"GET / HTTP/1.1\r\n\r\n\x1b[31m\n"]],
    "wrong version": [[b"PNS" + bytes([VERSION + 1]) + b"\x91\xa5Hello"]],
    "no msgpack": [[framed(b"\xc1\xff")]],
    "unknown message": [[framed(b"\x91\xa7Explode")]],
    "wrong direction": [[framed(b"\x92\xa8Accepted\x01")]],
    "deep nesting": [[framed(b"\x91" * 100_000)]],
    "too many frames": [[b"a"] * 7],
    "header that is longer than the frame": [[PREFIX.pack(SIGNATURE, 1 << 31) + b"\x91"]],
    "payload that does not add up": [
        [framed(b"\x95\xa6Submit\x01\x90\x91\x94\xc4\x10" + bytes(16) + b"\x00\x01\x09\x90", b"x")]
    ],
    "random": [[random.Random(seed).randbytes(seed % 97)] for seed in range(300)],
    "subscriptions": [
        [b"\x01"],
        [b"\x01" + bytes(3)],
        [b"\x01" + bytes(100_000)],
        [b"\x00" + bytes(16)],
        [b"\x01" + bytes(16)],
    ],
}


def frame(data: bytes, flags: int = 0) -> bytes:
    """One ZMTP frame."""
    if len(data) > 255:
        return bytes([flags | LONG]) + struct.pack(">Q", len(data)) + data
    return bytes([flags, len(data)]) + data


@contextlib.contextmanager
def stranger(url: str, name: str) -> Iterator[socket.socket]:
    """A connection to one of the six sockets that has shaken hands (ZMTP 3.0, NULL mechanism)."""
    host, _, base = url.removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host, int(base) + SOCKET_NAMES.index(name)), timeout=10) as connection:
        connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16 + 1 + 31))
        ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(PEERS[name])) + PEERS[name]
        connection.sendall(frame(ready, COMMAND))
        received = b""
        while b"READY" not in received:
            received += connection.recv(4096)
        yield connection


def send(connection: socket.socket, message: list[bytes]) -> None:
    """A message of frames; a peer that has closed the connection is right to do so."""
    with contextlib.suppress(OSError):
        *head, last = message
        connection.sendall(b"".join(frame(data, MORE) for data in head) + frame(last))


@pytest.mark.parametrize("name", SOCKET_NAMES)
def test_garbage_at_a_socket_changes_nothing(stations: Stations, name: str) -> None:
    """Malformed, wrong-version and oversized frames at each socket: jobs go on, and none that was accepted is lost."""
    stations.start("ventilator", "sink", "w1")
    with Pipeline(stations.url) as pipeline:
        until(lambda: len(pipeline.workers()) == 1)
        batch = pipeline.batch(abs, range(-2000, 0))
        for messages in GARBAGE.values():
            with stranger(stations.url, name) as connection:
                for message in messages:
                    send(connection, message)
        with stranger(stations.url, name) as connection, contextlib.suppress(OSError):
            connection.sendall(bytes([LONG]) + struct.pack(">Q", MAX_FRAME_BYTES + 1) + bytes(1 << 20))
        assert list(batch.values()) == list(range(2000, 0, -1))
        assert list(pipeline.map(abs, range(100))) == list(range(100))
        if name in {"desk", "report"}:
            assert until(lambda: pipeline.status().malformed) >= len(GARBAGE) // 2
    for station in ("ventilator", "sink", "w1"):
        assert stations.processes[station].poll() is None
        log = stations.log(station).read_bytes()
        if (station, name) in {
            ("ventilator", "desk"),
            ("ventilator", "report"),
            ("sink", "outcomes"),
            ("sink", "results"),
        }:
            assert b"malformed" in log
        assert b"Traceback" not in log
        assert b"\x1b" not in log
