"""The only import of zmq: the six sockets of a pipeline as four sets, one for each kind of process.

========== ===================== =====================================================
set        binds                 connects
========== ===================== =====================================================
ventilator desk report jobs      (stable parts bind)
           control
sink       outcomes results      report, control
worker                           report, control, jobs, outcomes
client                           desk, results
========== ===================== =====================================================

Nothing here blocks but `poll`. What cannot be sent now (no peer, a full pipe) is not sent and said so: every message of
the protocol is said again by whoever needs it. Milliseconds exist only in this module.
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import zmq

from penstock.address import hold, listener
from penstock.config import endpoints
from penstock.errors import ConfigError
from penstock.job import ID_BYTES
from penstock.messages import MAX_FRAME_BYTES, Bytes, Message, encode

HEARTBEAT_MILLIS = 500
"""ZMTP heartbeats find dead links: a peer silent for HEARTBEAT_TIMEOUT_MILLIS is disconnected (seen: 1.8 s)."""
HEARTBEAT_TIMEOUT_MILLIS = 1500
HANDSHAKE_MILLIS = 3000
"""A connection that has not shaken hands by then is closed; the default of 30 s lets strangers hold sockets."""
RECONNECT_MILLIS = 50
RECONNECT_MAX_MILLIS = 2000
"""A restarted station is found within two seconds; a dead one is not hammered."""
IPC_RECONNECT_MILLIS = 10
"""On one machine a try costs microseconds, and a pipeline that starts is waited for by whoever started it."""
HWM = 10_000
"""Messages per pipe. Only a memory fence: what may be under way is bounded by credit."""
MAX_SOCKETS = 65_000
"""libzmq's own bound is 1,023 sockets a context; connections count."""
ZERO_COPY_BYTES = 64 << 10
"""From this size on handing the buffer to libzmq is cheaper than copying it (pyzmq's own threshold)."""
TURN_MESSAGES = 1_000
"""Messages taken from one socket in a turn: enough to fill a commit, few enough to keep a turn short."""
TURN_BYTES = 16 << 20
"""Bytes taken from one socket in a turn, after which the rest waits for the next."""

_EVENT = struct.Struct("=H")
"""The number that begins a monitor's message (zmq_socket_monitor(3))."""
_CONNECTED = zmq.Event.HANDSHAKE_SUCCEEDED
_LOST = zmq.Event.DISCONNECTED


class Received(NamedTuple):
    """One message from the wire: the socket's name, who sent it (ROUTER; else empty), the frame."""

    socket: str
    peer: bytes
    frame: Bytes


