"""Whose leavings a worker ends when it comes up."""

from __future__ import annotations

import os

import pytest

from penstock.slot.process_tree import started_at
from penstock.worker import fork_server_handle as module


def test_only_what_has_lost_its_agent_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what belongs to an agent that lives, nor what another release started, nor what this process descends from:
    it would end itself, and the shell that it was started from."""
    living, gone, mine = (f"{os.getpid()}-{started_at(os.getpid())}-aa", f"{os.getpid()}-1-bb", f"{os.getpid()}-1-cc")
    found = [(101, living), (102, gone), (103, "0123abcd"), (104, mine)]
    killed: list[int] = []
    monkeypatch.setattr(module, "with_variable", lambda _: found)
    monkeypatch.setattr(module, "kill_all", killed.extend)
    monkeypatch.setenv(module.OWNER_VARIABLE, mine)
    module.kill_abandoned()
    assert killed == [102]
    monkeypatch.delenv(module.OWNER_VARIABLE)
    module.kill_abandoned()
    assert killed == [102, 102, 104]
