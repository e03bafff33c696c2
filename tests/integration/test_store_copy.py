"""A copy of a store in use is made in steps, between which the station goes on; and only as it was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from penstock.errors import ConfigError, StoreError
from penstock.station import store_copy
from penstock.station.backups import ASKER_PATIENCE, Backups
from penstock.station.clock import Clock
from penstock.station.contract import CopyStore
from penstock.station.loop import Process
from penstock.station.store_copy import StoreCopy
from penstock.ventilator.contract import SaveChunk
from penstock.ventilator.store import QueueStore
from penstock.wire.desk_messages import BackUp, BackUpState, Refused
from support.store_samples import BATCH, queue_of_two_chunks
from support.surroundings import Logged, QuietOrders, logger_to

FIRST, SECOND = bytes(16), bytes(15) + b"\1"


class StillClock(Clock):
    """Stands still until a test moves it."""

    time = 0.0

    def now(self) -> float:
        return self.time


class Desk:
    """The backups of a store, as clients ask for them."""

    def __init__(self, store: QueueStore, target: Path) -> None:
        self.clock, self.log, self.target = StillClock(), list[Logged](), target
        self.backups = Backups(store, Process(logger_to(self.log), QuietOrders(), self.clock))

    def ask(self, asked: bytes = FIRST, *, begins: bool = False, data: str = "") -> BackUpState | Refused:
        """What is answered."""
        wanted = BackUp(7, asked, str(self.target), data, begins)
        return self.backups.answer(CopyStore(b"client", wanted, "boss"))

    def copied(self, asked: bytes = FIRST, *, begins: bool = False) -> float | None:
        """How far it is."""
        state = self.ask(asked, begins=begins)
        assert isinstance(state, BackUpState), state
        return state.copied

    def refusal(self, asked: bytes = FIRST, *, begins: bool = False, data: str = "") -> str:
        """Why not."""
        answer = self.ask(asked, begins=begins, data=data)
        assert isinstance(answer, Refused), answer
        return f"{answer.kind}: {answer.text}"


@pytest.fixture
def queued(folder: Path) -> Iterator[QueueStore]:
    """A store of 8 MB."""
    store = queue_of_two_chunks(folder)
    store.save([SaveChunk(BATCH, 15 + i, 1, bytes(1 << 20)) for i in range(8)])
    yield store
    store.close()


@pytest.fixture
def desk(queued: QueueStore, folder: Path) -> Desk:
    """Of that store."""
    return Desk(queued, folder / "copy")


def run_to_its_end(copy: StoreCopy) -> None:
    """Step after step."""
    while not copy.step():
        pass


def files(folder: Path) -> list[str]:
    """The names in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("step_bytes", "steps"), [(1 << 20, range(9, 12)), (1 << 30, range(1, 2))])
def test_what_is_saved_between_two_steps_is_in_the_copy(
    queued: QueueStore, folder: Path, monkeypatch: pytest.MonkeyPatch, step_bytes: int, steps: range
) -> None:
    """Also where that part was copied before. (In one large step all is copied, and nothing comes between.)"""
    monkeypatch.setattr(store_copy, "STEP_BYTES", step_bytes)
    copy = StoreCopy(queued, folder / "copy")
    seen, saved = [copy.copied], 23
    while not copy.step():
        assert files(folder / "copy") == ["queue.db.part"]
        seen.append(copy.copied)
        queued.save([SaveChunk(BATCH, saved, 1, b"between %d" % saved)])
        saved += 1
    assert len(seen) in steps
    assert seen == sorted(seen)
    assert files(folder / "copy") == ["queue.db"]
    assert copy.path.stat().st_mode & 0o777 == 0o600
    assert copy.size == copy.path.stat().st_size
    restored = QueueStore(folder / "copy", durable=False)
    assert restored.batches()[0].accepted == saved == 23 + len(seen) - 1
    assert [restored.chunk(BATCH, index) for index in range(23, saved)] == [b"between %d" % i for i in range(23, saved)]
    restored.close()


def test_nothing_is_begun_where_it_cannot_end(desk: Desk, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is there stays as it is; the room is looked at before, and so is whose store it is."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    assert "ConfigError: " in desk.refusal(begins=True)
    assert "copy: its disk has 1,000 bytes left, and the copies take up to " in desk.refusal(begins=True)
    monkeypatch.undo()
    assert "has its store in another folder" in desk.refusal(begins=True, data=str(folder / "other"))
    assert not (folder / "copy").exists()
    (folder / "copy").mkdir()
    (folder / "copy/queue.db").write_bytes(b"mine")
    assert "queue.db: this file exists" in desk.refusal(begins=True)
    assert (folder / "copy/queue.db").read_bytes() == b"mine"
    desk.target = Path("relative")
    assert "no folder for a backup" in desk.refusal()


def test_a_backup_is_begun_once_and_looked_after_by_who_asked(desk: Desk, folder: Path) -> None:
    """The order said again changes nothing, another one waits, and the end is told as often as it is asked for."""
    assert desk.copied() is None
    assert desk.copied(begins=True) == 0
    desk.backups.step()
    assert 0 < (desk.copied(begins=True) or 0) < 1
    assert "another backup of it is under way" in desk.refusal(SECOND, begins=True)
    while desk.backups.is_under_way:
        desk.backups.step()
    assert (desk.copied(), desk.copied(begins=True)) == (1, 1)
    assert [line.event for line in desk.log] == ["backup_asked", "backed_up"]
    assert "key=boss" in desk.log[0].fields
    assert files(folder / "copy") == ["queue.db"]
    assert "this file exists" in desk.refusal(SECOND, begins=True)


def test_a_copy_that_nobody_asks_after_is_deleted(desk: Desk, folder: Path) -> None:
    """Its asker is gone; one that asks goes on. Who asks too late is told."""
    desk.ask(begins=True)
    for _ in range(3):
        desk.clock.time += ASKER_PATIENCE
        desk.ask()
        desk.backups.step()
    desk.clock.time += ASKER_PATIENCE + 1
    desk.backups.step()
    assert files(folder / "copy") == []
    assert "was given up" in desk.refusal()
    assert desk.copied(SECOND, begins=True) == 0
    desk.backups.close()
    assert files(folder / "copy") == []


def test_a_copy_that_fails_is_deleted_and_the_store_goes_on(queued: QueueStore, desk: Desk, folder: Path) -> None:
    """Since the store was opened anew, or somebody made that file meanwhile, which stays as it is."""
    desk.ask(begins=True)
    desk.backups.step()
    queued.reopen()
    desk.backups.step()
    assert "opened anew" in desk.refusal()
    assert files(folder / "copy") == []
    copy = StoreCopy(queued, folder / "copy")
    (folder / "copy/queue.db").write_bytes(b"mine")
    with pytest.raises(StoreError, match="made meanwhile"):
        run_to_its_end(copy)
    assert (folder / "copy/queue.db").read_bytes() == b"mine"
    assert files(folder / "copy") == ["queue.db"]
    with pytest.raises(ConfigError, match="this file exists"):
        StoreCopy(queued, folder / "copy")
    queued.save([SaveChunk(BATCH, 23, 1, b"x")])