class Links:
    """A set of named sockets with one poller."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._context.set(zmq.ContextOption.MAX_SOCKETS, MAX_SOCKETS)
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._kinds: dict[str, int] = {}
        self._monitors: dict[str, zmq.Socket[bytes]] = {}
        self._connections: dict[str, int] = {}
        self._poller = zmq.Poller()
        self._files = select.poll()
        self._names: dict[object, str] = {}
        self._locks: list[int] = []
        self.malformed = 0
        """Messages with an impossible number of frames."""

    def socket(self, name: str, kind: int) -> zmq.Socket[bytes]:
        """A new socket with our options."""
        socket = self._context.socket(kind)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.SNDHWM, HWM)
        socket.set(zmq.RCVHWM, HWM)
        socket.set(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        socket.set(zmq.HANDSHAKE_IVL, HANDSHAKE_MILLIS)
        socket.set(zmq.HEARTBEAT_IVL, HEARTBEAT_MILLIS)
        socket.set(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MILLIS)
        socket.set(zmq.RECONNECT_IVL, RECONNECT_MILLIS)
        socket.set(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MILLIS)
        socket.set(zmq.TCP_KEEPALIVE, 1)
        if kind == zmq.ROUTER:
            socket.set(zmq.ROUTER_MANDATORY, 1)  # else a full or unknown peer is a silent loss
        if kind == zmq.XPUB:
            socket.set(zmq.XPUB_VERBOSER, 1)  # every connection's coming and going, also of a known topic
            socket.set(zmq.XPUB_NODROP, 1)
        self._sockets[name] = socket
        self._kinds[name] = kind
        if kind != zmq.PUSH:
            self._poller.register(socket, zmq.POLLIN)
            self._names[socket] = name
        return socket

    def bind(self, name: str, kind: int, endpoint: str, *, monitored: bool = False) -> None:
        """A socket that others connect to. ConfigError: the address is in use, or cannot be had."""
        socket = self.socket(name, kind)
        if monitored:
            self.monitor(name)
        if endpoint.startswith("tcp://") and "[" in endpoint:
            socket.set(zmq.IPV6, 1)
        try:
            if endpoint.startswith("ipc://"):
                self._locks.append(hold(Path(endpoint.removeprefix("ipc://"))))
            socket.bind(endpoint)
        except ConfigError:
            self.close()
            raise
        except zmq.ZMQError as error:
            self.close()
            who = listener(int(endpoint.rpartition(":")[2])) if endpoint.startswith("tcp://") else ""
            raise ConfigError(f"cannot bind {endpoint} ({name}): {error.strerror.lower()}{who}") from None

    def connect(self, name: str, kind: int, endpoint: str, *, subscribe: bytes = b"", monitored: bool = False) -> None:
        """A socket that connects, and keeps doing so."""
        socket = self.socket(name, kind)
        if kind in (zmq.PUSH, zmq.DEALER):
            socket.set(zmq.IMMEDIATE, 1)  # never queue for a peer that has not shaken hands
        if monitored:
            self.monitor(name)
        if subscribe:
            socket.set(zmq.SUBSCRIBE, subscribe)
        if endpoint.startswith("tcp://"):
            socket.set(zmq.IPV6, 1 if "[" in endpoint else 0)
        else:
            socket.set(zmq.RECONNECT_IVL, IPC_RECONNECT_MILLIS)
            socket.set(zmq.RECONNECT_IVL_MAX, 0)
        socket.connect(endpoint)

    def monitor(self, name: str) -> None:
        """Watch the connections of a socket; see `connections` and `poll`."""
        self._connections[name] = 0
        watcher = self._sockets[name].get_monitor_socket(_CONNECTED | _LOST)
        watcher.set(zmq.LINGER, 0)
        self._monitors[name] = watcher
        self._poller.register(watcher, zmq.POLLIN)
        self._names[watcher] = f"monitor:{name}"

    def watch(self, fd: int, flags: int = zmq.POLLIN) -> None:
        """Poll a file descriptor too."""
        self._poller.register(fd, flags)
        self._files.register(fd, select.POLLIN)

    def poll_files(self, timeout: float) -> list[int]:
        """Wait for the watched file descriptors only; whatever the sockets have stays in them."""
        return [fd for fd, _ in self._files.poll(timeout * 1000)]

    def connections(self, name: str) -> int:
        """How many connections of a monitored socket have shaken hands."""
        return self._connections[name]

    def poll(self, timeout: float | None) -> tuple[list[str], list[int]]:
        """Wait for something to read: names of sockets (``monitor:NAME`` when a connection came or went) and file
        descriptors. `timeout` in seconds; None waits for ever."""
        millis = None if timeout is None else max(0, int(timeout * 1000 + 0.999))
        names: list[str] = []
        fds: list[int] = []
        for item, _ in self._poller.poll(millis):
            if isinstance(item, int):
                fds.append(item)
            else:
                names.append(self._names[item])
        return names, fds

    def connection_events(self, name: str) -> list[bool]:
        """What a monitored socket's connections did since the last call: True for up, False for lost, in order."""
        events: list[bool] = []
        with contextlib.suppress(zmq.Again):
            while True:
                # zmq.utils.monitor would bring asyncio along: a third of a station's start
                (event,) = _EVENT.unpack_from(self._monitors[name].recv_multipart(zmq.NOBLOCK)[0])
                up = event == _CONNECTED
                self._connections[name] = max(0, self._connections[name] + (1 if up else -1))
                events.append(up)
        return events

    def receive(self, name: str) -> Iterable[Received]:
        """The messages that wait, up to a turn's worth; a message of several frames is dropped and counted."""
        socket = self._sockets[name]
        addressed = self._kinds[name] == zmq.ROUTER
        topic = ID_BYTES if self._kinds[name] == zmq.SUB else 0
        taken = 0
        for _ in range(TURN_MESSAGES):
            try:
                peer = socket.recv(zmq.NOBLOCK) if addressed else b""
                frame = socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            if frame.more:
                self.malformed += 1
                _drop_rest(socket)
                continue
            size = len(frame)
            yield Received(name, peer, (frame.buffer if size >= ZERO_COPY_BYTES else frame.bytes)[topic:])
            taken += size
            if taken > TURN_BYTES:
                return

    def subscriptions(self, name: str) -> Iterable[tuple[bool, bytes]]:
        """What an XPUB's subscribers did: (came, topic)."""
        with contextlib.suppress(zmq.Again):
            while True:
                frame = self._sockets[name].recv(zmq.NOBLOCK)
                if frame[:1] in (b"\x00", b"\x01"):
                    yield frame[0] == 1, frame[1:]

    def send(self, name: str, message: Message, *payload: Bytes, peer: bytes = b"") -> bool:
        """Send now, or not at all (False): nobody there, or the pipe is full. `peer`: to whom, for a ROUTER or XPUB."""
        socket = self._sockets[name]
        routed = self._kinds[name] == zmq.ROUTER
        frame = encode(message, *payload, topic=b"" if routed else peer)
        try:
            if routed:
                socket.send(peer, zmq.NOBLOCK | zmq.SNDMORE)
            socket.send(frame, zmq.NOBLOCK, copy=len(frame) < ZERO_COPY_BYTES)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return False
            raise
        return True

    def close(self) -> None:
        """Close everything; nothing that was not sent is waited for."""
        for name in self._monitors:
            self._sockets[name].disable_monitor()
        for socket in (*self._monitors.values(), *self._sockets.values()):
            socket.close(0)
        self._context.term()
        for lock in self._locks:
            os.close(lock)
        self._monitors, self._sockets, self._locks = {}, {}, []


