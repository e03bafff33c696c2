"""Keys are made and revoked for ever: what a station keeps of each."""

from __future__ import annotations

from pathlib import Path

import pytest
import zmq

from penstock.keys.files import load
from penstock.keys.roles import Role
from penstock.wire.guard import Guard, News
from support.keyed_pipeline import key_of, make_keys
from support.month import reachable
from support.stations import free_url

KEYS = 60


@pytest.mark.parametrize("leaks", [False, True])
def test_of_a_revoked_key_its_public_half_stays(folder: Path, monkeypatch: pytest.MonkeyPatch, *, leaks: bool) -> None:
    """By which it is told apart from an unknown one; not where it came from, nor whose it was. A control keeps that."""
    monkeypatch.setattr("penstock.wire.guard.LOOK_INTERVAL", 0.0)
    keys = make_keys(folder, free_url())
    news = News()

    def come_and_go() -> int:
        for _ in range(KEYS):
            keys.new(Role.SUBMIT, "guest")
            guard.look({})
            public = key_of(keys, "guest").public
            assert guard.verdict("desk", public, "192.0.2.1") == b"200"
            keys.revoke("guest")
            if leaks:
                guard._addresses[f"{public} "] = {"192.0.2.1"}
            guard.look({})
            assert guard.verdict("desk", public, "192.0.2.1") == b"400"
            news.take()
        return reachable([value for name, value in vars(guard).items() if name != "socket"])

    with zmq.Context() as context:
        guard = Guard(context, load(keys.path, Role.VENTILATOR), keys.path, news)
        try:
            before = come_and_go()
            more = come_and_go() - before
        finally:
            guard.close()
    assert (more > 1.5 * KEYS) == leaks, f"{more / KEYS} objects for each revoked key"
