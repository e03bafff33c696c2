"""Bounds that all share."""

from __future__ import annotations

from penstock.wire.bounds import is_to_be_logged


def test_what_can_be_repeated_for_ever_is_logged_ever_less_often() -> None:
    """The first time, the second, the fourth and so on; nothing at none."""
    assert [count for count in range(100) if is_to_be_logged(count)] == [1, 2, 4, 8, 16, 32, 64]
