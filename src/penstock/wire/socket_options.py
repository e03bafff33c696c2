"""The options of libzmq that our sockets have."""

from __future__ import annotations

import errno
from typing import NamedTuple

import zmq

from penstock.wire.guard import Security

HEARTBEAT_MILLIS = 500
"""ZMTP heartbeats find dead links: a peer silent for HEARTBEAT_TIMEOUT_MILLIS is disconnected (seen: 1.8 s)."""
HEARTBEAT_TIMEOUT_MILLIS = 1500
RECONNECT_MILLIS = 50
RECONNECT_MAX_MILLIS = 2000
"""A restarted station is found within two seconds; a dead one is not hammered."""
CONNECT_MILLIS = 5000
"""For a connection to come up, three tries of the kernel's: by itself it tries for two minutes, ever more rarely, an
address where nobody is any more, while the name has another one already, or the network is healed."""
IPC_RECONNECT_MILLIS = 10
"""On one machine a try costs microseconds, and a pipeline that starts is waited for by whoever started it."""
HWM = 10_000
"""Messages per pipe. Only a memory fence: what may be under way is bounded by credit."""
ROUTER_HWM = 4_000
"""Of answers to one client: with TRACKED_BYTES 16 MB of those that are not counted in bytes."""
TOPIC_BYTES = 1024
"""A frame that comes in at control: a topic has 17 bytes, a handshake some hundred."""


def set_options(
    socket: zmq.Socket[bytes], kind: int, security: Security, frame_bytes: int, *, is_guarded: bool
) -> None:
    """Of a new socket of this kind, which takes messages up to `frame_bytes`; `is_guarded`: a station's, with keys."""
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.SNDHWM, ROUTER_HWM if kind == zmq.ROUTER else HWM)
    socket.set(zmq.RCVHWM, HWM)
    socket.set(zmq.MAXMSGSIZE, security.on_wire(TOPIC_BYTES if kind == zmq.XPUB else frame_bytes))
    socket.set(zmq.HANDSHAKE_IVL, int(security.limits.handshake_time * 1000))
    socket.set(zmq.HEARTBEAT_IVL, HEARTBEAT_MILLIS)
    socket.set(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MILLIS)
    socket.set(zmq.RECONNECT_IVL, RECONNECT_MILLIS)
    socket.set(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MILLIS)
    socket.set(zmq.TCP_KEEPALIVE, 1)
    socket.set(zmq.CONNECT_TIMEOUT, CONNECT_MILLIS)
    if kind == zmq.ROUTER:
        socket.set(zmq.ROUTER_MANDATORY, 1)  # else a full or unknown peer is a silent loss
    if kind == zmq.XPUB:
        socket.set(zmq.XPUB_VERBOSER, 1)  # every connection's coming and going, also of a known topic
        socket.set(zmq.XPUB_NODROP, 1)
        if is_guarded:
            socket.set(zmq.XPUB_MANUAL, 1)  # see subscriptions.py; no stranger gets in there


def reconnect_at_once(socket: zmq.Socket[bytes]) -> None:
    """Of a socket whose peer is on this machine."""
    socket.set(zmq.RECONNECT_IVL, IPC_RECONNECT_MILLIS)
    socket.set(zmq.RECONNECT_IVL_MAX, 0)


class Connector(NamedTuple):
    """Connects a socket to addresses of either family, one at a time."""

    socket: zmq.Socket[bytes]

    def connect(self, endpoint: str) -> None:
        """Connect there, again and again. Raises ZMQError: nothing can connect to such an address."""
        if endpoint.startswith("tcp://"):
            self.socket.set(zmq.IPV6, 1 if "[" in endpoint else 0)
        self.socket.connect(endpoint)

    def disconnect(self, endpoint: str) -> None:
        """Connect there no more."""
        self.socket.disconnect(endpoint)


def bind_all(socket: zmq.Socket[bytes], at: list[str]) -> list[str]:
    """Bind a socket at all of these that are of this machine: a name may be that of several. Returns them. Raises
    ZMQError: none is, or one cannot be had."""
    bound: list[str] = []
    for endpoint in at:
        try:
            if endpoint.startswith("tcp://"):
                socket.set(zmq.IPV6, 1 if "[" in endpoint else 0)
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            if error.errno != errno.EADDRNOTAVAIL or (endpoint == at[-1] and not bound):
                raise
        else:
            bound.append(endpoint)
    return bound
