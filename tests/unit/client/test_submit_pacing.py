"""When the next job may start."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.client import submit_pacing
from penstock.client.submit_pacing import Delay, Pace


@pytest.mark.parametrize(("now", "left"), [(100.0, 2.0), (101.5, 0.5), (102.0, 0.0), (500.0, 0.0), (90.0, 2.0)])
def test_starts_are_so_far_apart(now: float, left: float) -> None:
    """Also by a clock that was set back: it waits no longer than the delay."""
    delay = Delay(2)
    assert delay.left(now) == 0
    delay.begun(100)
    assert delay.left(now) == left


def test_a_job_that_started_late_moves_the_next_one() -> None:
    """The delay counts from its start, not from when it was handed in; what started long ago moves nothing."""
    delay = Delay(2)
    delay.begun(100)
    delay.begun(101)
    delay.begun(50)
    assert delay.left(102) == 1


class Clock:
    """Stands for the module time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        """Wall clock."""
        return self.now

    monotonic = time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time that Pace goes by."""
    made = Clock()
    monkeypatch.setattr(submit_pacing, "time", made)
    return made


def pace(at_once: Any = lambda: 2, *gates: Any) -> Pace:
    """With these gates."""
    return Pace(at_once, gates, read_ahead=1, as_read=True)


def test_the_slots_are_looked_up_now_and_then(clock: Clock) -> None:
    """Workers join and leave; while there is none, one job waits for the first."""
    answers = iter([0, 4])
    made = pace(lambda: next(answers))
    assert [made.at_once(), made.at_once()] == [1, 1]
    clock.now += submit_pacing.LOOK_INTERVAL
    assert made.at_once() == 4


def test_all_gates_are_asked(clock: Clock) -> None:
    """The slowest decides, and a start that a worker's clock puts into the future is one of now."""
    made = pace(lambda: 2, Delay(1), Delay(3))
    assert made.left() == 0
    made.begun(clock.now + 1000)
    assert made.left() == 3
    clock.now += 3
    assert made.left() == 0
