"""The nodes of the virtual network that are stations: a real one each, which can be killed at any point of a turn."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from penstock.errors import Refused
from penstock.sink.contract import SaveRow
from penstock.sink.core import SinkCore
from penstock.sink.process import Sink
from penstock.sink.store import ResultStore
from penstock.station import loop
from penstock.station.lease_tokens import LeaseTokens
from penstock.station.permissions import Bindings
from penstock.station.ventilator_contact import Outlet, VentilatorContact
from penstock.ventilator.contract import Identity
from penstock.ventilator.core import VentilatorCore
from penstock.ventilator.process import Ventilator
from penstock.ventilator.store import QueueStore
from penstock.wire.messages import Hello
from penstock.worker.core import WorkerCore
from penstock.worker.job_lines import Screens
from penstock.worker.process import Worker
from support.sim.network import Node
from support.sim.slots import VirtualSlots

if TYPE_CHECKING:
    from support.sim.world import World

SEAL = LeaseTokens(b"seal")
"""Every lease of the virtual network is sealed, and every outcome must be of one."""
SHORTEST = 1e-4
"""Seconds from a turn to the next one, if nothing arrives."""


class Killed(BaseException):
    """The process ends here; no code of its own may stop that."""


class StationNode(Node):
    """A node whose life is that of a station, and each turn one step of the station's own loop.

    With a `crash_at` it is killed in that turn: before anything of it is done ("before commit"), before anything is
    done after its commit ("after commit"), or before a second thing is done ("after send")."""

    station: loop.Station

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.world = world
        self._point = ""
        """At which it is killed in this turn."""
        self._effects = 0
        """That it had so far in this turn."""

    def start(self) -> None:
        super().start()
        self._point = ""
        self.id = self.world.name(self)
        self.station = self.build(loop.Process(self.world.logger, self.links.orders, self.world.clock))

    @abstractmethod
    def build(self, process: loop.Process) -> loop.Station:
        """A new life's station."""

    @property
    def core(self) -> Any:
        """Of its present life."""
        return self.station.core

    def turn(self) -> None:
        self.turns += 1
        self._effects = 0
        if self.crash_at is not None and self.crash_at[0] <= self.turns:
            self._point = self.crash_at[1]
        try:
            loop.step(self.station)
        except Killed:
            assert self._point
        except Refused:  # as main does: it ends, and its last line says why
            self.world.crash(self)
            return
        if self.world.checking:
            self.core.check()
        if self._point or self.station.leaving:
            self.world.crash(self)
            return
        patience = loop.patience(self.station)
        if patience is not None:
            self.wake_at(self.world.now + max(patience, SHORTEST))

    def before_effect(self) -> None:
        if self._point in {"before commit", "after commit"} or (self._point and self._effects):
            raise Killed
        self._effects += 1

    def commit(self, save: Callable[[], None]) -> None:
        """Its store commits."""
        if self._point == "before commit" or (self._effects and self._point):
            raise Killed
        save()
        if self._point == "after commit":
            raise Killed


class NodesQueue(QueueStore):
    """The queue file of a node that can be killed at its commit."""

    def __init__(self, node: StationNode, folder: Path, *, durable: bool) -> None:
        super().__init__(folder, durable)
        self._node = node

    def save(self, saves: Iterable[Any]) -> None:
        self._node.commit(lambda: super(NodesQueue, self).save(saves))


class NodesResults(ResultStore):
    """The results file of a node that can be killed at its commit; the oracle learns of every line."""

    def __init__(self, node: StationNode, folder: Path, *, durable: bool) -> None:
        super().__init__(folder, durable)
        self._node = node

    def save(self, saves: Iterable[Any]) -> None:
        self._node.commit(lambda: self._save(list(saves)))

    def _save(self, saves: list[Any]) -> None:
        super().save(saves)
        for row in saves:
            if isinstance(row, SaveRow):
                self._node.world.on_line(row.head)


class VentilatorNode(StationNode):
    """The ventilator with its real queue file."""

    monitored = frozenset({"jobs"})

    def build(self, process: loop.Process) -> Ventilator:
        self.store = NodesQueue(self, self.world.folder / "queue", durable=self.world.durable)
        core = VentilatorCore(
            self.store.begin_life(),
            self.store.batch_rows.here(),
            self.store.applied(),
            self.world.now,
            wall_time=self.world.now,
            seed=self.world.random.getrandbits(32),
            forgotten=self.store.forgotten(),
            pause=self.store.pause(),
            lease_tokens=SEAL,
            damages=len(self.store.damages()),
            must_compare=self.store.must_compare,
            deleted=self.store.deleted(),
            identity=Identity(
                *(self.store.pipeline, self.store.is_paired, self.store.accepted, self.world.accepts_older),
                self.store.event_rows.last(),
            ),
        )
        return Ventilator(core, self.store, self.links, process, Bindings())

    def stop(self) -> None:
        self.world.leave(self.store)


class SinkNode(StationNode):
    """The sink with its real results file."""

    def build(self, process: loop.Process) -> Sink:
        self.store = NodesResults(self, self.world.folder / "results", durable=self.world.durable)
        core = SinkCore(
            self.world.random.getrandbits(56),
            self.store.head(),
            sink=self.id,
            in_memory=1,
            lease_tokens=SEAL,
            damages=len(self.store.damages()),
            damaged_to=self.store.damaged_to,
            known=self.store.known(accepts_older=self.world.accepts_older),
        )
        return Sink(core, self.store, self.links, process, Bindings(), VentilatorContact("sim", self.world.now))

    def stop(self) -> None:
        self.world.leave(self.store)


class WorkerNode(StationNode):
    """A worker with virtual slots."""

    monitored = frozenset({"report", "jobs", "outcomes"})
    slots_type: ClassVar[type[VirtualSlots]] = VirtualSlots

    def __init__(self, world: World, name: str, slots: int, tags: tuple[str, ...] = ()) -> None:
        super().__init__(world, name)
        self.slot_count = slots
        self.tags = tags

    def build(self, process: loop.Process) -> Worker:
        now = self.world.now
        hello = Hello(self.id, 0, 0, 0, self.name, "host", 1, self.slot_count, 0, (), "3", self.tags, parts=True)
        self.slots = self.slots_type(self, self.slot_count)
        core = WorkerCore(hello, now)
        contact, outlet = VentilatorContact("sim", now), Outlet("sim", now)
        return Worker(core, self.slots, self.links, process, hello, contact, outlet, Screens(), 0.0)

    def stop(self) -> None:
        self.slots.kill()
