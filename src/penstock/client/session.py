"""One connection to a pipeline: a background thread that owns the sockets, and how other threads reach it.

Callers put what they want done into a queue and wake the thread; what piled up since its last turn leaves together.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

from penstock.client.callback_thread import Delivery
from penstock.client.courier import Courier
from penstock.client.follow import Follower
from penstock.client.future_cancel import Cancelling
from penstock.client.outage import CONNECT_TIMEOUT, Outage, not_let_in, unanswered
from penstock.client.refusals import error_named, settling
from penstock.client.requests import check
from penstock.client.slow_transfers import SlowTransfers
from penstock.client.submit_packing import Part
from penstock.errors import NoPipeline, PenstockError
from penstock.keys.files import KeyFile
from penstock.wire.desk_messages import Known, Submit
from penstock.wire.desk_messages import Refused as Refusal
from penstock.wire.greeting import reception
from penstock.wire.records import Message

Bytes = bytes | memoryview
T = TypeVar("T")

UNACCEPTED_BYTES = 32 << 20
"""Who submits waits while so much is not accepted: the client's memory stays flat however long the input is."""
SUPERVISE_INTERVAL = 0.1
"""Seconds between two looks at whether the embedded stations live."""
WAIT_INTERVAL = 0.5
"""Seconds between two looks of a waiting caller at whether the session has failed."""

_living: weakref.WeakSet[Session] = weakref.WeakSet()

log: logging.Logger = logging.getLogger("penstock.client")


class Supervisor(Protocol):
    """What keeps the stations of an embedded pipeline alive."""

    def check(self) -> None:
        """Start again what has died; raises NoPipeline if that does not help."""


class Source(Protocol):
    """Something that collects what is to be submitted until the thread's next turn."""

    def take_parts(self) -> Iterable[Part]:
        """The parts that were submitted since the last time."""


