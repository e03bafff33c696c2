"""Either store as a file: whose it is, what it may be, what happens when a write fails."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from penstock.errors import SchemaMismatch, StoreError, StoreInUse, UnfitFolder
from penstock.sink.store import ResultStore
from penstock.station.store_copy import StoreCopy
from penstock.station.store_health import schema_sum
from penstock.ventilator.contract import SaveChunk
from penstock.ventilator.store import QueueStore
from penstock.ventilator.store_statements import META
from support.stations import LIMIT
from support.store_samples import BATCH, queue_of_two_chunks


@pytest.fixture
def queued(folder: Path) -> Iterator[QueueStore]:
    """A queue store with a batch of two chunks."""
    store = queue_of_two_chunks(folder)
    yield store
    store.close()


@pytest.fixture
def results(folder: Path) -> Iterator[ResultStore]:
    """An empty results store."""
    store = ResultStore(folder / "data", durable=False)
    yield store
    store.close()


def test_the_folder_is_private_and_settings_are_as_promised(queued: QueueStore, folder: Path) -> None:
    """One process, one connection, a write-ahead log, and syncs at every commit where it shall be durable."""
    assert (folder / "data").stat().st_mode & 0o777 == 0o700
    assert queued.db.pragma("journal_mode") == "wal"
    assert queued.db.pragma("locking_mode") == "exclusive"
    assert queued.db.pragma("synchronous") == 1
    durable = ResultStore(folder / "safe")
    assert durable.db.pragma("synchronous") == 2
    durable.close()


def test_a_folder_that_others_can_write_is_refused(folder: Path) -> None:
    """And the error says what to do."""
    (folder / "data").mkdir()
    (folder / "data").chmod(0o777)
    with pytest.raises(StoreError, match="chmod 700"):
        QueueStore(folder / "data")


def test_what_lies_in_an_open_folder_is_the_owners_alone(folder: Path) -> None:
    """The file, the log that SQLite makes beside it, the lock and a copy: without an umask, and again where an older
    release has left them open."""
    folder.chmod(0o755)
    before = os.umask(0)
    try:
        for _ in range(2):
            queue = QueueStore(folder, durable=False)
            queue.begin_life()
            copy = StoreCopy(queue, folder / "copy")
            assert copy.step()
            files = [path for path in folder.rglob("*") if path.is_file()]
            assert {path.name for path in files} == {"queue.db", "queue.db-wal", "queue.db.lock"}
            assert {path.name: path.stat().st_mode & 0o777 for path in files if path.stat().st_mode & 0o077} == {}
            queue.close()
            for path in files:
                path.with_name(path.name).touch()
                path.chmod(0o644)
            copy.path.unlink()
    finally:
        os.umask(before)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("name", ["queue.db", "queue.db-wal", "queue.db.lock"])
def test_a_store_of_another_user_is_refused_with_whose_it_is(queued: QueueStore, folder: Path, name: str) -> None:
    """By root, too, who would make files there that its owner cannot open; nothing is changed by that."""
    queued.db.execute("PRAGMA wal_checkpoint")
    queued.close()
    path = folder / "data" / name
    path.touch()
    path.chmod(0o644)
    os.chown(path, 65534, -1)
    before = path.stat()
    with pytest.raises(UnfitFolder, match=rf"{name} is another user's: it belongs to nobody, and this process to root"):
        QueueStore(folder / "data", durable=False)
    assert path.stat() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
@pytest.mark.parametrize("what", ["folder", "link", "folder behind a link"])
def test_a_folder_of_somebody_else_is_refused(folder: Path, what: str) -> None:
    """So is a link of theirs, wherever it leads: they could put other files there."""
    own, data = folder / "own", folder / "data"
    own.mkdir(mode=0o700)
    if what == "folder":
        own.rename(data)
    else:
        data.symlink_to(own)
    os.chown(own if what == "folder behind a link" else data, 12345, -1, follow_symlinks=False)
    with pytest.raises(StoreError, match="is another user's: it belongs to 12345"):
        QueueStore(data)
    assert not list(folder.rglob("queue.db"))


def test_a_path_that_cannot_be_a_folder_is_refused(folder: Path) -> None:
    """In one line."""
    (folder / "data").write_text("not a folder")
    with pytest.raises(StoreError, match=r"File exists|Not a directory"):
        QueueStore(folder / "data")


def test_a_second_process_on_the_folder_is_refused(queued: QueueStore, folder: Path) -> None:
    """It is told which process has it; and when that one is gone, however, it may."""
    code = f"from penstock.ventilator.store import QueueStore; QueueStore({str(folder / 'data')!r}, durable=False)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert "StoreInUse" in other.stderr
    assert f"queue.db is in use by process {os.getpid()}" in other.stderr
    with pytest.raises(StoreInUse):
        QueueStore(folder / "data", durable=False)
    queued.close()
    QueueStore(folder / "data", durable=False).close()


def test_a_newer_schema_is_refused_and_left_alone(queued: QueueStore, folder: Path) -> None:
    """Both versions and the file are named."""
    queued.db.execute(META.write(schema="?1"), (schema_sum(queued.db, 9),))
    queued.db.pragma("user_version", 9)
    queued.close()
    for _ in range(2):
        with pytest.raises(SchemaMismatch, match=r"queue\.db: has schema 9, this penstock knows up to 3"):
            QueueStore(folder / "data", durable=False)


@pytest.mark.parametrize("content", [b"random bytes " * 1000, b"x"])
def test_a_file_of_another_kind_is_refused_and_left_alone(folder: Path, content: bytes) -> None:
    """Never overwritten."""
    folder.joinpath("queue.db").write_bytes(content)
    with pytest.raises(StoreError, match="not a penstock store"):
        QueueStore(folder, durable=False)
    assert folder.joinpath("queue.db").read_bytes() == content


def test_another_programs_database_is_refused(results: ResultStore, folder: Path) -> None:
    """Nor is one store taken for the other."""
    results.close()
    (folder / "data/results.db").rename(folder / "data/queue.db")
    apsw.Connection(str(folder / "data/results.db")).execute("CREATE TABLE theirs (x)")
    with pytest.raises(StoreError, match="a database of another kind"):
        QueueStore(folder / "data", durable=False)
    with pytest.raises(StoreError, match="a database of another kind"):
        ResultStore(folder / "data", durable=False)


def test_a_symbolic_link_is_not_followed(queued: QueueStore, folder: Path) -> None:
    """A store is a file in its folder."""
    queued.close()
    folder.joinpath("queue.db").symlink_to(folder / "data/queue.db")
    with pytest.raises(StoreError, match="cannot be opened: it is a symbolic link"):
        QueueStore(folder, durable=False)


def test_half_a_store_is_refused(queued: QueueStore, folder: Path) -> None:
    """An emptied file beside its log: SQLite would throw the log away."""
    log = (folder / "data/queue.db-wal").read_bytes()
    queued.close()
    (folder / "data/queue.db").write_bytes(b"")
    (folder / "data/queue.db-wal").write_bytes(log)
    with pytest.raises(StoreError, match="empty beside a write-ahead log"):
        QueueStore(folder / "data", durable=False)
    assert (folder / "data/queue.db-wal").read_bytes() == log


def test_a_failed_write_stops_the_store_until_it_is_opened_again(queued: QueueStore) -> None:
    """Its outcome is unknown; reads show only what was committed, and the same saves may be given again."""
    used = queued.path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    saves = [SaveChunk(BATCH, 15, 1, bytes(8 << 20))]
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (used + (1 << 20), hard))
    try:
        with pytest.raises(StoreError, match=r"queue\.db: the disk"):
            queued.save(saves)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert queued.batches()[0].accepted == 15
    with pytest.raises(StoreError, match="must be opened again"):
        queued.save(saves)
    queued.reopen()
    queued.save(saves)
    assert queued.batches()[0].accepted == 16
