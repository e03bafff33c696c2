"""A link stands still, in one direction or both, or breaks again and again: both ends live."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jobs.fault import nap, wait
from penstock import Pipeline
from support.fault_pipeline import World
from support.stations import until
from support.tcp_proxy import Proxy


@pytest.fixture
def proxy(world: World) -> Iterator[Proxy]:
    """In front of all six ports."""
    made = Proxy(world.stations.url)
    yield made
    made.close()


def up(world: World, proxy: Proxy) -> None:
    """A pipeline of which only the worker w1 is behind the link."""
    world.up("w2")
    world.start("w1", url=proxy.url)
    until(lambda: len(world.clients[0].workers()) == 2)


@pytest.mark.parametrize("ways", [("out", "in"), ("out",), ("in",)], ids="-".join)
def test_of_a_worker_for_longer_than_a_lease(world: World, proxy: Proxy, ways: tuple[str, ...]) -> None:
    """What it ran runs again elsewhere; what it held starts once; when the link is back it works again, and what it
    brings late is not recorded."""
    up(world, proxy)
    batch = world.batch(wait, 6)
    running = {worker: index for index, _, worker in world.started(2)}
    proxy.hold(*ways)
    log = world.stations.log("ventilator")
    until(lambda: "worker_lost" in log.read_text(), what="the worker is lost")
    world.open_gate()
    world.check(batch, 6)
    proxy.release()
    until(lambda: len(world.clients[0].workers()) == 2, what="the worker is back")
    world.check(world.batch(nap, 10), 10)
    times = world.times()
    times.subtract(range(10))
    assert times.pop(running["w1"]) <= 2
    assert {times[index] for index in range(6) if index != running["w1"]} == {1}


def test_between_a_worker_and_the_sink_only(world: World, proxy: Proxy) -> None:
    """It keeps what it has and delivers it later; nothing runs again."""
    up(world, proxy)
    proxy.hold("out", "in", names=("outcomes",))
    batch = world.batch(wait, 6)
    world.started(2)
    world.open_gate()
    world.started(4)
    proxy.release()
    world.check(batch, 6)
    assert set(world.times().values()) == {1}


def test_again_and_again(world: World, proxy: Proxy) -> None:
    """A worker whose connections break all the time loses nothing, and nothing runs again for it."""
    up(world, proxy)
    batch = world.batch(nap, 30)
    while not batch.status().done:
        proxy.reset()
        count = len(world.starts())
        until(lambda count=count: len(world.starts()) > count or batch.status().done)  # type: ignore[misc]
    world.check(batch, 30)
    assert set(world.times().values()) == {1}


def test_of_a_client_while_it_submits(world: World, proxy: Proxy) -> None:
    """What was not acknowledged is sent again and accepted once; its map is complete and in order."""
    world.up("w1", "w2")
    with Pipeline(proxy.url) as client:
        values = client.map(nap, [str(world.folder)] * 30, range(30), chunksize=1, buffersize=10)
        found = [next(values) for _ in range(3)]
        proxy.hold("in")
        proxy.reset()
        proxy.release()
        found += [next(values) for _ in range(7)]
        proxy.hold("out", "in")
        world.started(12)
        proxy.release()
        found += values
    assert found == list(range(30))
    assert set(world.times().values()) == {1}