class Session:
    """One client's connection to a pipeline, with the background thread that owns its sockets. Every method may be
    called from any thread, unless it says otherwise; it never runs the code of users in that thread."""

    def __init__(
        self, url: str, source: Source, supervisor: Supervisor | None = None, key: KeyFile | None = None
    ) -> None:
        """Raises ConfigError: not a URL of ours."""
        from penstock.wire.guard import Security  # noqa: PLC0415 - likewise

        # zmq is slow to import, and inline never needs it
        from penstock.wire.socket_sets import ClientLinks  # noqa: PLC0415

        self.url = url
        self.key_name: str = "" if key is None else key.name
        """Of the key by which this client is known; empty: it has none."""
        self.failure: BaseException | None = None
        """Why nothing will be answered any more."""
        self._pid = os.getpid()
        self._source = source
        self._supervisor = supervisor
        self._calls: deque[Callable[[], None]] = deque()
        self._refusals: dict[bytes, Callable[[BaseException], None]] = {}
        self._on_failure: list[Callable[[BaseException], None]] = []
        self._woken = False
        self._closing = False
        self._outage: Outage | None = None
        self._slow_transfers = SlowTransfers(self.url, self._warn)
        self._ended = False
        self._supervised_at = 0.0
        self._room = threading.Condition()
        self._unaccepted = 0
        self.delivery: Delivery = Delivery()
        """Where the code of users runs."""
        self.cancelling: Cancelling = Cancelling(self)
        self._links = ClientLinks(url, Security(key))
        self._courier = Courier(self._links, self._accepted, self._refused, self._lost, self._warn)
        self._thread = threading.Thread(target=self._run, name="penstock-client", daemon=True)
        self._thread.start()
        _living.add(self)

    # ------------------------------------------------------------------------------------- from any thread

    def wake(self) -> None:
        """Let the thread take a turn soon."""
        if not self._woken and not self._ended:
            self._woken = True
            with suppress(OSError, ValueError):  # it ended this moment
                self._links.wake()

    def call(self, action: Callable[[], None]) -> None:
        """Let the thread do this at its next turn."""
        self._calls.append(action)
        self.wake()

    @property
    def in_thread(self) -> bool:
        """Whether the caller is the background thread: users' code runs there only for the garbage collector."""
        return threading.current_thread() is self._thread

    @property
    def is_connected(self) -> bool:
        """Whether the ventilator is connected."""
        return self._courier.connected["desk"]

    def ensure_usable(self) -> None:
        """Raises what failed, if the session has; RuntimeError in a forked child, and when it has been closed."""
        if self.failure is not None:
            raise self.failure
        if self._closing:
            raise RuntimeError("this Pipeline has been left: make another one, and attach the batch there")

    def ensure_may_wait(self) -> None:
        """Raises RuntimeError in a callback: the outcome it waits for would never come."""
        if self.in_thread or self.delivery.is_here:
            waits = "a Future's callback cannot wait for another Future of its pipeline"
            raise RuntimeError(f"{waits}: it runs in the thread that would settle it")

    def submit(self, parts: list[Part]) -> None:
        """Have these accepted; waits until there is room for them."""
        size = sum(len(part.payload) for part in parts)
        self.await_room()
        self.charge(size)
        self.call(lambda: self._courier.submit(parts))

    def await_room(self) -> None:
        """Wait until not too much waits to be accepted (the background thread itself never waits)."""
        if self._unaccepted >= UNACCEPTED_BYTES and not self.in_thread:
            with self._room:
                while self._unaccepted >= UNACCEPTED_BYTES and self.failure is None:
                    self._room.wait(WAIT_INTERVAL)
        self.ensure_usable()

    def charge(self, size: int) -> None:
        """So many more bytes wait to be accepted."""
        with self._room:
            self._unaccepted += size

    def ask(self, make: Callable[[int], Message], timeout: float | None = CONNECT_TIMEOUT) -> Any:
        """The ventilator's answer. Raises NoPipeline after `timeout` seconds without, or the error it answers with;
        ConfigError for what no message can carry."""
        return self.wait_for(self.request(make, patient=False), timeout)[0]

    def request(self, make: Callable[[int], Message], *, patient: bool = True) -> Future[tuple[Any, Bytes]]:
        """Ask the ventilator; the answer is the future's result. `patient`: nobody is there to be told that its disk is
        full, so it is asked again until that has room."""
        self.ensure_usable()
        check(make(0))
        answer: Future[tuple[Any, Bytes]] = Future()
        self.call(lambda: self._courier.ask(make, settling(answer), patient=patient))
        return answer

    def fetch(self, make: Callable[[int], Message], timeout: float | None = None) -> tuple[Any, Bytes]:
        """The sink's answer, with its payload. Raises NoPipeline after `timeout` seconds without."""
        self.ensure_usable()
        check(make(0))
        answer: Future[tuple[Any, Bytes]] = Future()
        self.call(lambda: self._courier.fetch(make, settling(answer)))
        return self.wait_for(answer, timeout)

    def say(self, message: Message) -> None:
        """Tell the ventilator what needs no answer."""
        self.call(lambda: self._courier.say(message))

    def accepted(self) -> Future[None]:
        """Done when all that was submitted before is accepted or refused."""
        self.ensure_usable()
        answer: Future[None] = Future()

        def mark() -> None:
            self._courier.submit(self._source.take_parts())
            self._courier.when_accepted(lambda: answer.set_result(None))

        self.call(mark)
        return answer

    @property
    def unaccepted(self) -> int:
        """Jobs that nobody has accepted yet (in the thread)."""
        return self._courier.unaccepted

    def count_unaccepted(self) -> Future[int]:
        """How many jobs nobody has accepted yet."""
        self.ensure_usable()
        answer: Future[int] = Future()
        self.call(lambda: answer.set_result(self.unaccepted))
        return answer

    def wait_for(self, answer: Future[T], timeout: float | None) -> T:
        """The result of a request. Raises NoPipeline after `timeout` seconds, or what the session failed with."""
        if self.in_thread:
            raise RuntimeError("what cleans up cannot wait for the pipeline: it runs in the thread that would answer")
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = WAIT_INTERVAL if deadline is None else min(WAIT_INTERVAL, deadline - time.monotonic())
            try:
                return answer.result(max(0.0, left))
            except TimeoutError:
                if answer.done():
                    raise
                self.ensure_usable()
                if left <= 0:
                    raise unanswered(self.url, self._courier.missing, timeout or 0.0) from None

    def on_refusal(self, batch: bytes, then: Callable[[BaseException], None] | None) -> None:
        """Call this (in the thread) when the ventilator refuses something of the batch, or it is gone; None: no
        more."""
        if then is None:
            self._refusals.pop(batch, None)
        else:
            self._refusals[batch] = then

    def on_failure(self, then: Callable[[BaseException], None]) -> None:
        """Call this (in the thread) when the session fails for good."""
        self._on_failure.append(then)

    def follow(self, follower: Follower) -> None:
        """Give a reader the rows of its batch."""
        self.call(lambda: self._courier.follow(follower))

    def unfollow(self, follower: Follower) -> None:
        """The reader wants no more."""
        self.call(lambda: self._courier.unfollow(follower))

    def give_back(self, follower: Follower, cost: int) -> None:
        """The reader can hold so many bytes more."""
        self.call(lambda: follower.give_back(cost))

    def keep_alive(self, batch: bytes, alive: bool) -> None:
        """A map's batch whose results are being read, or no longer."""
        self.call(lambda: self._courier.keep_alive(batch, alive))

    def connect(self, timeout: float = CONNECT_TIMEOUT) -> None:
        """Wait until both stations have shaken hands. Raises NoPipeline that says which has not, Refused where the key
        was not let in."""
        connected = self._courier.connected
        deadline = time.monotonic() + timeout
        with self._room:
            while not all(connected.values()) and self.failure is None and time.monotonic() < deadline:
                self._room.wait(min(WAIT_INTERVAL, max(0.0, deadline - time.monotonic())))
        self.ensure_usable()
        if (unshaken := self._links.unshaken) is not None:
            at = unshaken.endpoint
            raise not_let_in(at, reception(at), has_key=bool(self.key_name))
        if missing := self._courier.missing:
            if nameless := self._links.nameless:
                raise NoPipeline(f"{nameless}: look at the URL {self.url}, or say an address")
            silent = " and no ".join(missing)
            raise NoPipeline(f"no {silent} answers at {self.url}: start one there, or check the address")
        self._outage = Outage(self.url, self._warn)

    def close(self) -> None:
        """End the thread and close the sockets. What was not accepted is lost."""
        if os.getpid() != self._pid:
            return
        self._closing = True
        self._woken = False
        self.wake()
        if not self.in_thread:
            self._thread.join()
        self.delivery.close()

    # ------------------------------------------------------------------------------------- the thread

    def _run(self) -> None:
        try:
            while not self._closing:
                self._take_turn()
        except BaseException as error:  # noqa: BLE001 - whoever waits must learn of it
            self._fail(error)
        finally:
            self._ended = True
            self._links.close()

    def _take_turn(self) -> None:
        timeout = self._courier.turn(time.monotonic())
        names, fds = self._links.poll(timeout)
        if fds:
            self._links.woken()
        self._woken = False
        if self._outage is not None:
            self._outage.watch(self._courier.missing, self._courier.silence(now := time.monotonic()), now)
            self._slow_transfers.watch(self._courier.transfers, now)
        for name in names:
            self._courier.receive(name, time.monotonic())
            if name.startswith("monitor:"):
                with self._room:
                    self._room.notify_all()
        while self._calls:
            action = self._calls.popleft()
            self._courier.submit(self._source.take_parts())  # what was submitted before leaves before
            action()
        self._courier.submit(self._source.take_parts())
        usable = self.failure is None and not self._closing
        if self._supervisor is not None and usable and time.monotonic() >= self._supervised_at:
            self._supervised_at = time.monotonic() + SUPERVISE_INTERVAL
            try:
                self._supervisor.check()
            except PenstockError as error:
                self._fail(error)

    def _accepted(self, size: int) -> None:
        with self._room:
            self._unaccepted -= size
            self._room.notify_all()

    def _refused(self, submit: Submit, refusal: Refusal | Known) -> None:
        for batch in {one.batch for one in submit.opens} | {one.batch for one in submit.chunks}:
            if (then := self._refusals.get(batch)) is not None:
                then(error_named(refusal))

    def _lost(self, batch: bytes, error: BaseException) -> None:
        """Nothing more will come of this batch."""
        if (then := self._refusals.pop(batch, None)) is not None:
            then(error)

    def _warn(self, words: str) -> None:
        """To whoever reads the log of this program: without a handler of its own, that is stderr."""
        self.delivery.put(partial(log.warning, "%s", words))

    def _fail(self, error: BaseException) -> None:
        self.delivery.put(partial(log.debug, "the connection to %s ended: %s", self.url, error))
        self.failure = error
        with self._room:
            self._room.notify_all()
        for then in self._on_failure:
            then(error)


def _in_child() -> None:
    # its thread has not come along, and its sockets are the parent's
    for session in list(_living):
        session.failure = RuntimeError("this Pipeline was made before a fork: make a new one in the child")


if hasattr(os, "register_at_fork"):  # Windows knows no fork
    os.register_at_fork(after_in_child=_in_child)
