"""Readers against a real sink, whatever is recorded in whatever order and read however slowly: all of it is read."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from penstock.client.readers import OrderReader, RowReader
from support.reading_machine import ArrivingMachine, ReadingMachine

STEPS = settings(max_examples=100, stateful_step_count=60, deadline=None)

TestOrderReader = ReadingMachine.TestCase
TestOrderReader.settings = STEPS
TestArrivalReader = ArrivingMachine.TestCase
TestArrivalReader.settings = STEPS


def _no_room_by_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RowReader, "_make_room", lambda _: None)


def _no_room_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OrderReader, "_give_up", lambda _: 0)


@pytest.mark.parametrize("switch_off", [_no_room_by_reading, _no_room_at_all])
def test_without_the_rule_a_reader_hangs(monkeypatch: pytest.MonkeyPatch, switch_off: object) -> None:
    """The control: a window that is full behind a gap gives no room back for it."""
    assert callable(switch_off)
    switch_off(monkeypatch)
    sure = settings(STEPS, max_examples=1000, derandomize=True, database=None, phases=[Phase.generate])
    with pytest.raises(AssertionError, match="all that is recorded is read"):
        run_state_machine_as_test(ReadingMachine, settings=sure)
