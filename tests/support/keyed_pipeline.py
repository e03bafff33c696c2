"""A pipeline with keys, and ways to knock at its doors: what tests of keys share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import zmq

from penstock.keys.files import KeyFile, KeyFolder, load
from penstock.keys.roles import Role
from penstock.url import SOCKET_NAMES
from penstock.wire.bounds import Limits
from penstock.wire.frames import encode
from penstock.wire.guard import PEERS, Security, event_of, new_pair
from penstock.wire.records import Message
from support.stations import Stations, until

ANSWER_MILLIS = 5000
"""A door that does not answer for so long does not."""
LIMITS = Limits(frame_bytes=1 << 20, handshake_time=2.0, connections=60)
"""Small enough to be reached by a test."""


def make_keys(folder: Path, url: str) -> KeyFolder:
    """A key folder for a pipeline, with a key of each role."""
    keys = KeyFolder(folder / "keys", new_pair)
    keys.init(url)
    for role, name in ((Role.SUBMIT, "alice"), (Role.OBSERVE, "watch"), (Role.WORK, "gpu")):
        keys.new(role, name)
    return keys


def key_of(keys: KeyFolder, name: str) -> KeyFile:
    """A key by its name."""
    return load(keys.path / f"{name}.key", *Role)


def stranger(key: KeyFile) -> KeyFile:
    """The same with a secret that nobody knows of."""
    public, secret = new_pair()
    return msgspec.structs.replace(key, public=public, secret=secret)


class Door:
    """A socket of our own that knocks at one of a pipeline's, with a key or without one."""

    def __init__(self, url: str, name: str, key: KeyFile | None, topic: bytes = b"") -> None:
        host, _, base = url.rpartition(":")
        self._context = zmq.Context()
        self.socket = self._context.socket(PEERS[name])
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.RECONNECT_IVL, -1)
        self.socket.set(zmq.IMMEDIATE, 1)
        if topic:
            self.socket.set(zmq.SUBSCRIBE, topic)
        Security(key).on_connect(self.socket, name)
        self._monitor = self.socket.get_monitor_socket()
        self._monitor.set(zmq.LINGER, 0)
        self.socket.connect(f"{host}:{int(base) + SOCKET_NAMES.index(name)}")

    def got(self, wanted: int, millis: int = ANSWER_MILLIS) -> bool:
        """Whether the connection comes to this event, before it ends or falls silent."""
        ends = zmq.Event.DISCONNECTED | zmq.Event.CLOSED
        while self._monitor.poll(millis):
            event, _ = event_of(self._monitor.recv_multipart())
            if event & wanted:
                return True
            if event & ends:
                return False
        return False

    def answer(self) -> str:
        """What knocking came to."""
        failed = zmq.Event.HANDSHAKE_FAILED_AUTH | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
        while self._monitor.poll(ANSWER_MILLIS):
            event, _ = event_of(self._monitor.recv_multipart())
            if event == zmq.Event.HANDSHAKE_SUCCEEDED:
                return "let in"
            if event & failed:
                return "refused"
            if event & (zmq.Event.HANDSHAKE_FAILED_NO_DETAIL | zmq.Event.DISCONNECTED):
                return "cut off"
        return "no answer"

    def say(self, message: Message, *payload: bytes) -> None:
        """Send a message of the protocol."""
        self.socket.send(encode(message, *payload))

    def close(self) -> None:
        self.socket.disable_monitor()
        self._monitor.close(0)
        self.socket.close(0)
        self._context.term()


@contextlib.contextmanager
def door(url: str, name: str, key: KeyFile | None, topic: bytes = b"") -> Iterator[Door]:
    """A Door for a while."""
    made = Door(url, name, key, topic)
    try:
        yield made
    finally:
        made.close()


def knock(url: str, name: str, key: KeyFile | None) -> str:
    """What knocking once comes to: let in, refused, cut off, no answer."""
    return knock_at(url, [name], key)[0]


def knock_at(url: str, names: Iterable[str], key: KeyFile | None) -> list[str]:
    """The same at several doors at once."""
    with contextlib.ExitStack() as stack:
        return [one.answer() for one in [stack.enter_context(door(url, name, key)) for name in names]]


def start(stations: Stations, keys: KeyFolder, *workers: str, **settings: Any) -> None:
    """Ventilator, sink and workers with these keys."""
    stations.start("ventilator", "sink", *workers, key=str(keys.path), limits=LIMITS, **settings)
    log = stations.log("ventilator")
    until(lambda: log.read_bytes().count(b" worker_joined: ") == len(workers))
    until(lambda: b" sink_joined: " in log.read_bytes())


def open_files(pid: int) -> int:
    """How many files a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
