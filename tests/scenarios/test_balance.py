"""Who waits behind a job that lasts, on the virtual network: nobody, while another worker starts later ones.

With the rule switched off it is shown to be late.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.job.spec import BatchSpec
from penstock.worker import slot_feed
from support.sim.world import World

BATCH = b"batch".ljust(16)
SHORT, LONG = 0.02, 3.0
PATIENCE = 60.0


def started(folder: Path, seconds: list[float], chunk: int) -> list[float]:
    """When each job started on two workers of one slot, in seconds after the first."""
    world = World(folder, 7, workers=2, slots=1, checking=False)
    world.fates = lambda _, index, __: ("ok", seconds[index])
    try:
        world.run(world.now + 1.0)
        world.client.submit(BATCH, BatchSpec(), [chunk] * (len(seconds) // chunk))
        world.run_until(lambda: world.settled, PATIENCE)
        starts = [world.starts[BATCH, index][0][0] for index in range(len(seconds))]
        return [start - starts[0] for start in starts]
    finally:
        world.close()


LATE = [LONG if index == 40 else SHORT for index in range(240)]


def test_nothing_waits_behind_a_job_that_lasts(tmp_path: Path) -> None:
    """It is handed back although nobody idles, and starts before what was submitted later."""
    starts = started(tmp_path, LATE, 4)
    assert max(starts[41:48]) < starts[40] + 0.5


def test_without_handing_back_it_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as the job lasts, or until somebody idles."""
    monkeypatch.setattr(slot_feed, "STUCK", PATIENCE)
    starts = started(tmp_path, LATE, 4)
    assert max(starts[41:48]) > starts[40] + 0.9 * (LONG - SHORT)
