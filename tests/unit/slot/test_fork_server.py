"""What the fork server makes of what it sees."""

from __future__ import annotations

import os

import pytest

from penstock.slot import fork_server
from penstock.slot.fork_server import is_bomb


def test_a_fork_bomb_is_told_from_dead_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """These do no harm before they fill the system's table; a process that is gone is no process."""
    monkeypatch.setattr(fork_server, "PROCESS_LIMIT", 2)
    monkeypatch.setattr(fork_server, "ZOMBIE_LIMIT", 5)
    here, gone = os.getpid(), 2**22 + 1
    assert not is_bomb([here, here])
    assert is_bomb([here, here, here])
    assert not is_bomb([here, here, gone, gone, gone])
    assert is_bomb([here, gone, gone, gone, gone, gone])
