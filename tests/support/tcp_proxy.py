"""A link that can be made to stand still, one way or both, or to break: a TCP proxy in front of a pipeline's ports."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from urllib.parse import urlsplit

from penstock.url import SOCKET_NAMES
from support.stations import free_url

CHUNK_BYTES = 1 << 16
TICK = 0.02
"""Seconds after which a held link is looked at again."""


class Pipe:
    """One direction of one connection; what was read and not yet passed on waits in `waiting`."""

    def __init__(self, name: str, source: socket.socket, target: socket.socket, way: str) -> None:
        self.name, self.source, self.target, self.way = name, source, target, way


class Proxy:
    """Forwards `url` to the pipeline at `target`, in a thread of its own.

    `hold` lets nothing through any more, in the ways given (``out``: from who connects, ``in``: to it), and closes
    nothing: nobody is told. `release` lets go on what has not been given up meanwhile. `reset` breaks connections.
    """

    def __init__(self, target: str) -> None:
        self.url = free_url()
        self._ways: dict[str, frozenset[str]] = {}
        self._pipes: list[Pipe] = []
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._stopping = threading.Event()
        base, port = urlsplit(self.url).port or 0, urlsplit(target).port or 0
        for at, name in enumerate(SOCKET_NAMES):
            listener = socket.create_server(("127.0.0.1", base + at))
            self._selector.register(listener, selectors.EVENT_READ, (name, port + at))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def hold(self, *ways: str, names: tuple[str, ...] = SOCKET_NAMES) -> None:
        """Nothing passes these ways on these sockets; new connections are not made either."""
        with self._lock:
            self._ways.update(dict.fromkeys(names, frozenset(ways)))

    def release(self) -> None:
        """All goes on."""
        with self._lock:
            self._ways.clear()

    def reset(self) -> None:
        """Break every connection there is."""
        with self._lock:
            for pipe in list(self._pipes):
                self._drop(pipe)

    def close(self) -> None:
        """End the thread, close everything."""
        self._stopping.set()
        self._thread.join()
        self.reset()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            events = self._selector.select(TICK)
            is_held = False
            with self._lock:
                for key, _ in events:
                    if isinstance(key.data, Pipe):
                        is_held |= not self._forward(key.data)
                    else:
                        is_held |= not self._connect(key.fileobj, *key.data)
            if is_held:
                self._stopping.wait(TICK)

    def _connect(self, listener: object, name: str, port: int) -> bool:
        if self._ways.get(name):
            return False
        assert isinstance(listener, socket.socket)
        outer, _ = listener.accept()
        try:
            inner = socket.create_connection(("127.0.0.1", port))
        except OSError:
            outer.close()
            return True
        for pipe in (Pipe(name, outer, inner, "out"), Pipe(name, inner, outer, "in")):
            self._pipes.append(pipe)
            self._selector.register(pipe.source, selectors.EVENT_READ, pipe)
        return True

    def _forward(self, pipe: Pipe) -> bool:
        if pipe not in self._pipes:
            return True
        if pipe.way in self._ways.get(pipe.name, frozenset()):
            return False
        try:
            data = pipe.source.recv(CHUNK_BYTES)
            pipe.target.sendall(data)
        except OSError:
            data = b""
        if not data:
            self._drop(pipe)
        return True

    def _drop(self, pipe: Pipe) -> None:
        """Both directions, with a reset."""
        for one in [other for other in self._pipes if other.source in {pipe.source, pipe.target}]:
            self._pipes.remove(one)
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(one.source)
            with contextlib.suppress(OSError):
                one.source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.source.close()
