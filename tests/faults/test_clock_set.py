"""Somebody sets the wall clock of the ventilator's host, for a minute: what has ended is not deleted by that."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock import Pipeline
from support.fault_pipeline import World
from support.stations import LIMIT, until

DAY = 86_400.0
CLOCK = """
import os, time

real_time, real_gettime = time.time, time.clock_gettime

def ahead(place):
    with open(os.environ["PENSTOCK_TEST_CLOCK"]) as file:
        return float(file.read().split()[place])

time.time = lambda: real_time() + ahead(0)
time.clock_gettime = lambda kind: real_gettime(kind) + (ahead(1) if kind == time.CLOCK_BOOTTIME else 0)

if "PENSTOCK_TEST_WITHOUT" in os.environ:
    from penstock.ventilator.clock_steps import ClockSteps

    ClockSteps.is_steady = lambda *_: True
"""
"""What the ventilator's Python runs first: its clocks are so far ahead of this machine's as a file says."""
LOOK_TIME = 61.0
"""Seconds after which the ventilator looks again for what was kept for long enough."""


class Clocks:
    """Those of the ventilator."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "clocks"
        self.set(0.0, 0.0)

    def set(self, wall: float, boot: float) -> None:
        """So many seconds ahead of this machine's."""
        new = self.path.with_suffix(".new")
        new.write_text(f"{wall} {boot}")
        new.rename(self.path)


@pytest.mark.parametrize("rule", ["with", "without"])
def test_a_clock_that_is_set_for_a_minute_deletes_nothing(
    world: World, folder: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    """Eight days ahead, and back, while what is kept for seven lies there since the life before; the log says so. The
    control is a ventilator that believes its clock."""
    clocks = Clocks(folder)
    (folder / "python").mkdir()
    (folder / "python" / "sitecustomize.py").write_text(CLOCK)
    with monkeypatch.context() as environment:
        environment.setenv("PYTHONPATH", str(folder / "python"))
        environment.setenv("PENSTOCK_TEST_CLOCK", str(clocks.path))
        if rule == "without":
            environment.setenv("PENSTOCK_TEST_WITHOUT", "1")
        world.start("ventilator")
        world.start("sink", "w1")
        pipeline = world.client_of("w1")
        pipeline.batch(abs, [-1], name="kept", retain=7 * DAY).wait(LIMIT)
        world.end("ventilator")
        world.start("ventilator")
    until(lambda: pipeline.workers() != [], what="all goes on")
    log = world.stations.log("ventilator")
    for looks, (wall, said) in enumerate([(8 * DAY, "seconds=691"), (0.0, "seconds=-691")], 1):
        clocks.set(wall, looks * LOOK_TIME)
        until(lambda said=said: f"{said}" in log.read_text(), what="it has seen that")  # type: ignore[misc]
        until(lambda looks=looks: log.read_text().count("stood_still") >= looks, what="and looked")  # type: ignore[misc]
        until(lambda: pipeline.workers() != [], what="all goes on")
    assert [batch.name for batch in pipeline.batches()] == (["kept"] if rule == "with" else [])
    assert _goes_on(pipeline)


def _goes_on(pipeline: Pipeline) -> bool:
    return pipeline.submit(abs, -3).result(LIMIT) == 3
