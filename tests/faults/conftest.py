"""The fixture of the fault tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.fault_pipeline import World
from support.stations import logs


@pytest.fixture
def world(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Nothing is started yet."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    made = World(folder, url)
    yield made
    made.close()
    print("\n".join(logs(folder)))


@pytest.fixture(scope="session")
def ptrace() -> None:
    """Skips where nobody may look at another process."""
    if shutil.which("strace") is None:
        if os.geteuid() == 0:
            pytest.fail("no strace: apt-get install strace")
        pytest.skip("no strace, and no right to install it")
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], check=False, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no right to trace: {tried.stderr.strip()}")
