"""Counted numbers: penstock.station.counters."""

from __future__ import annotations

from penstock.station.counters import Counters, Histogram
from penstock.wire.desk_messages import Sample, Spread


def test_a_value_is_in_the_first_range_that_has_it() -> None:
    """A bound belongs to its range, as Prometheus has it; what is above all bounds is in one more."""
    times = Histogram((0.1, 1.0))
    for value, count in ((0.0, 1), (0.1, 2), (0.2, 3), (1.0, 4), (1.1, 5)):
        times.observe(value, count)
    assert times.spread("x", "label") == Spread("x", ("label",), (0.1, 1.0), (3, 7, 5), 0.2 + 0.6000000000000001 + 9.5)


def test_counts_are_by_family_and_labels() -> None:
    """Each pair of both grows by itself."""
    counters = Counters()
    counters.count("a", by=2)
    counters.count("a", "x")
    counters.count("a", "x", by=3)
    assert set(counters.samples()) == {Sample("a", (), 2.0), Sample("a", ("x",), 4.0)}
