"""Whether a worker can run anything."""

from __future__ import annotations

from penstock.station.contract import Log
from penstock.worker.fitness import Fitness

OUTLET = "tcp://head:5558 (outcomes)"


def test_it_is_broken_when_no_slot_works() -> None:
    """Said once, with the first and the newest reason; one slot that works is enough."""
    fitness = Fitness(2, OUTLET)
    assert fitness.unfit(0, "no room") == [Log("slot_unfit", {"slot": 0, "reason": "no room"})]
    assert fitness.broken == ""
    assert fitness.unfit(1, "no room") == [Log("broken", {"reason": "no room"})]
    assert fitness.unfit(0, "no files") == []
    assert fitness.broken == "no files"
    assert fitness.ready(1) == [Log("healed", {})]
    assert (fitness.broken, fitness.ready(0)) == ("", [])


def test_that_jobs_use_up_slots_is_said_once_a_minute() -> None:
    """And not where it is nobody's doing."""
    fitness = Fitness(2, OUTLET)
    assert fitness.replaced(0, "", 1.0) == []
    assert fitness.replaced(0, "a job changed its umask", 2.0) == [
        Log("slot_replaced", {"slot": 0, "reason": "a job changed its umask"})
    ]
    assert fitness.replaced(1, "a job changed PATH", 61.0) == []
    assert fitness.replaced(1, "a job changed PATH", 62.0) != []


def test_who_cannot_deliver_is_broken() -> None:
    """Said once, with the socket; and a worker without a slot that works stays broken when it can deliver again."""
    fitness = Fitness(1, OUTLET)
    assert fitness.delivers(can=True) == []
    assert fitness.delivers(can=False) == [Log("undelivered", {"to": OUTLET})]
    assert (fitness.delivers(can=False), OUTLET in fitness.broken) == ([], True)
    fitness.unfit(0, "no room")
    assert fitness.delivers(can=True) == [Log("delivered_again", {"to": OUTLET})]
    assert fitness.broken == "no room"
