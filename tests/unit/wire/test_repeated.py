"""Lines that repeat come ever more seldom."""

from __future__ import annotations

from penstock.wire.repeated import REPEAT_MAX, Repeated


def test_each_wait_is_twice_as_long_up_to_a_minute() -> None:
    """Of what happens every second the log has a few lines at first, then one in a minute."""
    line = Repeated(2.0)
    assert [at for at in range(1000, 1250) if line.is_due(float(at))] == [
        1000,
        1002,
        1006,
        1014,
        1030,
        1062,
        1122,
        1182,
        1242,
    ]


def test_what_was_over_begins_anew() -> None:
    """A minute after it would have been due; before, it goes on being seldom."""
    line = Repeated(1.0)
    assert all(line.is_due(at) for at in (0.0, 1.0, 3.0))
    assert line.is_due(7.0 + REPEAT_MAX - 0.1)
    assert not line.is_due(7.0 + REPEAT_MAX + 7.8)
    assert line.is_due(7.0 + REPEAT_MAX + 8.0)
    again = 7.0 + 2 * REPEAT_MAX + 24.0
    assert line.is_due(again)
    assert line.is_due(again + 1.0)
