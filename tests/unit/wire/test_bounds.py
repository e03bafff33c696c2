"""Bounds that all share."""

from __future__ import annotations

from collections import Counter

from penstock.wire.bounds import COUNTED_NAMES, count_one, is_to_be_logged


def test_what_can_be_repeated_for_ever_is_logged_ever_less_often() -> None:
    """The first time, the second, the fourth and so on; nothing at none."""
    assert [count for count in range(100) if is_to_be_logged(count)] == [1, 2, 4, 8, 16, 32, 64]


def test_counts_by_name_are_bounded() -> None:
    """However many names come and go; what is counted of one is right as long as there are few."""
    counts: Counter[str] = Counter()
    for name in ["a", "b", "a", *map(str, range(10 * COUNTED_NAMES))]:
        count_one(counts, name)
        assert name != "b" or counts == {"a": 1, "b": 1}
    assert 0 < len(counts) <= COUNTED_NAMES
