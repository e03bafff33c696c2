"""Named sockets with one poller.

Nothing here blocks but `poll`. What cannot be sent now (no peer, a full pipe) is not sent and said so: every message of
the protocol is said again by whoever needs it. Milliseconds exist only in this module.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import zmq

from penstock.errors import ConfigError
from penstock.job.spec import ID_BYTES
from penstock.keys.roles import EVERYONE, Peer
from penstock.url import ANY_HOST
from penstock.wire.bind_address import hold, not_bound, to_bind
from penstock.wire.connections import Connections
from penstock.wire.crowd import Crowd
from penstock.wire.frames import encode
from penstock.wire.guard import (
    HANDSHAKE_FAILED,
    HANDSHAKE_SUCCEEDED,
    LOOK_INTERVAL,
    OPEN,
    PEERS,
    Guard,
    News,
    Security,
    cut_off,
    event_of,
)
from penstock.wire.handshakes import Unshaken, failed_handshake
from penstock.wire.outward import Outward
from penstock.wire.records import MAX_FRAME_BYTES, Bytes, Message
from penstock.wire.self_test import self_test
from penstock.wire.socket_options import Connector, bind_all, reconnect_at_once, set_options
from penstock.wire.subscriptions import Topics, read_subscriptions
from penstock.wire.unread import Connection, Unread

TRACKED_BYTES = 4 << 10
"""Answers to clients are counted from this size on: it costs 10 us to learn that one was written."""
ZERO_COPY_BYTES = 64 << 10
"""From this size on handing the buffer to libzmq is cheaper than copying it (pyzmq's own threshold)."""
TURN_MESSAGES = 1_000
"""Messages taken from one socket in a turn: enough to fill a commit, few enough to keep a turn short."""
TURN_BYTES = 16 << 20
"""Bytes taken from one socket in a turn, after which the rest waits for the next."""

BINDS = {
    "desk": zmq.ROUTER,
    "report": zmq.PULL,
    "jobs": zmq.PUSH,
    "outcomes": zmq.PULL,
    "control": zmq.XPUB,
    "results": zmq.ROUTER,
}
"""What each socket is where it is bound; PEERS says what connects to it."""


class Received(NamedTuple):
    """One message from the wire: the socket's name, who sent it (ROUTER; else empty), the frame."""

    socket: str
    peer: bytes
    frame: Bytes
    sender: Peer = EVERYONE


class Links:
    """A set of named sockets with one poller."""

    def __init__(self, security: Security = OPEN) -> None:
        self._security = security
        self._context = zmq.Context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._kinds: dict[str, int] = {}
        self._monitors: dict[str, zmq.Socket[bytes]] = {}
        self._connections: dict[str, Connections] = {}
        self._unread: dict[str, Unread] = {}
        """Of sockets that answer peers by name."""
        self._topics: dict[str, Topics] = {}
        self._ports: dict[str, int] = {}
        self.guard: Guard | None = None
        """Of a station with keys."""
        self.news: News = News()  # of keys, strangers and names
        self._crowd = Crowd(security.limits, self.news)
        self._outward = Outward(lambda name: self._connections[name].shaken > 0, self.news)
        self._shut_out: dict[str, Unshaken] = {}
        """Sockets whose last try to connect ended in the handshake, and how."""
        self._poller = zmq.Poller()
        self._names: dict[object, str] = {}
        self._locks: list[int] = []
        self.frame_bytes: int = security.limits.frame_bytes or MAX_FRAME_BYTES
        """The largest message that is taken."""
        self.is_local: bool = False
        """Whether all peers are on this machine, and no link is between."""
        self.malformed: int = 0
        """Messages with an impossible number of frames, or of nobody who may be here."""

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Around the binding: let in whom the list of keys names, if there are keys, and see strangers refused. On any
        error everything is closed. ConfigError: there is no list, or it keeps nobody out."""
        key, folder, *_ = self._security
        try:
            if key is not None and folder is not None:
                self.guard = Guard(self._context, key, folder, self.news)
                self._poller.register(self.guard.socket, zmq.POLLIN)
            yield
            self._crowd.make_room(len(self._connections))
            if self.guard is not None:
                doors = {name: self._sockets[name].get_string(zmq.LAST_ENDPOINT) for name in self._ports}
                self_test(self._context, self.guard, doors)
        except BaseException:
            self.close()
            raise

    def socket(self, name: str, kind: int) -> zmq.Socket[bytes]:
        """A new socket with our options."""
        socket = self._context.socket(kind)
        set_options(socket, kind, self._security, self.frame_bytes, is_guarded=self.guard is not None)
        if kind in {zmq.ROUTER, zmq.XPUB}:
            self._unread[name] = Unread(name, self._security.limits, partial(self._cut, name), self.news)
            socket.copy_threshold = TRACKED_BYTES
        if kind == zmq.XPUB:
            self._topics[name] = Topics(self._security.limits.topics, partial(self._cut, name), self.news)
        self._sockets[name] = socket
        self._kinds[name] = kind
        if kind != zmq.PUSH:
            self._poller.register(socket, zmq.POLLIN)
            self._names[socket] = name
        return socket

    def bind(self, name: str, endpoint: str, *, monitored: bool = False) -> None:
        """A socket that others connect to. ConfigError: the address is in use, or cannot be had."""
        socket = self.socket(name, BINDS[name])
        port, at, path = None, [endpoint], endpoint.removeprefix("ipc://")
        if endpoint.startswith("tcp://"):
            guarded = self.guard is not None or self._security.insecure
            at = to_bind(endpoint, guarded=guarded)
            port = self._ports[name] = int(endpoint.rpartition(":")[2])
            self._security.on_bind(socket, name)
        self._watch_connections(name, Connections(bound=True, door=port or path, quiet=not monitored))
        try:
            if endpoint.startswith("ipc://"):
                self.is_local = True
                self._locks.append(hold(Path(path)))
            bound = bind_all(socket, at)
        except zmq.ZMQError as error:
            why = f"cannot bind {endpoint} ({name}): {error.strerror.lower()}"
            raise not_bound(why, at, port, error.errno) from None
        if len(at) > 1:
            self.news.log("several_addresses", socket=name, endpoint=endpoint, at=", ".join(bound))

    def connect(self, name: str, endpoint: str, *, subscribe: bytes = b"", monitored: bool = False) -> None:
        """A socket that connects, and keeps doing so. ConfigError: nothing can connect to such an address."""
        kind = PEERS[name.rstrip("0123456789")]
        socket = self.socket(name, kind)
        if kind in (zmq.PUSH, zmq.DEALER):
            socket.set(zmq.IMMEDIATE, 1)  # never queue for a peer that has not shaken hands
        self._watch_connections(name, Connections(bound=False, quiet=not monitored))
        if subscribe:
            socket.set(zmq.SUBSCRIBE, subscribe)
        if endpoint.startswith("tcp://"):
            self._security.on_connect(socket, name.rstrip("0123456789"))
        else:
            self.is_local = True
            reconnect_at_once(socket)
        asks = self._outward.resolver is not None
        try:
            self._outward.add(name, Connector(socket), endpoint)
        except zmq.ZMQError as error:
            hint = "it can be bound, and here a host must be named" if f"//{ANY_HOST}:" in endpoint else error.strerror
            raise ConfigError(f"cannot connect to {endpoint} ({name}): {hint}") from None
        if self._outward.resolver is not None and not asks:
            self.watch(self._outward.resolver.fd)

    def renew(self, name: str, *, is_said: bool) -> None:
        """Connect anew, if there is a connection; `is_said`: in the log."""
        if self.connections(name):
            if is_said:
                self.news.log("connects_anew", socket=name, endpoint=self._outward.endpoint(name))
            self._outward.renew(name)
            self._connections[name].closed(-1)

    def _watch_connections(self, name: str, connections: Connections) -> None:
        came = zmq.Event.ACCEPTED if connections.bound else HANDSHAKE_FAILED
        self._connections[name] = connections
        watcher = self._sockets[name].get_monitor_socket(came | HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED)
        watcher.set(zmq.LINGER, 0)
        self._monitors[name] = watcher
        self._poller.register(watcher, zmq.POLLIN)
        self._names[watcher] = f"monitor:{name}"

    def watch(self, fd: int, flags: int = zmq.POLLIN) -> None:
        """Poll a file descriptor too."""
        self._poller.register(fd, flags)

    def connections(self, name: str) -> int:
        """How many connections of a monitored socket have shaken hands."""
        return self._connections[name].shaken

    @property
    def nameless(self) -> str:
        """A name in an endpoint that has no address, and why; empty: there is none such."""
        return self._outward.nameless

    def down(self, *names: str) -> str:
        """Which of these sockets that connect are not connected, each by its endpoint and name; empty: all are."""
        return self._outward.down(names)

    def poll(self, timeout: float | None, only: Iterable[str] | None = None) -> tuple[list[str], list[int]]:
        """Wait for something to read: names of sockets (``monitor:NAME`` when a connection came or went; if there is an
        `only`, of those) and file descriptors. `timeout` in seconds; None: for ever. Raises Refused: no station will
        let this key in."""
        if self.guard is not None:
            timeout = LOOK_INTERVAL if timeout is None else min(timeout, LOOK_INTERVAL)
        if (again := self._outward.patience()) is not None:
            timeout = again if timeout is None else min(timeout, again)
        millis = None if timeout is None else max(0, int(timeout * 1000 + 0.999))
        names: list[str] = []
        fds: list[int] = []
        for item, _ in (self._poller if only is None else self._some(only)).poll(millis):
            if self._outward.resolver is not None and item == self._outward.resolver.fd:
                self._outward.take()
            elif isinstance(item, int):
                fds.append(item)
            elif self.guard is not None and item is self.guard.socket:
                self.guard.answer()
            else:
                names.append(self._names[item])
        self._outward.look()
        if self.guard is not None:
            self.guard.look(self._ports)
        for unread in self._unread.values():
            unread.look(time.monotonic())
        return [name for name in names if not name.startswith("monitor:") or self._read_monitor(name[8:])], fds

    def _some(self, names: Iterable[str]) -> zmq.Poller:
        """Of these sockets, what else is watched, and who is let in."""
        poller = zmq.Poller()
        for item, flags in self._poller.sockets:
            if self._names.get(item, "") in {"", *names}:
                poller.register(item, flags)
        return poller

    def _read_monitor(self, name: str) -> bool:
        """Take in what the connections of a socket did; whether anybody else is to know."""
        connections = self._connections[name]
        with contextlib.suppress(zmq.Again):
            while True:
                frames = self._monitors[name].recv_multipart(zmq.NOBLOCK)
                event, value = event_of(frames)
                if event == zmq.Event.ACCEPTED:
                    connections.accepted(value)
                    self._crowd.on_accepted(name, connections, value)
                elif event == HANDSHAKE_SUCCEEDED:
                    self._shut_out.pop(name, None)
                    if not connections.bound:
                        self._outward.check_owner(name)
                    connections.has_shaken()
                elif event == zmq.Event.DISCONNECTED:
                    connections.closed(value)
                    for kept in (self._unread.get(name), self._topics.get(name)):
                        if kept is not None:
                            kept.lose(value)
                else:
                    failed = failed_handshake(name, event, value, self._outward.endpoint(name))
                    if name not in self._shut_out:
                        self.news.log("no_handshake", socket=name, endpoint=failed.endpoint, why=failed.why)
                    self._shut_out[name] = failed
        return not connections.quiet

    @property
    def unshaken(self) -> Unshaken | None:
        """A try to connect that ended in the handshake, if there is a socket whose last try did."""
        return next(iter(self._shut_out.values()), None)

    @property
    def handshake_failure(self) -> str:
        """What is known of why that was; empty: there is none."""
        return "" if self.unshaken is None else self.unshaken.why

    def crowds(self, station: str) -> tuple[str, ...]:
        """Of which of this station's sockets there is hardly a connection left, for people."""
        return self._crowd.said(station, self._connections)

    def connection_events(self, name: str) -> list[bool]:
        """What a monitored socket's connections did since the last call: True for up, False for lost, in order."""
        return self._connections[name].take_events()

    def receive(self, name: str) -> Iterable[Received]:
        """The messages that wait, up to a turn's worth; a message of several frames is dropped and counted."""
        socket = self._sockets[name]
        addressed = self._kinds[name] == zmq.ROUTER
        topic = ID_BYTES if self._kinds[name] == zmq.SUB else 0
        guard = self.guard if name in self._ports else None
        unread = self._unread[name] if addressed else None
        taken = 0
        for _ in range(TURN_MESSAGES):
            try:
                peer = socket.recv(zmq.NOBLOCK) if addressed else b""
                frame = socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            sender = EVERYONE if guard is None else guard.sender(frame)
            if frame.more or sender is None:
                self.malformed += 1
                _drop_rest(socket)
                continue
            if unread is not None and not unread.knows(peer):
                address = frame.get("Peer-Address")
                unread.meet(peer, Connection(int(frame.get(zmq.SRCFD)), sender.public, sender.name, str(address)))
            size = len(frame)
            yield Received(name, peer, (frame.buffer if size >= ZERO_COPY_BYTES else frame.bytes)[topic:], sender)
            taken += size
            if taken > TURN_BYTES:
                return

    def subscriptions(self, name: str) -> Iterable[tuple[bool, bytes, Peer]]:
        """What an XPUB's subscribers did: (came, topic, who). With keys nobody hears anything before `admit`."""
        return read_subscriptions(self._sockets[name], self.guard if name in self._ports else None, self._topics[name])

    def admit(self, name: str, topic: bytes) -> None:
        """Let whoever subscribed last to an XPUB hear of this topic."""
        if self.guard is not None:
            self._sockets[name].set(zmq.SUBSCRIBE, topic)

    def has_room(self, name: str, peer: bytes) -> bool:
        """Whether this peer reads: has not as much waiting for it as it may."""
        return self._unread[name].has_room(peer, time.monotonic())

    def full(self, name: str) -> frozenset[bytes]:
        """The peers that have no room."""
        return self._unread[name].full(time.monotonic())

    def address(self, name: str, peer: bytes) -> str:
        """Where this peer of a ROUTER came from; empty: from this machine, or it is gone."""
        return self._unread[name].address(peer)

    def _cut(self, name: str, fd: int) -> None:
        """This connection of a socket; one in a private folder is of our own user, and only waits."""
        if (port := self._ports.get(name)) is not None:
            cut_off({port}, only=fd)

    def send(self, name: str, message: Message, *payload: Bytes, peer: bytes = b"") -> bool:
        """Send now, or not at all (False): nobody there, or the pipe is full. `peer`: to whom, for a ROUTER or XPUB."""
        return self._unsent(name, message, *payload, peer=peer) == 0

    def reaches(self, name: str, message: Message, peer: bytes) -> bool:
        """Whether this peer of a ROUTER is connected; it is sent the message, if it has room for it."""
        return self._unsent(name, message, peer=peer) != zmq.EHOSTUNREACH

    def _unsent(self, name: str, message: Message, *payload: Bytes, peer: bytes) -> int:
        """Send now; 0, or why it was not: EAGAIN, EHOSTUNREACH (no such peer)."""
        socket = self._sockets[name]
        routed = self._kinds[name] == zmq.ROUTER
        frame = encode(message, *payload, topic=b"" if routed else peer)
        is_large = len(frame) >= (TRACKED_BYTES if routed else ZERO_COPY_BYTES)
        unread = self._unread.get(name) if is_large else None
        if routed and unread is not None and not unread.has_room(peer, time.monotonic()):
            return zmq.EAGAIN
        try:
            if routed:
                socket.send(peer, zmq.NOBLOCK | zmq.SNDMORE)
            tracker = socket.send(frame, zmq.NOBLOCK, copy=not is_large, track=unread is not None)
            if unread is not None and tracker is not None:
                unread.sent(peer, len(frame), tracker, time.monotonic())
        except zmq.ZMQError as error:
            if error.errno not in {zmq.EAGAIN, zmq.EHOSTUNREACH}:
                raise
            return error.errno
        return 0

    def close(self) -> None:
        """Close everything; nothing that was not sent is waited for."""
        if self.guard is not None:
            self.guard.close()
            self.guard = None
        for name in self._monitors:
            self._sockets[name].disable_monitor()
        for socket in (*self._monitors.values(), *self._sockets.values()):
            socket.close(0)
        self._context.term()
        self._outward.close()
        list(map(os.close, self._locks))
        self._monitors, self._sockets, self._locks = {}, {}, []


def _drop_rest(socket: zmq.Socket[bytes]) -> None:
    """Read the further frames of a message away."""
    while socket.get(zmq.RCVMORE):
        socket.recv(copy=False)
