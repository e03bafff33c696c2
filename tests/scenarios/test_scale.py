"""Many workers and many jobs on the virtual network, while processes die: told by spans (support/sim/spans.py).

`scripts/scale` is the same with ten thousand workers and ten million jobs. PENSTOCK_SEED replays a seed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.ventilator import worker_reports
from penstock.wire.bounds import PACE_MAX
from penstock.worker.inventory import Inventory
from support.sim.spans import SpanWorld

SEED = int(os.environ.get("PENSTOCK_SEED", "6"))
WORKERS = 200
CRASHES = 20
BATCHES = [b"1" * 16, b"2" * 16]


def run(folder: Path, jobs: int, seconds: float, chunk: int) -> SpanWorld:
    """All of it, and what must hold at its end."""
    print(f"seed {SEED}")
    world = SpanWorld(folder, SEED, WORKERS, 1, seconds)
    try:
        world.go(BATCHES, jobs, chunk, world.faults_of(CRASHES), lambda: None)
        return world
    finally:
        world.close()


def test_a_hundred_thousand_jobs_are_recorded_once_each(tmp_path: Path) -> None:
    """Although a tenth of the workers, the ventilator and the sink die: nothing is lost, nothing runs twice but what
    they had begun, and nothing is held in the end."""
    world = run(tmp_path, 100_000, 0.001, 500)
    assert world.faults["crash SpanWorker"] == CRASHES
    assert world.done == 100_000


def test_what_many_workers_run_goes_on_through_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although each of them beats slowly, and many a hello is lost while its connections come up again."""
    monkeypatch.setattr(worker_reports, "BEATS_PER_SECOND", WORKERS / PACE_MAX)
    run(tmp_path, 2_000, 3.0, 10)


def test_without_inventories_what_workers_hold_runs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By others: a worker that does not say what it has is believed to have nothing."""
    monkeypatch.setattr(Inventory, "_look", lambda *_: None)
    with pytest.raises(AssertionError, match="ran twice"):
        run(tmp_path, 2_000, 0.5, 10)
