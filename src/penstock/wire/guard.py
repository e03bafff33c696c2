"""CURVE and ZAP: who gets in at which socket, who sent what, and who is thrown out.

Promises:

1. A socket that has a key lets in whom the list of keys names with a role for that socket, and nobody else; the list is
   looked at again several times a second.
2. An unknown key is told nothing and may try again, so it gets in when it is added; a revoked one, or one of the wrong
   role, is told so and does not come back.
3. Whoever is no longer on the list is cut off at once: what it sent is dropped, its connections are shut down.
4. No station starts before it has seen a throw-away key and a peer without a key refused, and its own let in.

ZAP itself fails open where no handler answers, so ZAP_ENFORCE_DOMAIN is always on, and the handler is no thread that
could die alone: it is the station's own loop.
"""

from __future__ import annotations

import contextlib
import os
import socket as sockets
import struct
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import zmq
from zmq.utils import z85

from penstock.errors import ConfigError
from penstock.keys.files import LIST, KeyFile, Peers, fingerprint, load_peers
from penstock.keys.roles import DOORS, OWNER_OF_SOCKET, Peer, Role
from penstock.url import endpoints
from penstock.wire.bind_address import is_near
from penstock.wire.bounds import Limits, is_to_be_logged

ZAP = "inproc://zeromq.zap.01"
LOOK_INTERVAL = 0.25
"""Seconds between two looks at the list of keys: a revoked key is out within a second."""
CURVE_BYTES = 33
"""What CURVE adds to a frame: name of the command, nonce, MAC, flags (rfc.zeromq.org/26)."""
TURN_REQUESTS = 100
"""Handshakes answered in a turn: strangers do not keep a station from its work."""
ADDRESSES_MAX = 1_000
"""Remembered per key, of where it came from; a key with more is cut off by cutting everybody, who then come back."""
NEWS_MAX = 100
"""Events waiting to be logged; of refusals the next that is says how many there were."""
PEERS = {
    "desk": zmq.DEALER,
    "report": zmq.PUSH,
    "jobs": zmq.PULL,
    "outcomes": zmq.PUSH,
    "control": zmq.SUB,
    "results": zmq.DEALER,
}
"""What connects to each socket."""

HANDSHAKE_SUCCEEDED = zmq.Event.HANDSHAKE_SUCCEEDED
HANDSHAKE_FAILED = (
    zmq.Event.HANDSHAKE_FAILED_AUTH | zmq.Event.HANDSHAKE_FAILED_PROTOCOL | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
)
_EVENT = struct.Struct("=HI")
NEVER_AGAIN = {
    zmq.Event.HANDSHAKE_FAILED_AUTH: "its key was revoked, or its role does not go there",
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL: "one of the two has keys and the other has none: --key FILE or PENSTOCK_KEY",
}
"""Failures after which libzmq does not try again, and what they mean."""


class News:
    """Events for the log: the sockets have none of their own."""

    def __init__(self) -> None:
        self._events: list[tuple[str, dict[str, Any]]] = []

    def log(self, event: str, **fields: Any) -> None:
        """One more, unless many wait."""
        if len(self._events) < NEWS_MAX:
            self._events.append((event, fields))

    def log_silent(self, socket: str, key: str, size: int) -> None:
        """Somebody at this socket has so many bytes to read, and reads nothing."""
        self.log("reads_nothing", socket=socket, key=key, bytes=size)

    def take(self) -> list[tuple[str, dict[str, Any]]]:
        """Those since the last call."""
        events, self._events = self._events, []
        return events


