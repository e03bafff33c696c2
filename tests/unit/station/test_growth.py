"""What grows is told of before it is trouble."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from penstock.station.growth import LOG_BYTES, LOOK_INTERVAL, UNUSED_BYTES, Growth


class Usage(NamedTuple):
    """As shutil.disk_usage has it, as far as is asked for."""

    free: int


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that are free on the disk."""
    free = [1 << 40]
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(free[0]))
    return free


def test_a_log_that_is_not_written_back_is_told_of(tmp_path: Path) -> None:
    """By its name and size, until it is small again; it is looked at now and then."""
    seen = Growth(tmp_path / "queue.db", lambda: 0)
    assert seen.look(0.0) == ()
    with (tmp_path / "queue.db-wal").open("wb") as file:
        file.truncate(LOG_BYTES + 1)
    assert seen.look(LOOK_INTERVAL / 2) == ()
    (line,) = seen.look(LOOK_INTERVAL)
    assert line.startswith(f"{tmp_path}/queue.db-wal has 0.5 GiB: ")
    (tmp_path / "queue.db-wal").unlink()
    assert seen.look(2 * LOOK_INTERVAL) == ()


def test_a_disk_that_fills_up_is_told_of(tmp_path: Path, room: list[int]) -> None:
    """While there is still room."""
    room[0] = 1 << 30
    (line,) = Growth(tmp_path / "results.db", lambda: 0).look(0.0)
    assert line == f"the disk of {tmp_path} has 1.0 GiB left: make room, or delete batches that ended"


def test_room_inside_of_a_store_is_told_of(tmp_path: Path) -> None:
    """Where it is worth stopping the stations for."""
    assert Growth(tmp_path / "results.db", lambda: UNUSED_BYTES - 1).look(0.0) == ()
    (line,) = Growth(tmp_path / "results.db", lambda: UNUSED_BYTES).look(0.0)
    assert line.startswith(
        f"{tmp_path}/results.db has 1.0 GiB unused inside, which new batches fill; `penstock compact`"
    )
