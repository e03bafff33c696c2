"""One process that plays many workers, of one slot each, on real sockets: the worker's own decisions, and no processes.

bench_players.py URL COUNT: until it is killed. The jobs are squares, whatever the function says.
"""

from __future__ import annotations

import heapq
import select
import sys
import time
from collections.abc import Iterator
from typing import Any

import zmq

from penstock.job import payload
from penstock.job.spec import ID_BYTES, JobState, new_worker_id
from penstock.slot.protocol import Ran
from penstock.station.clock import Clock
from penstock.station.contract import Report
from penstock.url import endpoints
from penstock.wire.frames import Decoder, encode, split
from penstock.wire.messages import Hello, Jobs, Outcomes, VentilatorToWorker
from penstock.wire.records import Message
from penstock.worker.contract import Deliver, JobsConnected, PieceDone, Run, SinkConnected, SlotReady
from penstock.worker.core import WorkerCore

CLOCK = Clock()
SOCKETS = 65_000
JOBS_CONNECTED_AFTER = 2.0
"""Seconds after which the job connections of all players have shaken hands."""

LEAST_INTERVAL = 0.001
"""Seconds between two looks at one player that nothing was sent to."""


class Player:
    """One worker: its core, and the arguments it holds."""

    def __init__(self, number: int) -> None:
        self.id = new_worker_id()
        self.name = f"player{number}"
        hello = Hello(self.id, 0, 0, 0, self.name, "played", number, 1, 0, (), "3")
        self.core = WorkerCore(hello, CLOCK.now())
        self._arguments: dict[int, tuple[int, Any]] = {}

    def next_wakeup(self, now: float) -> float:
        """When it has something to do by itself."""
        return max(now + LEAST_INTERVAL, self.core.next_wakeup() or 0.0)

    def keep(self, jobs: Jobs, body: Any) -> None:
        """The arguments that came with leases."""
        parts = split(body, [head.inline for head in jobs.batches] + [lease.size for lease in jobs.leases])
        for lease, part in zip(jobs.leases, parts[len(jobs.batches) :], strict=True):
            self._arguments[lease.number] = (lease.first, payload.load_chunk(part, "pickle")[1])

    def run(self, piece: Run) -> PieceDone:
        """What a slot would do."""
        begun = time.perf_counter()
        first, items = self._arguments[piece.lease.number]
        values = payload.encode_values([x * x for x in items[piece.start - first : piece.stop - first]], "pickle")
        elapsed = time.perf_counter() - begun
        ran = Ran(piece.start, piece.stop, JobState.SUCCEEDED, time.time(), elapsed, len(values))
        if len(self._arguments) > 10_000:
            self._arguments.pop(next(iter(self._arguments)))
        return PieceDone(piece.slot, piece.piece, (ran,), values)


class Players:
    """All of them; they share the sockets they only send with."""

    def __init__(self, url: str, count: int) -> None:
        self._context = zmq.Context()
        self._context.set(zmq.ContextOption.MAX_SOCKETS, SOCKETS)
        self._at = endpoints(url)
        self._report = self._socket(zmq.PUSH, self._at.report)
        self._outcomes = self._socket(zmq.PUSH, self._at.outcomes)
        self._decoder = Decoder(VentilatorToWorker)
        self._epoll = select.epoll()
        self._sockets: dict[int, tuple[Player, zmq.Socket[bytes]]] = {}
        self._due: list[tuple[float, int, Player]] = []
        for number in range(count):
            self._join(Player(number), number)

    def _socket(self, kind: int, address: str, topic: bytes = b"") -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.set(zmq.SNDHWM, 0)
        socket.set(zmq.RCVHWM, 0)
        if topic:
            socket.set(zmq.SUBSCRIBE, topic)
        socket.connect(address)
        return socket

    def _join(self, player: Player, number: int) -> None:
        for socket in (
            self._socket(zmq.PULL, self._at.jobs),
            self._socket(zmq.SUB, self._at.control, player.id),
        ):
            self._sockets[socket.fileno()] = (player, socket)
            self._epoll.register(socket.fileno(), select.EPOLLIN | select.EPOLLET)
        self._take_turn(player, [SlotReady(0)])
        heapq.heappush(self._due, (CLOCK.now() + JOBS_CONNECTED_AFTER, number, player))

    def run(self) -> None:
        """For ever."""
        greeted: set[bytes] = set()
        while True:
            wait = max(0.0, self._due[0][0] - CLOCK.now())
            for fd, _ in self._epoll.poll(wait):
                player, socket = self._sockets[fd]
                self._take_turn(player, list(self._receive(player, socket)))
            now = CLOCK.now()
            while self._due[0][0] <= now:
                _, number, player = heapq.heappop(self._due)
                events = [] if player.id in greeted else [JobsConnected(), SinkConnected()]
                greeted.add(player.id)
                self._take_turn(player, events)
                heapq.heappush(self._due, (player.next_wakeup(now), number, player))

    def _receive(self, player: Player, socket: zmq.Socket[bytes]) -> Iterator[Any]:
        """All that waits: the file descriptor says only that there is something new."""
        while int(socket.get(zmq.EVENTS)) & zmq.POLLIN:
            message, payload = self._decoder.decode(socket.recv()[ID_BYTES if socket.type == zmq.SUB else 0 :])
            if isinstance(message, Jobs):
                player.keep(message, payload)
            yield message

    def _take_turn(self, player: Player, events: list[Any]) -> None:
        while True:
            now = CLOCK.now()
            actions = [action for event in events for action in player.core.handle(event, now)]
            actions += player.core.tick(now)
            events = []
            for action in actions:
                match action:
                    case Run():
                        events.append(player.run(action))
                    case Report(message):
                        self._send(self._report, message)
                    case Deliver(records, bodies):
                        self._send(self._outcomes, Outcomes(player.id, player.name, records), *bodies)
                    case _:
                        pass
            if not events:
                return

    @staticmethod
    def _send(socket: zmq.Socket[bytes], message: Message, *body: bytes | memoryview) -> None:
        socket.send(encode(message, *body))


if __name__ == "__main__":
    Players(sys.argv[1], int(sys.argv[2])).run()