class Security(NamedTuple):
    """What a set of sockets is told: a key (None: no keys), its folder where peers are let in, limits, and
    whether to listen beyond this machine without a key."""

    key: KeyFile | None = None
    folder: Path | None = None
    limits: Limits = Limits()
    insecure: bool = False

    @property
    def lease_key(self) -> bytes:
        """The key with which tokens of leases are made; empty without keys."""
        return bytes.fromhex(self.key.lease_key) if self.key is not None else b""

    def word(self, url: str) -> str:
        """What `status` says of it: keys, user, private or insecure."""
        if self.key is not None:
            return "keys"
        if url.startswith("ipc://"):
            return "user"
        return "private" if is_near(endpoints(url).desk) else "insecure"

    def on_wire(self, frame_bytes: int) -> int:
        """How long a frame of that size is when it travels."""
        return frame_bytes if self.key is None else frame_bytes + CURVE_BYTES

    def on_bind(self, socket: zmq.Socket[bytes], name: str) -> None:
        """Before a socket is bound."""
        if self.key is not None:
            socket.curve_server = True
            socket.curve_secretkey = self.key.secret.encode()
            socket.zap_domain = name.encode()
            socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def on_connect(self, socket: zmq.Socket[bytes], name: str) -> None:
        """Before a socket connects."""
        if self.key is not None:
            socket.curve_publickey = self.key.public.encode()
            socket.curve_secretkey = self.key.secret.encode()
            socket.curve_serverkey = self.key.server(OWNER_OF_SOCKET[name]).encode()


OPEN = Security()
"""No keys, usual limits."""


def new_pair() -> tuple[str, str]:
    """A new key: public and secret half, in Z85."""
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


class Guard:
    """Answers who may come in, at the sockets of one station."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], key: KeyFile, folder: Path, news: News) -> None:
        """ConfigError: there is no list of keys in the folder."""
        self._news = news
        self.refused: int = 0
        """Handshakes that were."""
        self.junk: int = 0
        self.is_clear = True
        """Whether it is known who asks for a topic (see subscriptions.py)."""
        self.key = key
        self._own = Peer(key.name, Role.VENTILATOR, key.public)
        self._folder = folder
        self._seen = self._mark()
        self.peers: Peers = load_peers(folder)
        """Who is let in."""
        self._listed, self._told = self.peers, Peers({}, frozenset())
        self._addresses: dict[str, set[str]] = {}
        self._look_at = 0.0
        self.throwaway = ""
        """Of the self-test: it is never let in, and told so."""
        self.socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self.socket.set(zmq.LINGER, 0)
        self.socket.bind(ZAP)

    # ------------------------------------------------------------------------------------- at the door

    def answer(self) -> None:
        """Answer the handshakes that wait."""
        with contextlib.suppress(zmq.Again):
            for _ in range(TURN_REQUESTS):
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
                reply = self._reply(frames)
                if reply is not None:
                    self.socket.send_multipart(reply, zmq.NOBLOCK)

    def _reply(self, frames: list[bytes]) -> list[bytes] | None:
        """By ZAP 1.0 (rfc.zeromq.org/27): only libzmq itself speaks here."""
        try:
            at = frames.index(b"") + 1
            version, number, domain, address, _, mechanism, *credentials = frames[at:]
        except ValueError:
            return None
        public = z85.encode(credentials[0]).decode() if mechanism == b"CURVE" and len(credentials) == 1 else ""
        code = self.verdict(domain.decode("ascii", "replace"), public, address.decode("ascii", "replace"))
        return [*frames[:at], version, number, code, b"", public.encode() if code == b"200" else b"", b""]

    def verdict(self, door: str, public: str, address: str) -> bytes:
        """200: come in; 300: not known, try again; 400: never."""
        peer = self._own if public == self.key.public else self.peers.allowed.get(public)
        if peer is None:
            final = public in self.peers.revoked or public == self.throwaway or not public
            why = "revoked" if public in self.peers.revoked else "unknown"
        elif peer is self._own or peer.role in DOORS.get(door, ()):
            self._addresses.setdefault(public, set()).add(address)
            return b"200"
        else:
            final, why = True, f"role {peer.role}"
        if public != self.throwaway:
            self.refused += 1
            who = {"key": fingerprint(public), "name": peer.name if peer is not None else "", "address": address}
            self._news.log("peer_refused", socket=door, **who, why=why, count=self.refused)
        return b"400" if final else b"300"

    # ------------------------------------------------------------------------------------- inside

    def note_junk(self, sender: Peer | None) -> None:
        """Somebody said at control what is no subscription."""
        self.junk += 1
        if is_to_be_logged(self.junk):
            self._news.log("junk_at_control", key=sender.name if sender is not None else "", count=self.junk)

    def sender(self, frame: zmq.Frame) -> Peer | None:
        """Who sent a frame; None: nobody who may be here now."""
        try:
            return self.peers.allowed.get(str(frame.get("User-Id")))
        except zmq.ZMQError:
            return None

    def look(self, doors: Mapping[str, int]) -> None:
        """Read the list again if it has changed, and cut off at these sockets' ports whoever is no longer on it."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_INTERVAL
        mark = self._mark()
        if mark == self._seen:
            return
        self._seen = mark
        try:
            self._listed = load_peers(self._folder)
        except ConfigError as error:
            self._news.log("keys_unreadable", error=str(error))
        self._put_together(doors)

    def learn(self, told: Peers) -> None:
        """What the ventilator's list says: its keys count here too, from the next look on, and who is revoked in one of
        the two is out."""
        self._told, self._seen = told, (0, 0, 0)

    def _put_together(self, doors: Mapping[str, int]) -> None:
        revoked = self._listed.revoked | self._told.revoked
        both = self._told.allowed | self._listed.allowed
        peers = Peers({public: peer for public, peer in both.items() if public not in revoked}, revoked)
        before, self.peers = self.peers, peers
        for public in before.allowed.keys() - peers.allowed.keys():
            addresses, peer = self._addresses.pop(public, set()), before.allowed[public]
            ports = {port for door, port in doors.items() if peer.role in DOORS[door]}
            cut = cut_off({*ports}, addresses if len(addresses) < ADDRESSES_MAX else None)
            self._news.log("key_revoked", name=peer.name, key=fingerprint(public), connections=cut)
        for public in peers.allowed.keys() - before.allowed.keys():
            peer = peers.allowed[public]
            self._news.log("key_added", name=peer.name, role=peer.role, key=fingerprint(public))

    def _mark(self) -> tuple[int, int, int]:
        try:
            about = (self._folder / LIST).stat()
        except OSError:
            return (0, 0, 0)
        return about.st_ino, about.st_mtime_ns, about.st_size

    def close(self) -> None:
        """Release the handler's socket."""
        self.socket.close(0)


