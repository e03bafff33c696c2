"""A whole pipeline on the virtual network, and the faults that happen to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from penstock.sink.store import ResultStore
from penstock.ventilator.store import QueueStore
from support.sim.client import ClientNode
from support.sim.network import RECONNECT, Connection, Node
from support.sim.nodes import SinkNode, VentilatorNode, WorkerNode
from support.sim.oracle import Oracle
from support.surroundings import logger_to

NOTICE = 1.8
"""Seconds after which a dead link is noticed (ZMTP heartbeats, as measured)."""


class World(Oracle):
    """Ventilator, sink, some workers and a client."""

    ventilator_type: ClassVar[type[VentilatorNode]] = VentilatorNode
    sink_type: ClassVar[type[SinkNode]] = SinkNode
    worker_type: ClassVar[type[WorkerNode]] = WorkerNode
    client_type: ClassVar[type[ClientNode]] = ClientNode

    def __init__(
        self,
        folder: Path,
        seed: int,
        workers: int = 3,
        slots: int = 2,
        *,
        checking: bool = True,
        durable: bool = False,
        tags: tuple[tuple[str, ...], ...] = (),
        begins: float = 1000.0,
    ) -> None:
        super().__init__(folder, seed, begins)
        self.checking = checking
        """Whether the cores check their invariants in each turn."""
        self.durable = durable
        self.accepts_older = False
        """Whether stations are started with --accept-older."""
        self.leave: Callable[[QueueStore | ResultStore], None] = lambda store: store.close()
        """What becomes of the store of a node that dies."""
        self.logger = logger_to(self.logged)
        self.lacks: Callable[[str, bytes], bool] = lambda *_: False
        """Whether a worker cannot start the jobs of a batch."""
        self.fates: Callable[[bytes, int, Any], tuple[str, float]] = lambda *_: ("ok", 0.01)
        """What becomes of each job (batch, index, stamp), and how long it takes: ok, fail, crash (its slot), kill (its
        worker)."""
        self.ventilator = self.ventilator_type(self, "ventilator")
        self.sink = self.sink_type(self, "sink")
        self.workers = [self.worker_type(self, f"w{i}", slots, *tags[i : i + 1]) for i in range(workers)]
        self.client = self.client_type(self)
        self.named[self.client.id] = self.client
        self.nodes = [self.ventilator, self.sink, *self.workers, self.client]
        for place, node in enumerate(self.nodes):
            node.place = place
        for kind, outer, inner in self._plan():
            self.plug(kind, outer, inner)
        for node in self.nodes:
            self.start(node)

    def _plan(self) -> list[tuple[str, Node, Node]]:
        plan: list[tuple[str, Node, Node]] = [
            ("desk", self.client, self.ventilator),
            ("results", self.client, self.sink),
            ("report", self.sink, self.ventilator),
            ("control", self.sink, self.ventilator),
        ]
        for worker in self.workers:
            plan += [(kind, worker, self.ventilator) for kind in ("report", "control", "jobs")]
            plan.append(("outcomes", worker, self.sink))
        return plan

    def name(self, node: Node) -> bytes:
        """The id of a new life."""
        new = self.fresh_id()
        self.named[new] = node
        return new

    # ------------------------------------------------------------------------------------------ faults

    def start(self, node: Node) -> None:
        """A new life, if it is dead; its connections come up soon."""
        if node.alive:
            return
        node.paused_until = 0.0
        node.start()
        for connection in self.connections_of[node]:
            self.at(self.now + RECONNECT * self.random.random(), partial(self.connect, connection))

    def crash(self, node: Node) -> None:
        """kill -9: connections drop at once, what was not committed is gone; what was sent may arrive or not."""
        if not node.alive:
            return
        node.alive = False
        node.crash_at = None
        for connection in self.connections_of[node]:
            connection.flushed = (connection.life, node) if self.random.random() < 0.5 else None
            self.disconnect(connection)
        node.stop()
        self.faults[f"crash {type(node).__name__}"] += 1

    def pause(self, node: Node, seconds: float) -> None:
        """SIGSTOP for a while; a dead link is noticed by the others meanwhile only if it lasts."""
        node.paused_until = max(node.paused_until, self.now + seconds)
        self.at(node.paused_until, partial(self.wake, node))
        self.faults[f"pause {type(node).__name__}"] += 1
        if seconds > NOTICE:
            for connection in self.connections_of[node]:
                self.at(self.now + NOTICE, partial(self._notice, node, connection, connection.life))

    def _notice(self, node: Node, connection: Connection, life: int) -> None:
        if connection.life == life and node.paused_until > self.now:
            self.disconnect(connection)

    def cut(self, connection: Connection, seconds: float, one_way: Node | None = None) -> None:
        """The link stands still; noticed after NOTICE, when all that is under way is lost; else it arrives late."""
        if connection.cut_at is not None:
            return
        connection.cut_at = self.now
        connection.one_way = one_way
        self.faults["cut"] += 1

        def heal() -> None:
            connection.cut_at = None
            held, connection.held = connection.held, []
            for sender, frame in held:
                self.post(connection, sender, frame)
            self.connect(connection)

        if seconds > NOTICE:
            self.at(self.now + NOTICE, lambda: self.disconnect(connection))
        self.at(self.now + seconds, heal)

    def stop_worker(self, worker: WorkerNode) -> None:
        """SIGTERM."""
        if worker.alive:
            worker.links.orders.waiting += 1
            self.wake(worker)

    def close(self) -> None:
        """Close the stores."""
        for node in (self.ventilator, self.sink):
            if node.alive:
                node.stop()
