"""Bits of both stores are flipped, wherever they are: nothing else is ever given out."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.station import store_file
from support.damage_sweep import KINDS, sweep

FLIPS = 120
SEED = 30
"""More flips: tests/support/damage_sweep.py."""


@pytest.mark.parametrize("name", KINDS)
def test_a_flipped_bit_is_said_or_changes_nothing(folder: Path, name: str) -> None:
    """What is given out is what was written, or is missing and said to be; or the file is refused, in a line that
    names `penstock check`, which makes one of it that is opened."""
    seen = sweep(folder, name, FLIPS, SEED)
    print(f"{name}: {FLIPS} flips, seed {SEED}: {dict(seen)}")
    assert seen.keys() == {"as it was", "contained", "repaired"}


def test_without_checksums_of_rows_other_content_is_given_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: SQLite notices nothing."""
    monkeypatch.setattr(store_file, "row_sum", lambda *_: 0)
    seen = sweep(folder, "results.db", FLIPS, SEED)
    assert any(what.startswith("OTHER") for what in seen)
