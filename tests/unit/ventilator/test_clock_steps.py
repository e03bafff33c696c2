"""The wall clock is set, for good or for a minute: nothing is deleted by that."""

from __future__ import annotations

import pytest

from penstock.job.spec import BatchSpec
from penstock.station.checked_rows import DamagedRow
from penstock.ventilator import store as queue
from penstock.ventilator.clock_steps import STEADY_TIME, STEP, ClockSteps
from penstock.ventilator.core import RETENTION_INTERVAL
from penstock.wire.desk_messages import AskPipeline, PipelineInfo
from support.core_benches import BATCH, VentilatorBench

RETAIN = 7 * 24 * 3600.0
EIGHT_DAYS = 8 * 24 * 3600.0


def growth(bench: VentilatorBench) -> tuple[str, ...]:
    """What doctor warns of."""
    (info,) = bench.ask(AskPipeline(1))
    assert isinstance(info, PipelineInfo)
    return info.growth


def ended(bench: VentilatorBench) -> None:
    """A batch has ended, and that is seen."""
    bench.submit(1, spec=BatchSpec(retain=RETAIN))
    bench.turn(bench.record(0, 1))
    bench.turn(after=RETENTION_INTERVAL)


def kept(bench: VentilatorBench) -> list[bytes]:
    """The batches that there are a moment later."""
    bench.turn(after=RETENTION_INTERVAL)
    bench.turn(after=RETENTION_INTERVAL)
    return [one.batch for one in bench.store.batches()]


@pytest.mark.parametrize("life", ["this", "former", "former, without the rule"])
def test_a_clock_that_is_set_for_a_minute_deletes_nothing(
    bench: VentilatorBench, monkeypatch: pytest.MonkeyPatch, life: str
) -> None:
    """Eight days ahead, and back: what is kept for seven is there still, and goes when its time has come."""
    ended(bench)
    if life != "this":
        bench.restart()
        bench.sink()
    if "without" in life:
        monkeypatch.setattr(ClockSteps, "is_steady", lambda *_: True)
    bench.set_wall_clock(EIGHT_DAYS)
    assert kept(bench) == ([] if "without" in life else [BATCH])
    bench.set_wall_clock(-EIGHT_DAYS)
    bench.turn(after=RETAIN - 600)
    assert kept(bench) == ([] if "without" in life else [BATCH])
    bench.turn(after=600)
    assert kept(bench) == []


def test_a_clock_that_was_wrong_at_the_start_of_a_life_costs_the_next_one_nothing(bench: VentilatorBench) -> None:
    """A machine without a battery begins in the past: what has ended there is dated anew when its clock is set."""
    ended(bench)
    bench.set_wall_clock(EIGHT_DAYS)
    assert [one.ended_time for one in bench.store.batches()] == [bench.wall_time - RETENTION_INTERVAL]
    bench.restart()
    bench.sink()
    assert kept(bench) == [BATCH]


def test_arguments_that_are_kept_for_a_day_stay_likewise(
    bench: VentilatorBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the clock has been steady for a day; these are what is run again if the sink has lost its file."""
    monkeypatch.setattr(queue, "KEEP_TIME", -1.0)  # all that is finished is too old
    bench.set_wall_clock(EIGHT_DAYS)
    ended(bench)
    bench.submit(1, batch=b"other".ljust(16))
    assert bench.store.chunk(BATCH, 0)
    bench.turn(after=STEADY_TIME)
    bench.submit(1, batch=b"more".ljust(16))
    with pytest.raises(DamagedRow, match="is not here"):
        bench.store.chunk(BATCH, 0)


def test_a_step_is_said_and_what_comes_of_it(bench: VentilatorBench) -> None:
    """Once in the log, and for a day to whoever asks; what a clock is corrected by all the time is none."""
    bench.set_wall_clock(STEP)
    bench.set_wall_clock(-STEP)
    assert growth(bench) == ()
    bench.set_wall_clock(-EIGHT_DAYS)
    bench.turn(after=1)
    assert [line.fields for line in bench.logged if line.event == "clock_set"] == [" seconds=-691200"]
    (line,) = growth(bench)
    assert line.startswith(
        "the wall clock of the ventilator was set by -691,200 s: nothing is deleted for its age for 24 h"
    )
    bench.turn(after=STEADY_TIME)
    assert growth(bench) == ()
