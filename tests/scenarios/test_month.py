"""A pipeline that lives long stays as it is: nothing of a batch, a function or a worker that has gone is kept.

``scripts/month`` does the same for as many batches as there is time for.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.keys.roles import Peer
from penstock.station.permissions import Bindings
from support.month import BOUNDS, Month, Stays, grown

BATCHES = 800


def test_what_has_gone_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory, tables, files, and what a batch costs, are the same after 800 batches of one with as many new functions,
    while clients and workers come with new keys and new names."""
    before, after = lived(tmp_path, monkeypatch)
    assert grown(before, after) == [], f"{before}\n{after}"


def test_what_is_kept_of_each_key_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: stations that remember some objects of every key that they have met."""
    admits = Bindings.admits

    def remembers(self: Bindings, sender: Peer, owner: bytes) -> bool:
        vars(self).setdefault("met", {}).setdefault(sender.public, [object() for _ in range(8)])
        return admits(self, sender, owner)

    monkeypatch.setattr(Bindings, "admits", remembers)
    found = grown(*lived(tmp_path, monkeypatch))
    assert {line.partition(":")[0] for line in found} == {"ventilator", "sink"}, found


def lived(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Stays, Stays]:
    """What there is after some batches, and after as many more."""
    for name, bound in BOUNDS.items():
        monkeypatch.setattr(name, bound)
    month = Month(folder, seed=1, functions=100_000)
    month.live(BATCHES)
    before = month.look()
    month.live(BATCHES)
    after = month.look()
    month.close()
    return before, after
