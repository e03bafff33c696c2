"""The HTTP server: one process, one thread for HTTP, limits on everything that a stranger can make it hold.

A connection that does not bring the head of a request in REQUEST_TIME is cut, so is one that idles or does not take its
answer within IDLE_TIME, and beyond CONNECTIONS nobody is let in: what is slow costs a socket for seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from typing import cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS = 200
"""At once: a browser has six of them."""
REQUEST_TIME = 5.0
"""Seconds in which the head of a request must have arrived."""
IDLE_TIME = 30.0
"""Seconds that a connection is kept for the next request."""
HEAD_BYTES = 16 << 10
"""Of a request's line and headers."""
LEAVE_TIME = 3
"""Seconds that requests have left when the process is told to end."""


class Connection(H11Protocol):
    """One, with a deadline for its requests, which uvicorn has for none but the second one of a silent peer."""

    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is there; beyond CONNECTIONS he is turned away."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.abort()
        else:
            self._await_request()

    def data_received(self, data: bytes) -> None:
        """A request, or a piece of one: the first byte of a head sets the deadline, and no later one moves it."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._await_request()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        """It has idled for long enough; what it has not read by now it does not get."""
        self.transport.abort()

    def _await_request(self) -> None:
        if self._due is None:
            self._due = self.loop.call_later(REQUEST_TIME, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None


class Server(uvicorn.Server):
    """Ends at SIGTERM, SIGINT and SIGHUP as the stations do: in order, with exit code 0. It calls `ready` once it
    serves and a signal finds its handler."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """While it serves; a signal that was ignored (`nohup`) still is."""
        numbers = [
            number
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
            if signal.getsignal(number) is not signal.SIG_IGN
        ]
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def listener(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises OSError."""
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server(cast("tuple[str, int]", address[:2]), family=family)


def run(app: ASGIApp, listening: socket.socket, ready: Callable[[], object]) -> None:
    """Serve until a signal says that it is enough; `ready` is called once it does."""
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        proxy_headers=False,  # who says in a header to be somebody else is not believed
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="error",  # what strangers send that is no HTTP is not worth a line of the log
        timeout_keep_alive=int(IDLE_TIME),
        timeout_graceful_shutdown=LEAVE_TIME,
        h11_max_incomplete_event_size=HEAD_BYTES,
    )
    Server(config, ready).run(sockets=[listening])
