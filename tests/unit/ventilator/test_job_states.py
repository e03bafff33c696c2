"""Where open jobs are: which run, which wait, and with whom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.job.spec import BatchSpec, JobState
from penstock.ventilator.job_states import LINES
from penstock.wire.desk_messages import (
    Arguments,
    AskArguments,
    AskBatches,
    AskJobs,
    AskPipeline,
    BatchesInfo,
    Cancel,
    JobLine,
    JobsInfo,
    PipelineInfo,
    Refused,
)
from penstock.wire.messages import InSlot, Took
from support.core_benches import BATCH, VentilatorBench, held, leases


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[VentilatorBench]:
    """A ventilator with a sink, whose ledger are right in the end."""
    made = VentilatorBench(tmp_path)
    made.sink()
    yield made
    made.core.check()


def lines(bench: VentilatorBench, batch: bytes = BATCH, start: int = 0, stop: int = 1_000) -> list[JobLine]:
    (info,) = bench.ask(AskJobs(1, batch, start, stop, LINES))
    assert isinstance(info, JobsInfo)
    return list(info.lines)


def running(bench: VentilatorBench, batch: bytes = BATCH) -> list[int]:
    return [index for line in lines(bench, batch) if line.running for index in range(line.start, line.stop)]


def counted(bench: VentilatorBench) -> tuple[int | None, int | None, int]:
    """Running jobs of the pipeline and of its newest batch, and those that are given out."""
    (info,), (batches,) = bench.ask(AskPipeline(1)), bench.ask(AskBatches(1, "", 1))
    assert isinstance(info, PipelineInfo)
    assert isinstance(batches, BatchesInfo)
    return info.running, batches.batches[0].running, info.leased


def test_what_a_worker_holds_ahead_does_not_run(bench: VentilatorBench) -> None:
    """A worker of two slots holds five jobs: two run, three wait there; every count says the same."""
    one = bench.worker(slots=2, window=8)
    (lease,) = leases(bench.submit(5))
    bench.turn(Took(one.id, (lease.number,), 8))
    assert running(bench) == [0, 1]
    assert counted(bench) == (2, 2, 5)
    bench.turn(bench.record(0, 1))
    assert running(bench) == [1, 2]
    assert [(line.start, line.stop, line.worker) for line in lines(bench)] == [(1, 2, "w"), (2, 3, "w"), (3, 5, "w")]


def test_a_heartbeat_names_what_runs(bench: VentilatorBench) -> None:
    """Whatever its index, with its slot and for how long; of what is given to slots ahead nothing else runs."""
    one = bench.worker(slots=1, window=8)
    (lease,) = leases(bench.submit(5))
    bench.turn(Took(one.id, (lease.number,), 8))
    line = held(lease, running=((2, 4),), unstarted=((0, 2), (4, 5)))
    bench.turn(one.beat(line, slots=(InSlot(0, lease.number, 3, 2.0),)))
    (runs,) = [line for line in lines(bench) if line.running]
    assert (runs.start, runs.stop, runs.host) == (3, 4, "host")
    assert runs.in_slot is not None
    assert list(runs.in_slot) == pytest.approx([0, 2.0])
    bench.turn(one.beat(line))
    assert running(bench) == [2], "a worker of an earlier release says only what slots have"


def test_of_a_lease_with_a_limit_one_job_runs(bench: VentilatorBench) -> None:
    """However many slots its worker has."""
    one = bench.worker(slots=4, window=8)
    (lease,) = leases(bench.submit(3, spec=BatchSpec(limit=1)))
    bench.turn(Took(one.id, (lease.number,), 8))
    assert running(bench) == [0]


def test_what_nobody_has_is_queued_or_delayed(bench: VentilatorBench) -> None:
    """Delayed is what may not begin yet; a job that is cancelled on its way to the sink says that."""
    bench.submit(3, spec=BatchSpec(not_before_time=bench.wall_time + 3600))
    assert [(line.start, line.stop, line.state) for line in lines(bench)] == [(0, 3, JobState.DELAYED)]
    bench.ask(Cancel(9, BATCH, 1, 2, False))
    assert [line.state for line in lines(bench)] == [JobState.DELAYED, JobState.CANCELLED, JobState.DELAYED]
    assert not any(line.running for line in lines(bench))


def test_an_answer_says_where_to_go_on(bench: VentilatorBench) -> None:
    """Lines have a bound, and none is left out; only what was asked for is in them."""
    bench.submit(3)
    bench.ask(Cancel(9, BATCH, 1, 2, False))
    (info,) = bench.ask(AskJobs(1, BATCH, 0, 3, 2))
    assert isinstance(info, JobsInfo)
    assert ([(line.start, line.stop) for line in info.lines], info.next) == ([(0, 1), (1, 2)], 2)
    assert [(line.start, line.stop) for line in lines(bench, start=2, stop=3)] == [(2, 3)]


def test_what_runs_anywhere_is_asked_without_a_batch(bench: VentilatorBench) -> None:
    """Of all batches at once: that is what `top` shows."""
    one = bench.worker(slots=2, window=8)
    (lease,) = leases(bench.submit(5))
    bench.turn(Took(one.id, (lease.number,), 8))
    assert [(line.batch, line.start, line.running) for line in lines(bench, b"")] == [
        (BATCH, 0, True),
        (BATCH, 1, True),
    ]


def test_arguments_are_read_of_batches_that_are_here(bench: VentilatorBench) -> None:
    """No more than so many jobs at once; of an unknown batch that is an error."""
    bench.submit(3, 1)
    (found,) = bench.ask(AskArguments(1, BATCH, 1, 9, 10))
    assert isinstance(found, Arguments)
    assert [(one.first, one.count) for one in found.chunks] == [(0, 3), (3, 1)]
    unknown = bytes(16)
    assert bench.ask(AskArguments(2, unknown, 0, 1, 1)) == [Refused(2, "NoSuchBatch", f"no batch {unknown.hex()}")]
    assert bench.ask(AskJobs(3, unknown, 0, 1, 1)) == [Refused(3, "NoSuchBatch", f"no batch {unknown.hex()}")]


def test_jobs_of_two_batches_at_one_worker_are_told_apart(bench: VentilatorBench) -> None:
    """Together they are as many as it has slots; each batch has its own."""
    one, other = bench.worker(slots=3, window=8), b"o" * 16
    (first,) = leases(bench.submit(2))
    (second,) = leases(bench.submit(4, batch=other))
    bench.turn(Took(one.id, (first.number, second.number), 8))
    (batches,) = bench.ask(AskBatches(1, "", 9))
    assert isinstance(batches, BatchesInfo)
    assert {line.batch: line.running for line in batches.batches} == {BATCH: 2, other: 1}
    assert (running(bench), running(bench, other)) == ([0, 1], [0])
    assert len(lines(bench, b"")) == 3
