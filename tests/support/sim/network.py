"""Virtual time, and a network in it: connections in order, each on its own, and lost on their own.

What is under way on a lost connection is gone, and both ends learn of it. Every message travels as its frame.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from penstock.keys.roles import EVERYONE, Peer
from penstock.station.clock import Clock
from penstock.wire.frames import encode
from penstock.wire.records import Bytes, Message
from penstock.wire.sockets import Received
from support.surroundings import QuietLinks, QuietOrders

LATENCY = 0.0005
"""Seconds a message is under way, plus as much again at random."""
RECONNECT = 0.1
"""Seconds until a lost connection is tried again."""
ROUTED = {"desk", "results"}
"""Sockets that know their peers by ids."""


class Connection:
    """One TCP connection: `outer` connected to `inner`, which binds."""

    def __init__(self, kind: str, outer: Node, inner: Node) -> None:
        self.kind = kind
        self.outer = outer
        self.inner = inner
        self.up = False
        self.life = 0
        self.cut_at: float | None = None
        self.one_way: Node | None = None
        self.held: list[tuple[Node, bytes]] = []
        """Frames, by their senders, that a cut holds up."""
        self.last = {outer: 0.0, inner: 0.0}
        self.deaf = False
        """Whether the ventilator did not admit its subscription."""
        self.flushed: tuple[int, Node] | None = None
        """A life of the connection that ended by the death of this node, of which what it had sent still arrives."""


class Node:
    """A process on the network. It may be dead or stopped; what arrives while it is stopped waits in its links."""

    links: VirtualLinks
    monitored: frozenset[str] = frozenset()
    """Its sockets that tell it when a connection comes or goes."""

    def __init__(self, network: Network, name: str) -> None:
        self.network = network
        self.name = name
        self.id = b""
        """Of its present life: by it others send to it."""
        self.key = EVERYONE
        """Whose messages its connections bring."""
        self.alive = False
        self.paused_until = 0.0
        self.place = 0
        """Among the nodes: of those that have something to do the first one has its turn first."""
        self.is_awake = False
        self.wakeup_at = math.inf
        """When it is woken, if nothing happens before."""
        self.crash_at: tuple[int, str] | None = None
        """Its kill -9, if one is to come within a turn: the turn's number, and at which point of it."""
        self.turns = 0

    def start(self) -> None:
        """A new life."""
        self.alive = True
        self.wakeup_at = math.inf
        self.links = VirtualLinks(self)
        self.network.wake(self)

    def turn(self) -> None:
        """Do what there is to do now."""
        raise NotImplementedError

    def stop(self) -> None:
        """It was killed."""

    def before_effect(self) -> None:
        """It is about to do something that others can see."""

    def wake_at(self, when: float) -> None:
        """One wake-up at a time: another one only if it is earlier."""
        if when < self.wakeup_at:
            self.wakeup_at = when
            self.network.at(when, partial(self._wakeup, when))

    def _wakeup(self, when: float) -> None:
        if when == self.wakeup_at:
            self.wakeup_at = math.inf
            self.network.wake(self)


