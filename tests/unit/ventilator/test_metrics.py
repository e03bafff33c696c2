"""What the ventilator counts: penstock.ventilator.metrics."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.wire.desk_messages import AskMetrics, Metrics
from support.core_benches import VentilatorBench


def numbers(bench: VentilatorBench) -> dict[str, float]:
    """What is told of jobs and workers, by families and labels, and of the histogram of waits its count and its sum."""
    (told,) = bench.ask(AskMetrics(1))
    assert isinstance(told, Metrics)
    (waits,) = (one for one in told.spreads if one.family == "job_wait_seconds")
    of_store = {"store_bytes", "store_free_bytes", "refused_total"}
    found = {" ".join((one.family, *one.labels)): one.value for one in told.samples if one.family not in of_store}
    return found | {"waits": sum(waits.counts), "waited": waits.sum}


@pytest.fixture
def bench(tmp_path: Path) -> VentilatorBench:
    """A ventilator with a sink and no worker."""
    made = VentilatorBench(tmp_path)
    made.sink()
    return made


def test_jobs_are_counted_when_they_are_accepted_and_given_out(bench: VentilatorBench) -> None:
    """Accepted jobs of this life; how long each waited for a worker, once; and how long the oldest one waits."""
    bench.submit(3)
    bench.now += 20.0
    bench.turn(bench.head())
    assert numbers(bench) == pytest.approx(
        {"jobs_submitted_total": 3, "oldest_waiting_seconds": 20, "waits": 0, "waited": 0}, abs=0.5
    )
    bench.worker()
    seen = numbers(bench)
    assert seen["waits"] > 0
    assert seen["waited"] == pytest.approx(20 * seen["waits"], abs=0.5 * seen["waits"])
    bench.turn(bench.record(0, 3))
    assert numbers(bench)["oldest_waiting_seconds"] == 0


def test_after_a_restart_a_job_has_waited_since_its_batch(bench: VentilatorBench) -> None:
    """The queue file does not say since when: too long is said rather than too short, and counters begin anew."""
    bench.submit(3)
    bench.now += 50.0
    bench.restart()
    bench.recover()
    seen = numbers(bench)
    assert seen["oldest_waiting_seconds"] >= 50
    assert "jobs_submitted_total" not in seen


def test_a_lost_worker_is_counted_by_what_was_seen_of_it(bench: VentilatorBench) -> None:
    """Silence here; one that leaves is no loss."""
    bench.worker()
    bench.pass_time(bench.lease_time + 2)
    assert numbers(bench)["worker_losses_total silence"] == 1