def _drop_rest(socket: zmq.Socket[bytes]) -> None:
    """Read the further frames of a message away."""
    while socket.get(zmq.RCVMORE):
        socket.recv(copy=False)


def ventilator_links(url: str) -> Links:
    """The ventilator's sockets: desk, report, jobs (monitored), control."""
    at, links = endpoints(url), Links()
    links.bind("desk", zmq.ROUTER, at.desk)
    links.bind("report", zmq.PULL, at.report)
    links.bind("jobs", zmq.PUSH, at.jobs, monitored=True)
    links.bind("control", zmq.XPUB, at.control)
    return links


def sink_links(url: str, sink: bytes) -> Links:
    """The sink's sockets: outcomes, results, report, control."""
    at, links = endpoints(url), Links()
    links.bind("outcomes", zmq.PULL, at.outcomes)
    links.bind("results", zmq.ROUTER, at.results)
    links.connect("report", zmq.PUSH, at.report)
    links.connect("control", zmq.SUB, at.control, subscribe=sink)
    return links


def worker_links(url: str, worker: bytes) -> Links:
    """A worker's sockets: report, jobs (monitored), outcomes (monitored), control."""
    at, links = endpoints(url), Links()
    links.connect("report", zmq.PUSH, at.report)
    links.connect("jobs", zmq.PULL, at.jobs, monitored=True)
    links.connect("outcomes", zmq.PUSH, at.outcomes, monitored=True)
    links.connect("control", zmq.SUB, at.control, subscribe=worker)
    return links


class ClientLinks(Links):
    """A client's sockets: desk and results (both monitored), and a way to wake its thread from others."""

    def __init__(self, url: str) -> None:
        at = endpoints(url)
        super().__init__()
        self.connect("desk", zmq.DEALER, at.desk, monitored=True)
        self.connect("results", zmq.DEALER, at.results, monitored=True)
        self._results = at.results
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.watch(self._wake)

    def add_results(self, name: str) -> None:
        """One more results connection."""
        self.connect(name, zmq.DEALER, self._results, monitored=True)

    def wake(self) -> None:
        """From any thread: let `poll` return."""
        os.eventfd_write(self._wake, 1)

    def woken(self) -> None:
        """The wake-up was seen."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def close(self) -> None:
        """Close everything."""
        super().close()
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1
