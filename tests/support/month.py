"""A pipeline that lives long: batches of one come and go, functions are new, workers come under new names; and what of
that stays in the stations and in their files.

Time is virtual, the stations and their files are real. What a station has in memory is counted in objects that can be
reached from it, and what its turns cost in calls of Python functions: neither moves with the machine's noise.
"""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from penstock.job.spec import BatchSpec
from penstock.keys.roles import Peer, Role
from penstock.station import loop
from penstock.station.ventilator_contact import Outlet, VentilatorContact
from penstock.wire.desk_messages import BatchClose, BatchOpen, ChunkHead, Forget, Submit
from penstock.wire.messages import Hello, Unfollow
from penstock.worker.core import WorkerCore
from penstock.worker.job_lines import Screens
from penstock.worker.process import Worker
from support.sim.client import ClientNode
from support.sim.network import Network, Node
from support.sim.nodes import StationNode, WorkerNode
from support.sim.world import World

REMEMBERED = 200
"""Deleted batches that a station still knows, to recognise what is sent late."""
BOUNDS = {
    "penstock.station.permissions.IDS_MAX": 4,
    "penstock.ventilator.intake.FORGOTTEN_BATCHES": REMEMBERED,
    "penstock.sink.core.FORGOTTEN_BATCHES": REMEMBERED,
    "penstock.ventilator.store.DELETED_KEPT": REMEMBERED,
    "penstock.ventilator.event_rows.EVENTS_KEPT": REMEMBERED,
    "penstock.ventilator.payloads.CACHE_BYTES": REMEMBERED << 10,
    "penstock.ventilator.worker_names.PRUNE_MIN": 4,
}
"""Of what stations remember on purpose: so small that all of it is full soon, and what grows then has no bound."""
AT_ONCE = 60
"""Batches that are open at one time: ten million batches of one take a month, then."""
WORKER_TIME = 10.0
"""Virtual seconds after which a worker goes, and another one comes."""
LIMIT = 120.0
"""Virtual seconds within which what is submitted has ended."""
NOISE = 40
"""Objects that are there at one moment and not at another: what waits to be sent, a window that is half full."""
OTHERS = (types.ModuleType, type, types.FunctionType, types.MethodType, types.CodeType, Network, Node)
"""Not a station's own, or as many for ever."""


class Stays(NamedTuple):
    """What there is of a pipeline between two batches."""

    objects: dict[str, int]
    """By station: that can be reached from it."""
    rows: dict[str, int]
    """By file and table."""
    bytes: dict[str, int]
    """Of each file, without what is free in it."""
    calls: int
    """Of Python functions for a batch from its submit to its end."""


class Mark(NamedTuple):
    """How far a month has come; another process goes on from there, with the files as they were."""

    now: float = 1000.0
    """Virtual seconds."""
    batches: int = 0
    keys: int = 0


class RenamedWorker(WorkerNode):
    """A worker whose every life has a key and a name of its own."""

    lives = 0

    world: Month

    def build(self, process: loop.Process) -> Worker:
        self.lives += 1
        self.key = self.world.new_key(Role.WORK)
        now, name = self.world.now, f"{self.key.name}/{self.name}-{self.lives}"
        self.slots = self.slots_type(self, self.slot_count)
        hello = Hello(self.id, 0, 0, 0, name, "host", 1, self.slot_count, 0, (), "3", self.tags)
        contact, outlet = VentilatorContact("sim", now), Outlet("sim", now)
        return Worker(WorkerCore(hello, now), self.slots, self.links, process, hello, contact, outlet, Screens(), 0.0)


class Guest(ClientNode):
    """A client that submits batches of one, reads them, and has them deleted; each time with another key."""

    world: Month
    batches = 0
    """So far."""

    def bring(self, batches: int, functions: int) -> list[bytes]:
        """So many batches, in one message each, whose functions are the newest of so many; their ids."""
        brought = []
        self.key = self.world.new_key(Role.ADMIN)
        for _ in range(batches):
            self.batches += 1
            batch = self.batches.to_bytes(16, "big")
            function = (self.batches % functions).to_bytes(16, "little")
            opened = BatchOpen(batch, BatchSpec(), function, 4)
            submit = Submit(next(self.numbers), (opened,), (ChunkHead(batch, 0, 1, 4),), (BatchClose(batch, 1),))
            self.unacked[submit.number] = (submit, b"codeargs")
            self.links.send("desk", submit, b"codeargs")
            self.world.specs[batch] = opened.spec
            self.position[batch] = 0
            self.follow(batch, 0)
            brought.append(batch)
        return brought

    def has_all(self) -> bool:
        """Whether every batch that it follows has ended."""
        return not self.unacked and len(self.outcomes) >= len(self.position)

    def leave(self, batches: Iterable[bytes]) -> None:
        """They have been read, and nobody else will."""
        for batch in batches:
            self.links.send("results", Unfollow(batch))
            self.links.send("desk", Forget(batch))
            del self.position[batch]
        self.outcomes.clear()
        self.values.clear()


