"""The fixture of the fault tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_world import World
from support import logs


@pytest.fixture
def world(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Nothing is started yet."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    made = World(folder, url)
    yield made
    made.close()
    print("\n".join(logs(folder)))
