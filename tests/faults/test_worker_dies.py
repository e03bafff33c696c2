"""A worker dies, leaves, or stands still: its jobs run elsewhere, and nobody else's run again."""

from __future__ import annotations

import time

import pytest

from jobs.fault import freeze_agent, wait
from penstock import errors
from support.fault_pipeline import LEASE_TIME, World, harm, is_alive
from support.stations import until


@harm
def test_while_jobs_run(world: World, how: str) -> None:
    """Its running job runs again elsewhere (after SIGTERM it ends where it is), the other worker's does not."""
    world.up("w1", "w2")
    batch = world.batch(wait, 6)
    running = {worker: index for index, _, worker in world.started(2)}
    if how == "SIGTERM":
        world.stations.processes["w1"].terminate()
        world.open_gate()
        assert world.stations.processes["w1"].wait(20) == 0
    elif how == "SIGSTOP":
        world.stop("w1")
        time.sleep(LEASE_TIME * 1.5)
        world.open_gate()
        world.check(batch, 6)
        world.go_on("w1")
        until(lambda: b"worker_joined" in world.stations.log("ventilator").read_bytes().split(b"worker_lost")[-1])
    else:
        world.end("w1", 9)
        world.open_gate()
    world.check(batch, 6)
    times = world.times()
    assert times.pop(running["w1"]) == (1 if how == "SIGTERM" else 2)
    assert set(times.values()) == {1}


@pytest.mark.parametrize("obeys", [True, False])
def test_slots_of_an_agent_that_stands_still_start_nothing_more(world: World, obeys: bool) -> None:
    """Once others may have its jobs, though its slots have some to start; with a lease time far too long they go on."""
    world.up()
    world.start("w1", lease_time=LEASE_TIME if obeys else 1000.0)
    batch = world.batch(freeze_agent, 400)
    world.started(1)
    log = world.stations.log("ventilator")
    until(lambda: b"worker_lost" in log.read_bytes())
    world.start("w2")
    until(lambda: "w2" in [worker for _, _, worker in world.starts()])
    world.open_gate()
    world.check(batch, 400)
    world.go_on("w1")
    until(lambda: b"worker_joined" in log.read_bytes().split(b"worker_lost")[-1].replace(b"worker=w2", b""))
    workers = [worker for _, _, worker in world.starts()]
    assert ("w1" not in workers[workers.index("w2") :]) == obeys


@pytest.mark.parametrize(
    ("how", "cause"), [("SIGKILL", b"its connection dropped"), ("SIGSTOP", b"nothing was heard of it")]
)
def test_its_jobs_start_elsewhere_in_time(world: World, how: str, cause: bytes) -> None:
    """A kill is seen by the connection, not waited for; silence is after a lease."""
    world.up("w1")
    batch = world.batch(wait, 1)
    world.started(1)
    world.start("w2")
    until(lambda: len(world.clients[0].workers()) == 2)
    if how == "SIGKILL":
        world.end("w1", 9)
    else:
        world.stop("w1")
    world.started(2)
    assert cause in world.stations.log("ventilator").read_bytes()
    world.open_gate()
    world.check(batch, 1)


def test_the_last_one(world: World) -> None:
    """Then its jobs wait for the next worker; its slots and all that ran in them are gone."""
    world.up("w1", slots=2)
    batch = world.batch(wait, 4)
    slots = {pid for _, pid, _ in world.started(2)}
    world.end("w1", 9)
    until(lambda: not any(map(is_alive, slots)), 5, "the slots died with their worker")
    world.open_gate()
    world.start("w2", slots=2)
    world.check(batch, 4)
    assert sum(world.times().values()) == 6


def test_under_a_job_that_must_not_start_twice(world: World) -> None:
    """max_crashes=1: what ran or may have run there is dead, with a cause; the rest runs elsewhere, all of it once."""
    world.up("w1")
    batch = world.batch(wait, 6, max_crashes=1)
    ((index, _, _),) = world.started(1)
    world.end("w1", 9)
    world.open_gate()
    world.start("w2")
    status = batch.wait(30)
    assert status.succeeded + status.dead == 6
    assert status.succeeded >= 4, "a worker of one slot holds two jobs"
    for dead in batch.failures():
        assert "was lost while it ran or may have run" in dead.cause
        assert isinstance(dead.error, errors.JobDied)
    assert batch.attempts(index)[-1].state == "dead"
    assert set(world.times().values()) == {1}