class Month(World):
    """`functions`: how many there are before the first one comes again."""

    worker_type = RenamedWorker
    client_type = Guest
    client: Guest

    def __init__(self, folder: Path, seed: int, functions: int, begins: Mark | None = None) -> None:
        begins = begins or Mark()
        self._keys = begins.keys
        super().__init__(folder, seed, workers=2, slots=2, checking=False, begins=begins.now)
        self.functions = functions
        self.client.batches = begins.batches
        self._worker_ends_at = self.now + WORKER_TIME
        self.sink.key = self.new_key(Role.SINK)

    def new_key(self, role: Role) -> Peer:
        """One that nobody had before."""
        self._keys += 1
        return Peer(f"{role}-{self._keys}", role, f"{self._keys:040}")

    def mark(self) -> Mark:
        """How far it has come."""
        return Mark(self.now, self.client.batches, self._keys)

    def live(self, batches: int) -> None:
        """So many batches come and go; every few seconds a worker goes, and another one comes."""
        while batches > 0:
            brought = self.client.bring(min(AT_ONCE, batches), self.functions)
            batches -= len(brought)
            self.run_until(self.client.has_all, LIMIT)
            self.client.leave(brought)
            self.run(self.now + 5.0)
            self._forget_history()
            if self.now >= self._worker_ends_at:
                self._worker_ends_at = self.now + WORKER_TIME
                worker = self.random.choice(self.workers)
                self.crash(worker)
                self.start(worker)
                self.run(self.now + 10.0)

    def _forget_history(self) -> None:
        """The oracle's: it would grow."""
        for kept in (self.attempted, self.acked, self.specs, self.recorded, self.finals, self.starts, self.running):
            kept.clear()
        self.logged.clear()

    def look(self) -> Stays:
        """What there is now that nothing runs."""
        nodes: list[StationNode] = [self.ventilator, self.sink, *self.workers]
        calls = counted(lambda: self.live(AT_ONCE)) // AT_ONCE
        self.run(self.now + 60.0)
        objects = {node.name: reachable(_own(node.station)) for node in nodes}
        rows: dict[str, int] = {}
        size: dict[str, int] = {}
        for name, store in (("queue", self.ventilator.store), ("results", self.sink.store)):
            for (table,) in list(store.db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")):
                rows[f"{name}.{table}"] = one(store.db, f"SELECT count(*) FROM {table}")
            used = one(store.db, "PRAGMA page_count") - one(store.db, "PRAGMA freelist_count")
            size[name] = used * one(store.db, "PRAGMA page_size")
        return Stays(objects, rows, size, calls)


def one(db: apsw.Connection, question: str) -> int:
    """The number that answers it."""
    ((number,),) = db.execute(question)
    assert isinstance(number, int)
    return number


def _own(station: Any) -> list[Any]:
    """What a station holds itself: not its links, which lead to all others."""
    return [value for name, value in vars(station).items() if name not in {"links", "process", "_slots"}]


def reachable(roots: list[Any]) -> int:
    """How many objects can be reached from these."""
    seen: set[int] = set()
    waiting = list(roots)
    while waiting:
        found = waiting.pop()
        if id(found) not in seen and not isinstance(found, OTHERS):
            seen.add(id(found))
            waiting += gc.get_referents(found)
    return len(seen)


def counted(call: Callable[[], object]) -> int:
    """How many calls of Python functions it makes."""
    calls = 0

    def count(_frame: types.FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        call()
    finally:
        sys.setprofile(None)
    return calls


def grown(before: Stays, after: Stays) -> list[str]:
    """What there is more of, in words."""
    more = [
        f"{name}: {after.objects[name] - objects} objects"
        for name, objects in before.objects.items()
        if not name.startswith("w") and after.objects[name] > objects + NOISE
    ]
    more += [
        f"{table}: {after.rows[table] - rows} rows"
        for table, rows in before.rows.items()
        if after.rows[table] > rows + 2
    ]
    more += [
        f"{file}: {after.bytes[file] - size} bytes"
        for file, size in before.bytes.items()
        if after.bytes[file] > 1.1 * size
    ]
    return more + ([f"{after.calls - before.calls} calls for a batch"] if after.calls > 1.1 * before.calls else [])
