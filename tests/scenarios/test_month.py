"""A pipeline that lives long stays as it is: nothing of a batch, a function or a worker that has gone is kept.

``scripts/month`` does the same for as many batches as there is time for.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.month import Month, grown

BATCHES = 400
REMEMBERED = 200
"""Deleted batches that a station still knows, to recognise what is sent late."""


def test_what_has_gone_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory, tables, files, and what a batch costs, are the same after 400 batches of one with as many new functions,
    while workers with new names come each minute."""
    monkeypatch.setattr("penstock.ventilator.intake.FORGOTTEN_BATCHES", REMEMBERED)
    monkeypatch.setattr("penstock.sink.core.FORGOTTEN_BATCHES", REMEMBERED)
    monkeypatch.setattr("penstock.ventilator.store.DELETED_KEPT", REMEMBERED)
    monkeypatch.setattr("penstock.ventilator.payloads.CACHE_BYTES", REMEMBERED << 10)
    month = Month(tmp_path, seed=1, functions=100_000)
    month.live(BATCHES)
    before = month.look()
    month.live(BATCHES)
    after = month.look()
    assert grown(before, after) == [], f"{before}\n{after}"
