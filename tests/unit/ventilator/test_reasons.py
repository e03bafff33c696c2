"""Why a job does not run, or where it does."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from penstock.job.spec import BatchSpec, JobState
from penstock.ventilator.start_conditions import EXPIRED
from penstock.wire.desk_messages import AskWhy, Cancel, Refused, Why
from penstock.wire.messages import InSlot, Took
from support.core_benches import BATCH, VentilatorBench, held, leases

FIRST = b"first".ljust(16)


def why(bench: VentilatorBench, index: int = 0, batch: bytes = BATCH) -> str:
    """What is answered."""
    (answer,) = bench.ask(AskWhy(7, batch, index))
    assert isinstance(answer, Why)
    return answer.reason


def test_a_job_that_nobody_has_says_what_is_missing(bench: VentilatorBench) -> None:
    """No worker at all, none that fits, all busy; and who goes first."""
    bench.submit(1)
    assert why(bench) == "no worker is connected"
    gpu = b"gpu".ljust(16)
    bench.submit(1, batch=gpu, spec=BatchSpec(needs=("gpu",)))
    assert why(bench, batch=gpu) == "no worker with the tag gpu is connected: it waits for that"
    bench.submit(*[1] * 5, batch=FIRST, spec=BatchSpec(priority=1))
    bench.worker("w", slots=1, window=2)
    assert why(bench) == (
        "the one slot that may run it is taken; 3 jobs of higher priority go first, 0 of its own batch at most,"
        " and 1 batches of its priority take turns with it"
    )


def test_a_job_that_may_not_run_yet_says_until_when(bench: VentilatorBench) -> None:
    """Its time, the batch before it, the limit, the delay of a retry, the verdict."""
    bench.submit(1, batch=FIRST, spec=BatchSpec(not_before_time=bench.wall_time + 60))
    assert why(bench, batch=FIRST).startswith("it may not begin before 1970-01-12")
    bench.submit(1, spec=BatchSpec(after=FIRST))
    assert why(bench) == f"it comes after batch {FIRST.hex()}: 0 of 1 jobs have ended"
    bench.ask(Cancel(1, BATCH, 0, 1, False))
    assert why(bench) == "it will not run (cancelled): it waits for the sink to record that"
    limited = b"limited".ljust(16)
    bench.worker("w", slots=4, window=9)
    bench.submit(1, 1, batch=limited, spec=BatchSpec(limit=1, retries=1))
    assert why(bench, 1, limited) == "its batch has reached its limit of 1 at once"
    bench.turn(bench.record(0, 1, JobState.FAILED, final=False, batch=limited))
    assert why(bench, 0, limited).startswith("attempt 1 failed: it waits ")
    late = b"late".ljust(16)
    bench.submit(1, batch=late, spec=BatchSpec(expires_time=bench.wall_time - 1))
    assert why(bench, batch=late) == f"it will not run ({EXPIRED}): it waits for the sink to record that"


def test_a_job_that_somebody_has_says_who(bench: VentilatorBench) -> None:
    """On its way, there (an idle slot takes it at once), and running there, if it is known since when; that its worker
    was lost is said, too."""
    one, _ = bench.worker("one"), bench.worker("two")
    (lease, _) = leases(bench.submit(5, 5))
    assert why(bench) == "it is on its way to a worker, for 0.0 s"
    bench.turn(Took(one.id, (lease.number,), 2), after=1.0)
    assert why(bench) == "it runs at worker one on host, which has had it for 1.0 s"
    bench.turn(one.beat(held(lease, running=((0, 1),), unstarted=((1, 5),))), after=0.5)
    assert why(bench) == "it runs at worker one on host, which has had it for 1.5 s"
    assert why(bench, 4) == "it waits for a slot at worker one on host, which has had it for 1.5 s"
    bench.turn(
        one.beat(held(lease, running=((0, 1),), unstarted=((1, 5),)), slots=(InSlot(0, lease.number, 0, 0.3),)),
        after=0.5,
    )
    assert why(bench) == "it runs at worker one on host for 0.3 s"
    bench.turn(one.beat(held(lease, finished=((0, 5),))), after=0.5)
    assert why(bench, 4) == "it has ended at worker one on host, and its outcome is not recorded yet"
    bench.turn(replace(one.beat(held(lease, finished=((0, 5),))), broken="no way to the sink"))
    assert why(bench, 4).endswith("is not recorded yet: no way to the sink")
    one.disconnect()
    bench.turn(after=2.0)
    assert why(bench, 0).startswith("whoever had it is lost")


def test_a_job_that_has_ended_or_never_was(bench: VentilatorBench) -> None:
    """The sink knows what it came to; no batch and no index are errors."""
    bench.submit(2)
    bench.turn(bench.record(0, 1))
    assert why(bench) == ""
    assert bench.ask(AskWhy(1, BATCH, 2)) == [Refused(1, "NoSuchBatch", "no job 2: the batch has 2 jobs")]
    assert bench.ask(AskWhy(1, FIRST, 0)) == [Refused(1, "NoSuchBatch", f"no batch {FIRST.hex()}")]


def test_a_job_on_disk_waits_behind_its_batch(bench: VentilatorBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking does not bring it into memory."""
    monkeypatch.setattr("penstock.ventilator.intake.WINDOW_CHUNKS", 2)
    monkeypatch.setattr("penstock.ventilator.intake.REFILL_CHUNKS", 1)
    monkeypatch.setattr("penstock.ventilator.backlog.REFILL_CHUNKS", 4)
    bench.submit(*[1] * 30)
    bench.worker("w")
    assert "of its own batch at most" in why(bench, 29)
    assert len(bench.parts()) < 10
