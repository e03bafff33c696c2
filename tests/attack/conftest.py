"""A pipeline for all attacks of a module: what one of them leaves behind is seen by the next one's judge."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import MARK
from support.attack_scene import Scene
from support.stations import LIMIT, descendants, free_url, logs, until


@pytest.fixture
def nothing_left_behind() -> None:
    """In place of the one that looks after each test: a scene lives longer, and looks itself."""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder, and an environment by which every process of the scene is known."""
    path = Path(tempfile.mkdtemp(prefix="pt-", dir="/tmp"))
    mark = uuid.uuid4().hex
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, mark)
        patch.setenv("TMPDIR", str(path))
        patch.setenv("XDG_STATE_HOME", str(path / "state"))
        patch.setenv("XDG_CONFIG_HOME", str(path / "config"))
        patch.setattr(tempfile, "tempdir", None)
        for name in [name for name in os.environ if name.startswith("PENSTOCK_") and name != MARK]:
            patch.delenv(name)
        yield path
        try:
            until(lambda: not descendants(mark), LIMIT, "every process of the scene is gone")
        finally:
            for process in descendants(mark):
                print("left behind:", process.pid, process.cmdline())
                process.kill()
            shutil.rmtree(path)


@pytest.fixture(scope="module")
def scene(place: Path) -> Iterator[Scene]:
    """Stations, up, with something to lose."""
    made = Scene(place, free_url())
    try:
        yield made.up()
    finally:
        made.close()
        print("\n".join(logs(place)))
