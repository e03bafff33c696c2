"""Reading what has happened from wherever a reader was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penstock.client.event_reader import read_events
from penstock.errors import PenstockError
from penstock.wire.desk_messages import AskEvents, EventLine, Events


class Ventilator:
    """A session that asks one with the events [first, last], which gives out two at a time."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last

    def ask(self, make: Callable[[int], AskEvents], _timeout: float | None = None) -> Any:
        """Its answer."""
        after = make(1).after
        numbers = range(max(self.first, after + 1), self.last + 1)[:2]
        return Events(1, self.last, tuple(EventLine(number, 1.0, "ended", b"", {}) for number in numbers))


def test_all_pages_are_read() -> None:
    """In order, to the last one."""
    read = read_events(Ventilator(1, 5), 0, follow=False)  # type: ignore[arg-type]
    assert [event.number for event in read] == [1, 2, 3, 4, 5]


def test_a_reader_that_comes_too_late_is_told() -> None:
    """What is not kept any more is one event, whose number is that of the last one that is missing."""
    read = list(read_events(Ventilator(7, 8), 3, follow=False))  # type: ignore[arg-type]
    assert [(event.number, event.event) for event in read] == [(6, "not_kept"), (7, "ended"), (8, "ended")]
    assert read[0].fields == {"first": 4, "last": 6}


def test_a_number_of_another_pipeline_is_refused() -> None:
    """It would be waited for, and what happens until then be missed."""
    with pytest.raises(PenstockError, match="no event has the number 9 yet, the newest is 8"):
        list(read_events(Ventilator(1, 8), 9, follow=False))  # type: ignore[arg-type]


def test_a_follower_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what happens next, behind what it has read."""
    ventilator = Ventilator(1, 1)

    def happens(_: float) -> None:
        ventilator.last += 1

    monkeypatch.setattr("penstock.client.event_reader.pause", happens)
    read = read_events(ventilator, 0, follow=True)  # type: ignore[arg-type]
    assert [next(read).number for _ in range(3)] == [1, 2, 3]