def event_of(frames: list[bytes]) -> tuple[int, int]:
    """A monitor's message: the event and its value (zmq_socket_monitor(3))."""
    # zmq.utils.monitor would bring asyncio along: a third of a station's start
    event, value = _EVENT.unpack_from(frames[0])
    return int(event), int(value)


class Spare:
    """A descriptor that is held for copies of others: where a crowd has come the process may open no more."""

    def __init__(self) -> None:
        self._null, self._copy = (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(2))

    @contextlib.contextmanager
    def connection(self, fd: int) -> Iterator[sockets.socket]:
        """What has this number now, whoever may have it later. Raises OSError: it is no connection."""
        try:
            os.dup2(fd, self._copy, inheritable=False)
            connection = sockets.socket(fileno=self._copy)
            try:
                yield connection
            finally:
                connection.detach()
        finally:
            os.dup2(self._null, self._copy, inheritable=False)


@cache
def spare() -> Spare:
    """This process'; to be called while files can be opened."""
    return Spare()


def cut_off(doors: set[int | str], addresses: set[str] | None = None, only: int | None = None) -> int:
    """Shut down the connections of this process that came in at these ports, or paths, from these addresses (None: from
    anywhere), or the `only` one with this descriptor; returns how many.

    libzmq closes no connection on request. To its other end and to libzmq it is as if the network had cut it.
    """
    fds = os.listdir("/proc/self/fd") if only is None else [only]
    return sum(_shut_down(int(fd), doors, addresses) for fd in fds)


def _shut_down(fd: int, doors: set[int | str], addresses: set[str] | None) -> bool:
    with contextlib.suppress(OSError), spare().connection(fd) as connection:
        here = connection.getsockname()
        door = here if connection.family == sockets.AF_UNIX else here[1]
        if door in doors and (addresses is None or connection.getpeername()[0] in addresses):
            connection.shutdown(sockets.SHUT_RDWR)
            return True
    return False
