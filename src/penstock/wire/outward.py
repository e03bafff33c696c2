"""The sockets that connect, and where to: libzmq is given addresses, and names are looked up in threads of our own.

libzmq would look a name up in the one thread that moves all messages of a process, at every reconnect: a resolver that
hangs would hold up the sockets that are well.

Promises:

1. Nobody waits for a resolver but a thread that has nothing else to do; of each name one question is open at a time.
2. While a socket is not connected its name is looked up again and again: where it has another address, that is used; of
   several, IPv4 first, each in turn.
"""

from __future__ import annotations

import socket as sockets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from penstock.wire.bind_address import addresses_of, check_owner, is_numeric, with_address
from penstock.wire.guard import News
from penstock.wire.repeated import Repeated

ASK_INTERVAL = 2.0
"""Seconds between two questions for the same name: as often as a station that is away is tried at most."""
ADDRESS_TIME = 6.0
"""Seconds that an address of several has to answer: more than CONNECT_MILLIS."""
WAKES_BYTES = 4096
"""Answers seen at once."""


class Answer(NamedTuple):
    """The addresses of a name, or why there are none."""

    host: str
    addresses: list[str]
    failure: str = ""


class Resolver:
    """Asks for the addresses of names, each in a thread of its own: one may hang for minutes, and is left to that."""

    def __init__(self) -> None:
        self._asked: set[str] = set()
        self._answers: deque[Answer] = deque()
        self._woken, self._wake = sockets.socketpair()
        for end in (self._woken, self._wake):
            end.setblocking(False)

    @property
    def fd(self) -> int:
        """Among the files to be polled: it can be read when there are answers."""
        return self._woken.fileno()

    def ask(self, host: str) -> None:
        """Look a name up, unless that is being done."""
        if host in self._asked:
            return
        self._asked.add(host)
        try:
            threading.Thread(target=self._look_up, args=(host,), name="penstock-names", daemon=True).start()
        except RuntimeError as error:  # no thread can be started, or the interpreter exits
            self._answer(Answer(host, [], str(error)))

    def _look_up(self, host: str) -> None:
        try:
            self._answer(Answer(host, addresses_of(host)))
        except OSError as error:
            self._answer(Answer(host, [], (error.strerror or str(error)).lower()))

    def _answer(self, answer: Answer) -> None:
        self._answers.append(answer)
        with suppress(OSError):  # it is full of them, or was closed meanwhile
            self._wake.send(b"w")

    def take(self) -> Iterator[Answer]:
        """The answers since the last call."""
        with suppress(BlockingIOError):
            self._woken.recv(WAKES_BYTES)
        while self._answers:
            answer = self._answers.popleft()
            self._asked.discard(answer.host)
            yield answer

    def close(self) -> None:
        """What is still asked is not waited for."""
        self._woken.close()
        self._wake.close()


class Socket(Protocol):
    """A socket that can connect to an endpoint in which no name is, and stop doing so."""

    def connect(self, endpoint: str) -> None:
        """Connect there, again and again."""

    def disconnect(self, endpoint: str) -> None:
        """Connect there no more."""


class Target:
    """Where one socket is to connect to, and where it does."""

    def __init__(self, socket: Socket, endpoint: str) -> None:
        self.endpoint: str = endpoint
        host = endpoint.removeprefix("tcp://").rpartition(":")[0] if endpoint.startswith("tcp://") else "*"
        self.host: str = "" if is_numeric(host) else host
        """The name to look up; empty: there is none in it."""
        self.address = ""
        """Of that name, to which it connects; empty: it is not known yet."""
        self.since = 0.0
        """When it began to connect there."""
        self.failure = ""
        """Why the name has no address."""
        self.line: Repeated = Repeated(ADDRESS_TIME)
        """In the log, that it connects to another one."""
        self._socket = socket
        self._at = ""

    def connect(self, endpoint: str) -> None:
        """Connect there from now on."""
        if self._at:
            self._socket.disconnect(self._at)
        self.check_owner()
        self._socket.connect(endpoint)
        self._at = endpoint

    def check_owner(self) -> None:
        """Raises Refused: others could listen there."""
        if self.endpoint.startswith("ipc://"):
            check_owner(Path(self.endpoint.removeprefix("ipc://")))

    def move(self, address: str, now: float) -> None:
        """Connect to this address of the name."""
        self.address, self.since = address, now
        self.connect(with_address(self.endpoint, address))

    def renew(self) -> None:
        """Connect to the same again."""
        if self._at:
            self.connect(self._at)


