"""Events in the queue file."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.ventilator import event_rows
from penstock.ventilator.contract import SaveEvent
from penstock.ventilator.store import QueueStore


def event(number: int) -> SaveEvent:
    return SaveEvent(number, "ended", b"b" * 16, {"succeeded": number})


def test_an_event_that_is_saved_again_is_there_once(tmp_path: Path) -> None:
    """As all that is saved, after a commit of which nobody knows whether it was one."""
    store = QueueStore(tmp_path)
    store.save([event(1)])
    store.save([event(1), event(2)])
    lines = store.event_rows.after(0, 10)
    assert [(line.number, line.event, line.batch, line.fields) for line in lines] == [
        (1, "ended", b"b" * 16, {"succeeded": 1}),
        (2, "ended", b"b" * 16, {"succeeded": 2}),
    ]
    assert store.event_rows.last() == 2
    store.close()


def test_the_newest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are."""
    monkeypatch.setattr(event_rows, "EVENTS_KEPT", 3)
    store = QueueStore(tmp_path)
    store.save([event(number) for number in range(1, 9)])
    assert [line.number for line in store.event_rows.after(0, 10)] == [6, 7, 8]
    store.close()


def test_a_damaged_event_says_so(tmp_path: Path) -> None:
    """And the others are as they were."""
    store = QueueStore(tmp_path)
    store.save([event(1), event(2)])
    store.db.execute("UPDATE event SET event = 'submitted' WHERE number = 1")
    assert [line.event for line in store.event_rows.after(0, 10)] == ["damaged", "ended"]
    store.close()
