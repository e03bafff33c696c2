"""When a station that has ended is started again."""

from __future__ import annotations

import pytest

from penstock.station.config import SinkConfig
from penstock.supervisor import LONG_LIFE, Station


@pytest.fixture
def station() -> Station:
    """One that is to be started."""
    return Station("sink", SinkConfig(url="ipc:///pipeline", data="data"))


def delay(station: Station, life: float) -> float:
    """Start it when it is due; how long it waits for the next start, after so many seconds of life."""
    station.started_at = station.due_at
    return station.ended(station.started_at + life)


def test_a_station_that_ends_soon_waits_longer_each_time(station: Station) -> None:
    """At once, then 1, 2, 4 ... 30 seconds, without end."""
    delays = [delay(station, LONG_LIFE - 1) for _ in range(1000)]
    assert delays[:8] == [0, 1, 2, 4, 8, 16, 30, 30]
    assert set(delays[8:]) == {30}


def test_after_a_minute_of_life_earlier_ends_are_forgotten(station: Station) -> None:
    """It is started at once again, and then waits again."""
    assert [delay(station, life) for life in (1, 1, 1, LONG_LIFE, 1, 1)] == [0, 1, 2, 0, 1, 2]
