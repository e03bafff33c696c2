"""The turn of a station, on a ventilator with its real store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from penstock.station import loop
from penstock.station.contract import DeleteBatch, Save
from penstock.station.store_file import DELETE_ROWS
from support.core_benches import BATCH, VentilatorBench


def test_all_is_saved_before_anything_is_sent(bench: VentilatorBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One commit of all that a turn decided, then all that it says."""
    bench.worker()
    did: list[str] = []
    save, send = bench.store.save, bench.links.send

    def noted_save(saves: Iterable[Save]) -> None:
        did.append("save")
        save(saves)

    def noted_send(name: str, *args: Any, **kwargs: Any) -> bool:
        did.append(name)
        return send(name, *args, **kwargs)

    monkeypatch.setattr(bench.store, "save", noted_save)
    monkeypatch.setattr(bench.links, "send", noted_send)
    bench.submit(2)
    assert did[0] == "save"
    assert sorted(did[1:]) == ["desk", "jobs"], "it is accepted, and given out"


def test_who_is_told_to_leave_saves_what_came_with_the_order(bench: VentilatorBench) -> None:
    """Only if the disk is full then, it ends with that error."""
    bench.worker()
    bench.station.leaving = True
    bench.submit(2)
    assert [batch.accepted for batch in bench.store.batches()] == [2]


def test_a_station_at_which_nothing_happens_tidies(bench: VentilatorBench) -> None:
    """What is left of a deleted batch goes, a little with each commit, although there is nothing else to save."""
    bench.submit(*[1] * 4 * DELETE_ROWS)
    bench.store.save([DeleteBatch(BATCH)])
    steps = 0
    while bench.store.untidy:
        steps += 1
        assert steps < 10, "it tidies nothing"
        patience = loop.patience(bench.station)
        assert patience is not None
        assert patience <= loop.TIDY_PAUSE
        loop.step(bench.station)
    assert steps > 1, "it deletes all of it at once"


def test_what_comes_with_the_order_to_leave_is_saved(bench: VentilatorBench) -> None:
    """A station that is told to stop at a busy moment ends well."""
    bench.station.leaving = True
    bench.submit(2)
    assert [batch.accepted for batch in bench.store.batches()] == [2]