class VirtualLinks(QuietLinks):
    """The sockets of one life of a node, on the virtual network."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node
        self.orders = QuietOrders()
        self._arrived: defaultdict[str, deque[Received]] = defaultdict(deque)
        self._events: defaultdict[str, list[bool]] = defaultdict(list)
        self._subscriptions: list[tuple[bool, bytes, Peer]] = []
        self._up: Counter[str] = Counter()

    # ------------------------------------------------------------------------------------------ the station's side

    def poll(self, timeout: float | None, only: Iterable[str] | None = None) -> tuple[list[str], list[int]]:  # noqa: ARG002
        """What there is to read; nobody waits here, time passes between turns."""
        names = [name for name, waiting in self._arrived.items() if waiting]
        names += ["control"] if self._subscriptions else []
        names += [f"monitor:{name}" for name, events in self._events.items() if events]
        return names, [self.orders.fd] if self.orders.waiting else []

    def receive(self, name: str) -> Iterator[Received]:
        """All that waits."""
        waiting = self._arrived[name]
        while waiting:
            yield waiting.popleft()

    def send(self, name: str, message: Message, *payload: Bytes, peer: bytes = b"") -> bool:
        """Send now, or not at all (False)."""
        self._node.before_effect()
        return self._node.network.send(self._node, name, message, payload, peer)

    def connections(self, name: str) -> int:
        """How many connections a socket has."""
        return self._up[name]

    def connection_events(self, name: str) -> list[bool]:
        """Which connections came (True) and went since the last call, in order."""
        return self._events.pop(name, [])

    def subscriptions(self, name: str) -> list[tuple[bool, bytes, Peer]]:  # noqa: ARG002 - there is but one
        """What the subscribers of a socket did: (came, topic, who)."""
        news, self._subscriptions = self._subscriptions, []
        return news

    def renew(self, name: str, *, is_said: bool) -> None:  # noqa: ARG002
        """Connect anew, if there is a connection."""
        self._node.before_effect()
        self._node.network.disconnect(self._node.network.connections[name, self._node.name])

    # ------------------------------------------------------------------------------------------ the network's side

    def arrived(self, name: str, peer: bytes, frame: bytes, sender: Peer) -> None:
        """A message came in."""
        self._arrived[name].append(Received(name, peer, frame, sender))
        self._node.network.wake(self._node)

    def connected(self, name: str, *, up: bool) -> None:
        """A connection came up or was lost."""
        self._up[name] += 1 if up else -1
        if name in self._node.monitored:
            self._events[name].append(up)
        self._node.network.wake(self._node)

    def subscribed(self, topic: bytes, sender: Peer, *, came: bool) -> None:
        """A subscriber came or went."""
        self._subscriptions.append((came, topic, sender))
        self._node.network.wake(self._node)


class VirtualClock(Clock):
    """The time of the virtual network, which is also that of its people."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def now(self) -> float:
        """Virtual seconds."""
        return self._network.now

    def wall_time(self) -> float:
        """The same."""
        return self._network.now


