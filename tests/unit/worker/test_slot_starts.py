"""How the starts of slots go."""

from __future__ import annotations

from penstock.worker.contract import SlotUnfit
from penstock.worker.slot_starts import RESPAWN_DELAY, RESPAWN_DELAY_MAX, Starts


def test_two_failures_in_a_row_are_said() -> None:
    """One may be an accident; a start that went well begins the count anew."""
    starts = Starts()
    assert starts.failed(0, "no room") == []
    starts.went_well(0)
    assert starts.failed(0, "no room") == []
    assert starts.failed(1, "no room") == []
    assert starts.failed(0, "no files") == [SlotUnfit(0, "no files")]


def test_a_lasting_cause_costs_ever_less() -> None:
    """The delay doubles up to a bound, so that it is seen soon enough when the cause is gone."""
    starts = Starts()
    assert starts.delay(0) == 0
    delays = []
    for _ in range(8):
        starts.failed(0, "no room")
        delays.append(starts.delay(0, 1))
    assert delays[:4] == [RESPAWN_DELAY, RESPAWN_DELAY, 2 * RESPAWN_DELAY, 4 * RESPAWN_DELAY]
    assert delays[-1] == RESPAWN_DELAY_MAX