class Outward:
    """All sockets of a process that connect, by their names; `is_up` says whether one is connected."""

    def __init__(self, is_up: Callable[[str], bool], news: News) -> None:
        self._is_up = is_up
        self._news = news
        self._targets: dict[str, Target] = {}
        self._asked_at: dict[str, float] = {}
        """By host."""
        self.resolver: Resolver | None = None
        """There is none where all endpoints are addresses."""

    def add(self, name: str, socket: Socket, endpoint: str) -> None:
        """Connect a socket, as soon as it is known where to. Raises what its `connect` raises."""
        target = self._targets[name] = Target(socket, endpoint)
        if not target.host:
            target.connect(endpoint)
            return
        self.resolver = self.resolver or Resolver()
        known = [one.address for one in self._targets.values() if one.host == target.host and one.address]
        if known:
            target.move(known[0], time.monotonic())
        else:
            self._ask(target.host, time.monotonic())

    def endpoint(self, name: str) -> str:
        """Where a socket is to connect to, as its user wrote it."""
        return self._targets[name].endpoint

    def down(self, names: Iterable[str]) -> str:
        """Those of these sockets that are not connected, in words: endpoints, names, and what is known of their hosts'
        names. Empty: all are connected."""
        found = [(name, self._targets[name]) for name in names if not self._is_up(name)]
        texts = (f"{one.endpoint} ({name})" + (f" at {one.address}" if one.address else "") for name, one in found)
        failed = dict.fromkeys(f"; {one.host} has no address: {one.failure}" for _, one in found if one.failure)
        return ", ".join(texts) + "".join(failed)

    @property
    def nameless(self) -> str:
        """A name that has no address, and why; empty: all that is connected to has one."""
        failed = (f"{one.host} has no address here ({one.failure})" for one in self._waiting() if one.failure)
        return next(failed, "")

    def check_owner(self, name: str) -> None:
        """A socket is connected. Raises Refused: others could have let it in."""
        self._targets[name].check_owner()

    def renew(self, name: str) -> None:
        """Connect a socket anew."""
        self._targets[name].renew()

    def patience(self) -> float | None:
        """Seconds after which to look again; None: all that has a name is connected."""
        return ASK_INTERVAL if any(self._waiting()) else None

    def look(self) -> None:
        """Ask for the names of what is not connected."""
        now = time.monotonic()
        for target in self._waiting():
            if now >= self._asked_at[target.host] + ASK_INTERVAL:
                self._ask(target.host, now)

    def take(self) -> None:
        """Connect to what was found."""
        assert self.resolver is not None
        now = time.monotonic()
        for answer in self.resolver.take():
            for target in self._waiting():
                if target.host == answer.host:
                    target.failure = answer.failure
                    if answer.addresses:
                        self._choose(target, answer.addresses, now)

    def _waiting(self) -> Iterator[Target]:
        return (one for name, one in self._targets.items() if one.host and not self._is_up(name))

    def _ask(self, host: str, now: float) -> None:
        assert self.resolver is not None
        self._asked_at[host] = now
        self.resolver.ask(host)

    def _choose(self, target: Target, addresses: list[str], now: float) -> None:
        """Stay with an address while it is one of the name's, and has not had its time beside others."""
        before = target.address
        if before not in addresses:
            target.move(addresses[0], now)
        elif len(addresses) > 1 and now >= target.since + ADDRESS_TIME:
            target.move(addresses[(addresses.index(before) + 1) % len(addresses)], now)
        if before and before != target.address and target.line.is_due(now):
            self._news.log("other_address", endpoint=target.endpoint, address=target.address, before=before)

    def close(self) -> None:
        """Ask for nothing more; the sockets are closed by others."""
        if self.resolver is not None:
            self.resolver.close()
