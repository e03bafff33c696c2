"""A slow link: a TCP proxy in front of a pipeline's ports that lets so many bytes a second through, each way."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

from penstock.url import SOCKET_NAMES
from support.stations import free_url

CHUNK_BYTES = 4096
"""At a time of one connection, after which it is the next one's turn."""
BURST_SECONDS = 0.01
"""How far ahead of its rate a link is at most."""
BUFFER_BYTES = 16 << 10
"""What the link holds of a connection: a router's queue, not a store of its own."""
TICK = 0.002


class SlowLink:
    """Forwards `url` to the pipeline at `target`, in a thread of its own; all connections share the link, and the two
    ways are apart (``out``: from who connects, ``in``: to it)."""

    def __init__(self, target: str, bytes_per_second: float) -> None:
        self.url = free_url()
        self.bytes_per_second = bytes_per_second
        self.carried: Counter[tuple[str, str]] = Counter()
        """Bytes by way and name of the socket."""
        self.connections = 0
        """How many there were so far."""
        self._pairs: list[tuple[str, socket.socket, socket.socket]] = []
        self._turn = {"out": 0, "in": 0}
        self._room = {"out": 0.0, "in": 0.0}
        self._listeners: list[tuple[socket.socket, str, int]] = []
        self._stopping = threading.Event()
        base, port = urlsplit(self.url).port or 0, urlsplit(target).port or 0
        for at, name in enumerate(SOCKET_NAMES):
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)  # what it accepts inherits it
            listener.bind(("127.0.0.1", base + at))
            listener.listen()
            listener.setblocking(False)
            self._listeners.append((listener, name, port + at))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """End the thread, close everything."""
        self._stopping.set()
        self._thread.join()
        for _, outer, inner in self._pairs:
            outer.close()
            inner.close()
        for listener, _, _ in self._listeners:
            listener.close()

    def _run(self) -> None:
        then = time.monotonic()
        while not self._stopping.is_set():
            self._accept()
            now = time.monotonic()
            for way in self._room:
                most = max(CHUNK_BYTES, BURST_SECONDS * self.bytes_per_second)
                self._room[way] = min(most, self._room[way] + (now - then) * self.bytes_per_second)
                self._carry(way)
            then = now
            self._stopping.wait(TICK)

    def _accept(self) -> None:
        for listener, name, port in self._listeners:
            with contextlib.suppress(BlockingIOError):
                while True:
                    outer, _ = listener.accept()
                    inner = socket.socket()
                    inner.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
                    try:
                        inner.connect(("127.0.0.1", port))
                    except OSError:
                        outer.close()
                        inner.close()
                        continue
                    self.connections += 1
                    self._pairs.append((name, outer, inner))

    def _carry(self, way: str) -> None:
        """What there is room for, of one connection after the other."""
        idle = 0
        while self._room[way] > 0 and idle < len(self._pairs):
            self._turn[way] = (self._turn[way] + 1) % len(self._pairs)
            pair = self._pairs[self._turn[way]]
            idle = 0 if self._forward(way, *pair) else idle + 1

    def _forward(self, way: str, name: str, outer: socket.socket, inner: socket.socket) -> bool:
        source, target = (outer, inner) if way == "out" else (inner, outer)
        try:
            ready = selectors.DefaultSelector()
            with ready:
                ready.register(target, selectors.EVENT_WRITE)
                if not ready.select(0):
                    return False
            data = source.recv(CHUNK_BYTES, socket.MSG_DONTWAIT)
            if data:
                target.sendall(data)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._pairs.remove((name, outer, inner))
            outer.close()
            inner.close()
            return False
        self._room[way] -= len(data)
        self.carried[way, name] += len(data)
        return True
