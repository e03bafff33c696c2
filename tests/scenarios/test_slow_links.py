"""A worker with as many leases as it ever wants, behind the slowest link that is thought of: its heartbeats have what
changes of them, and leave the link to what its jobs bring back.

What counts is bytes and virtual time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.job.spec import BatchSpec
from penstock.worker.core import WINDOW
from penstock.worker.membership import Membership
from support.sim.network import LATENCY, Connection, Node
from support.sim.world import World

BATCH = b"batch".ljust(16)
RATE = 125_000
"""Bytes a second: 1 Mbit/s, each way, for all that the worker says and hears."""
SECONDS = 60.0
"""That a job takes."""
LIMIT = 300.0


class SlowWorld(World):
    """All that a worker says, and all that it hears, takes its time on a link of its own."""

    def __init__(self, folder: Path, seed: int, **options: Any) -> None:
        self._free_at: defaultdict[tuple[str, bool], float] = defaultdict(float)
        self.said: Counter[str] = Counter()
        """Bytes that workers have said, by message."""
        super().__init__(folder, seed, **options)

    def carried(self, direction: str, message: Any, size: int) -> None:
        if not direction.startswith("<"):
            self.said[type(message).__name__] += size
        super().carried(direction, message, size)

    def post(self, connection: Connection, sender: Node, frame: bytes) -> None:
        worker = connection.outer
        if worker not in self.workers:
            super().post(connection, sender, frame)
            return
        way = (worker.name, sender is worker)
        self._free_at[way] = max(self.now, self._free_at[way]) + len(frame) / RATE
        when = self._free_at[way] + LATENCY
        self.at(when, partial(self._arrive, connection, connection.life, sender, frame))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SlowWorld]:
    """A worker with a slot for every second one of its leases; each job is one of them."""
    made = SlowWorld(tmp_path, 5, workers=1, slots=WINDOW // 2, checking=False)
    made.fates = lambda *_: ("ok", SECONDS)
    yield made
    made.close()


def reports(world: SlowWorld, seconds: float = 4.0) -> float:
    """How much of the link the worker's signs of life take, once it has all the leases that it wants."""
    world.client.submit(BATCH, BatchSpec(), [1] * WINDOW)
    (worker,) = world.workers
    world.run_until(lambda: len(worker.core.holdings.leases) == WINDOW, LIMIT)
    world.run(world.now + seconds)
    world.said.clear()
    world.run(world.now + seconds)
    return (world.said["Heartbeat"] + world.said["Part"]) / (seconds * RATE)


def test_heartbeats_leave_the_link_to_others(world: SlowWorld) -> None:
    """A tenth of it is enough to say what runs in 512 slots, and for how long. The whole inventory, which a ventilator
    that was away is told, takes a second, and the worker has joined with all of it after two."""
    assert reports(world) < 0.1
    running = dict(world.starts)
    world.crash(world.ventilator)
    world.start(world.ventilator)
    world.said.clear()
    world.run(world.now + 3)
    assert world.said["Part"] > RATE / 2
    (worker,) = world.ventilator.core.ledger.workers.values()
    assert len(worker.leases) == WINDOW
    assert world.starts == running
    assert "worker_lost" not in {line.event for line in world.logged}


def test_whole_inventories_would_take_all_of_it(world: SlowWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a worker that says all that it holds each time."""
    heartbeat = Membership.heartbeat
    monkeypatch.setattr(Membership, "heartbeat", lambda *one: replace(heartbeat(*one), since=0))
    assert reports(world) > 0.8
