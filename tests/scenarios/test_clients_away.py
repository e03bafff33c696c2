"""A map whose client says nothing: busy, stopped or asleep, beside stations that stand still themselves. Each rule with
its control."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.job.spec import BatchSpec, JobState
from penstock.ventilator.deletion import Deletion
from penstock.wire.bounds import TRANSIENT_TIME
from penstock.wire.desk_messages import Alive, AskGone, Gone, GoneLine
from penstock.wire.records import Bytes
from support.sim.client import ClientNode
from support.sim.network import VirtualLinks
from support.sim.world import World

JOBS = 6
LONG = 90.0
"""Seconds of each job: the map outlasts any silence here."""
MAP = b"map".ljust(16)


class Reader(ClientNode):
    """A client that reads a map. It says that it does only at a new connection: between two it is busy."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.gone: list[GoneLine] = []
        self.is_busy = False
        """Whether it says nothing at a new connection either, for now."""

    def ask_again(self) -> None:
        if MAP in self.position and not self.is_busy:
            self.links.send("desk", Alive((MAP,)))
            self.links.send("desk", AskGone(next(self.numbers), (MAP,)))
        super().ask_again()

    def on_answer(self, message: Any, payload: Bytes) -> None:
        if isinstance(message, Gone):
            self.gone += message.batches
        super().on_answer(message, payload)

    def resend(self) -> None:
        """It says nothing again by itself."""
        self.resend_at = self.world.now + 1000.0


def world_of(folder: Path) -> World:
    """A map of long jobs, half of them running."""

    class Here(World):
        client_type = Reader

    world = Here(folder, 7, workers=1, slots=3)
    world.fates = lambda *_: ("ok", LONG)
    world.run(world.now + 2.0)
    world.client.submit(MAP, BatchSpec(transient=True), [1] * JOBS)
    world.run_until(lambda: len(world.starts) == 3, 10.0)
    return world


def cancelled(world: World) -> bool:
    """Whether the map was given up, looked at long after."""
    world.run(world.now + 4 * LONG)
    world.client.follow(MAP, world.client.position[MAP])  # the sink has not heard of it for long
    world.run(world.now + 5.0)
    states = {head.state for head in world.client.outcomes.values()}
    abandoned = any(log.event == "map_abandoned" for log in world.logged)
    assert abandoned is (states != {JobState.SUCCEEDED})
    assert abandoned or set(world.client.outcomes) == {(MAP, index) for index in range(JOBS)}
    return abandoned


@pytest.mark.parametrize("blind", [False, True])
def test_a_busy_client_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blind: bool) -> None:
    """It says nothing for minutes (a callback, C code that keeps the GIL, a debugger) over a connection that is up."""
    if blind:  # the control: a ventilator that sees no connections
        monkeypatch.setattr(VirtualLinks, "reaches", lambda *_: False)
    world = world_of(tmp_path)
    assert cancelled(world) is blind
    world.close()


@pytest.mark.parametrize("forgives", [True, False])
def test_stations_that_stood_still_forgive_their_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgives: bool
) -> None:
    """Longer than a client may be away: SIGSTOP, a host that was moved."""
    if not forgives:
        monkeypatch.setattr(Deletion, "forgive", lambda *_: None)
    world = world_of(tmp_path)
    assert isinstance(world.client, Reader)
    world.client.is_busy = True
    for node in (world.ventilator, world.sink):
        world.pause(node, TRANSIENT_TIME + 10.0)
    world.run(world.now + TRANSIENT_TIME + 20.0)
    assert cancelled(world) is not forgives
    world.close()


@pytest.mark.parametrize("forgives", [True, False])
def test_a_laptop_asleep_for_a_night_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgives: bool
) -> None:
    """Client, stations and worker sleep as one."""
    if not forgives:
        monkeypatch.setattr(Deletion, "forgive", lambda *_: None)
    world = world_of(tmp_path)
    for node in world.nodes:
        world.pause(node, 3600.0)
    world.run(world.now + 3610.0)
    assert cancelled(world) is not forgives
    world.close()


@pytest.mark.parametrize(("seconds", "is_lost"), [(TRANSIENT_TIME * 0.8, False), (TRANSIENT_TIME * 1.5, True)])
def test_a_client_that_was_away_is_told(tmp_path: Path, seconds: float, is_lost: bool) -> None:
    """Its connection is gone while it is stopped: for a while that costs nothing; later its map is cancelled, and it
    learns so when it is back, in words."""
    world = world_of(tmp_path)
    client = world.client
    assert isinstance(client, Reader)
    desk = world.connections["desk", client.name]
    world.cut(desk, seconds)
    world.cut(world.connections["results", client.name], seconds)
    world.run(world.now + seconds + 5.0)
    assert [(line.batch, line.kind) for line in client.gone] == ([(MAP, "JobCancelled")] if is_lost else [])
    assert all("its client was out of reach for 60 s" in line.text for line in client.gone)
    assert not is_lost or not world.ventilator.core.ledger.backlog.batches or client.gone
    if not is_lost:
        assert not cancelled(world)
    world.close()