class Network:
    """Virtual time, nodes and their connections."""

    def __init__(self, seed: int, begins: float = 1000.0) -> None:
        self.random = random.Random(seed)
        self.now = begins
        self.clock = VirtualClock(self)
        self.events: list[tuple[float, int, Node | None, Callable[[], Any]]] = []
        self.serial = itertools.count()
        self.awake: list[tuple[int, Node]] = []
        """Heap of (place, node)."""
        self.loss = 0.0
        self.duplication = 0.0
        self.deafness = 0.0
        """How many of the control connections that come up hear nothing."""
        self.faults: Counter[str] = Counter()
        """How many there were, by kind."""
        self.named: dict[bytes, Node] = {}
        """By the id of each life of a node."""
        self.connections: dict[tuple[str, str], Connection] = {}
        """By kind, and the name of the node that connects."""
        self.connections_of: dict[Node, list[Connection]] = defaultdict(list)
        self._jobs_up: dict[Connection, None] = {}
        """Of kind "jobs", in the order in which they came up."""
        self._dealt: Iterator[Connection] = iter(())

    def plug(self, kind: str, outer: Node, inner: Node) -> None:
        """A connection between two nodes, not up yet."""
        connection = self.connections[kind, outer.name] = Connection(kind, outer, inner)
        self.connections_of[outer].append(connection)
        self.connections_of[inner].append(connection)

    def fresh_id(self) -> bytes:
        """One that nobody has."""
        return self.random.randbytes(16)

    # ------------------------------------------------------------------------------------------ time

    def at(self, when: float, call: Callable[[], Any], within: Node | None = None) -> None:
        """Call later: in the process `within`, which may stand still then, or by nobody's doing."""
        heapq.heappush(self.events, (when, next(self.serial), within, call))

    def wake(self, node: Node) -> None:
        """It has a turn; who is dead or paused is woken when that ends."""
        if not node.is_awake and node.alive and node.paused_until <= self.now:
            node.is_awake = True
            heapq.heappush(self.awake, (node.place, node))

    def step(self) -> None:
        """The next thing that happens."""
        while self.awake:
            node = heapq.heappop(self.awake)[1]
            node.is_awake = False
            if node.alive and node.paused_until <= self.now:
                node.turn()
                return
        when, _, within, call = heapq.heappop(self.events)
        self.now = max(self.now, when)
        if within is not None and within.paused_until > self.now:
            self.at(within.paused_until, call, within)
            return
        call()

    def run(self, until: float) -> None:
        """Let time pass."""
        while self.now < until and (self.events or self.awake):
            self.step()

    def run_until(self, condition: Callable[[], bool], limit: float) -> None:
        """Let time pass until something is so; the limit is virtual seconds."""
        end = self.now + limit
        while not condition():
            assert self.now < end, f"not within {limit} virtual seconds: {self.story()}"
            self.step()

    def story(self) -> str:
        """What to print when a promise is broken."""
        return f"now={self.now:.2f} faults={dict(self.faults)}"

    # ------------------------------------------------------------------------------------------ messages

    def send(self, sender: Node, name: str, message: Message, payload: tuple[Bytes, ...], peer: bytes) -> bool:
        """Through the sender's socket of this name; False: nobody is connected there."""
        connection = self._route(sender, name, peer)
        if connection is None or not connection.up:
            return False
        if self.loss and self.random.random() < self.loss:
            self.faults["lost"] += 1
            return True
        frame = encode(message, *payload)
        self.carried(f"{name}>" if sender is connection.outer else f"<{name}", message, len(frame))
        if connection.deaf and sender is connection.inner:
            return True
        copies = 1
        if self.duplication and name not in {"jobs", "control"} and self.random.random() < self.duplication:
            copies = 2
            self.faults["duplicated"] += 1
        for _ in range(copies):
            if connection.cut_at is not None and connection.one_way in {None, sender}:
                connection.held.append((sender, frame))
            else:
                self.post(connection, sender, frame)
        return True

    def _route(self, sender: Node, name: str, peer: bytes) -> Connection | None:
        """Who connects has one way, PUSH takes turns, ROUTER and XPUB go by the peer."""
        if (name, sender.name) in self.connections:
            return self.connections[name, sender.name]
        if not peer:
            return self._next_jobs()
        node = self.named.get(peer)
        return self.connections[name, node.name] if node is not None and node.id == peer else None

    def _next_jobs(self) -> Connection | None:
        connection = next(self._dealt, None)
        if connection is None:
            self._dealt = iter(list(self._jobs_up))
            connection = next(self._dealt, None)
        return connection

    def carried(self, direction: str, message: Any, size: int) -> None:
        """A message of so many bytes was sent."""

    def post(self, connection: Connection, sender: Node, frame: bytes) -> None:
        """It arrives after a while, in order, if the connection lives so long."""
        when = max(self.now + LATENCY * (1 + self.random.random()), connection.last[sender] + 1e-7)
        connection.last[sender] = when
        self.at(when, partial(self._arrive, connection, connection.life, sender, frame))

    def _arrive(self, connection: Connection, life: int, sender: Node, frame: bytes) -> None:
        receiver = connection.inner if sender is connection.outer else connection.outer
        if receiver.alive and (connection.life == life or connection.flushed == (life, sender)):
            peer = sender.id if connection.kind in ROUTED and receiver is connection.inner else b""
            receiver.links.arrived(connection.kind, peer, frame, sender.key)

    # ------------------------------------------------------------------------------------------ connections

    def connect(self, connection: Connection) -> None:
        """It comes up, if nothing is against it."""
        if connection.up or not (connection.outer.alive and connection.inner.alive) or connection.cut_at is not None:
            return
        connection.up = True
        connection.life += 1
        self._tell_ends(connection)

    def disconnect(self, connection: Connection) -> None:
        """It is lost, and comes back."""
        if not connection.up:
            return
        connection.up = False
        connection.life += 1
        connection.held.clear()
        self._tell_ends(connection)
        self.at(self.now + RECONNECT, partial(self.connect, connection))

    def _tell_ends(self, connection: Connection) -> None:
        kind, outer, inner, up = connection.kind, connection.outer, connection.inner, connection.up
        if kind == "jobs":
            if up:
                self._jobs_up[connection] = None
            else:
                self._jobs_up.pop(connection, None)
            self._dealt = iter(list(self._jobs_up))
        for end in (outer, inner):
            if end.alive:
                end.links.connected(kind, up=up)
        if kind == "control":
            connection.deaf = self.deafness > 0 and up and self.random.random() < self.deafness
            if connection.deaf:
                self.faults["deaf"] += 1
            elif inner.alive:
                inner.links.subscribed(outer.id, outer.key, came=up)
