"""How things stand, as clients are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cores import VentilatorBench
from penstock.messages import AskPipeline, PipelineInfo


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[VentilatorBench]:
    """A ventilator with a sink and a worker."""
    made = VentilatorBench(tmp_path)
    made.sink()
    made.worker()
    yield made
    made.core.check()


def stand(bench: VentilatorBench) -> PipelineInfo:
    """The answer."""
    (info,) = bench.ask(AskPipeline(1))
    assert isinstance(info, PipelineInfo)
    return info


def test_jobs_and_batches_are_counted_while_they_are_open(bench: VentilatorBench) -> None:
    """What has ended is neither waiting nor open."""
    bench.submit(2)
    info = stand(bench)
    assert (info.queued + info.leased, info.batches) == (2, 1)
    bench.turn(bench.record(0, 2))
    info = stand(bench)
    assert (info.queued, info.leased, info.batches, len(info.workers)) == (0, 0, 0, 1)
